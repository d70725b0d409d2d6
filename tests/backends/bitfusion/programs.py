"""Small nn programs with grids, lowered through the real passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region

from mohaq.compiler.dialects.nn import LinearOp, SruOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, float_tensor
from mohaq.compiler.parameters import ParameterStore, tensor_type
from mohaq.compiler.program import GRID_KEY, Program


@dataclass(frozen=True)
class Spec:
    """One layer: `fc` with `size` outputs or `sru` with `size` units a direction."""

    kind: str
    size: int
    a: int
    w: int
    direction: str = "forward"
    skip: str = "none"
    bias: bool = True


def nn_program(inputs: int, specs: list[Spec], seed: int, *, carried: bool = False) -> Program:
    """A chain of layers l0, l1, ... with random weights and grids of the given widths."""
    rng = np.random.default_rng(seed)
    states = [s for s in specs if s.kind == "sru"] if carried else []
    counts = [2 if s.direction == "bidirectional" else 1 for s in states]
    args = [float_tensor([DYNAMIC, DYNAMIC, inputs])]
    args += [float_tensor([d, DYNAMIC, s.size]) for s, d in zip(states, counts, strict=True)]
    block = Block(arg_types=args)
    store = ParameterStore()
    declares = []

    def load(name: str, array: np.ndarray):
        array = array.astype(np.float32)
        store[name] = array
        declares.append(DeclareOp(name, tensor_type(array)))
        op = LoadOp(name, tensor_type(array))
        block.add_op(op)
        return op.result

    x, width = block.args[0], inputs
    finals, pending = [], list(block.args[1:])
    for number, spec in enumerate(specs):
        label = f"l{number}"
        grids = {
            "input": GridAttr.from_clip(spec.a, 2.0),
            "weight": GridAttr.from_clip(spec.w, 1.0),
        }
        if spec.kind == "fc":
            w = load(f"{label}.weight", rng.uniform(-1, 1, (spec.size, width)))
            b = load(f"{label}.bias", rng.normal(size=spec.size)) if spec.bias else None
            op = LinearOp(label, x, w, b)
            grids["output"] = GridAttr.from_clip(16, 8.0)
            width = spec.size
        else:
            count = 2 if spec.direction == "bidirectional" else 1
            gates = 4 if spec.skip == "projected" else 3
            w = load(f"{label}.weight", rng.uniform(-1, 1, (count, gates, spec.size, width)))
            v = load(f"{label}.vector", rng.normal(size=(count, 2, spec.size)))
            b = load(f"{label}.bias", rng.normal(size=(count, 2, spec.size)))
            init = pending.pop(0) if carried else None
            op = SruOp(label, x, w, v, b, init, direction=spec.direction, skip=spec.skip)
            grids["vector"] = GridAttr.from_clip(16, 4.0)
            grids["gate"] = GridAttr.of(16, 2.0**-11)
            grids["state"] = GridAttr.from_clip(16, 4.0)
            width = count * spec.size
            if carried:
                finals.append(op.final_state)
        op.attributes["quant"] = DictionaryAttr(grids)
        block.add_op(op)
        x = op.results[0]
    results = [x, *finals]
    block.add_op(ReturnOp(*results))
    sixteen = DictionaryAttr({GRID_KEY: GridAttr.from_clip(16, 4.0)})
    function = FuncOp(
        "main",
        (args, [r.type for r in results]),
        Region(block),
        arg_attrs=ArrayAttr([sixteen] * len(args)),
        res_attrs=ArrayAttr([sixteen] * len(results)),
    )
    return Program(ModuleOp([*declares, function]), store)


def random_inputs(program: Program, steps: int, batch: int, seed: int) -> list[np.ndarray]:
    """Integers for every argument of a qnn program."""
    rng = np.random.default_rng(seed)
    found = []
    for arg in program.entry.args:
        shape = arg.type.get_shape()
        bits = arg.type.element_type.width.data
        if len(shape) == 3 and shape[0] == DYNAMIC:
            full = (steps, batch, shape[2])
        else:
            full = tuple(batch if s == DYNAMIC else s for s in shape)
        found.append(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), full))
    return found
