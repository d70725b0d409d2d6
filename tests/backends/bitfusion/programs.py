"""Small nn programs with grids, lowered through the real passes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from mohaq.backends.base import Estimate, Options, Simulation, Target, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.dialects.nn import LayerOp, LinearOp, SruOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, float_tensor, int_width, shape_of
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.parameters import ParameterStore, tensor_type
from mohaq.compiler.program import GRID_KEY, Program, parse_module
from mohaq.passes.lower_to_qnn import lower_to_qnn


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

    @property
    def count(self) -> int:
        return 2 if self.direction == "bidirectional" else 1


def nn_program(inputs: int, specs: list[Spec], seed: int, *, carried: bool = False) -> Program:
    """A chain of layers l0, l1, ... with random weights and grids of the given widths."""
    rng = np.random.default_rng(seed)
    states = [s for s in specs if s.kind == "sru"] if carried else []
    args = [float_tensor([DYNAMIC, DYNAMIC, inputs])]
    args += [float_tensor([s.count, DYNAMIC, s.size]) for s in states]
    block = Block(arg_types=args)
    store = ParameterStore()
    declares: list[DeclareOp] = []

    def load(name: str, array: npt.NDArray[Any]) -> SSAValue:
        store[name] = array.astype(np.float32)
        kind = tensor_type(store[name])
        declares.append(DeclareOp(name, kind))
        op = LoadOp(name, kind)
        block.add_op(op)
        return op.result

    x: SSAValue = block.args[0]
    width = inputs
    finals: list[SSAValue] = []
    pending = list(block.args[1:])
    for number, spec in enumerate(specs):
        label = f"l{number}"
        grids = {
            "input": GridAttr.from_clip(spec.a, 2.0),
            "weight": GridAttr.from_clip(spec.w, 1.0),
        }
        layer: LayerOp
        if spec.kind == "fc":
            w = load(f"{label}.weight", rng.uniform(-1, 1, (spec.size, width)))
            b = load(f"{label}.bias", rng.normal(size=spec.size)) if spec.bias else None
            layer = LinearOp(label, x, w, b)
            grids["output"] = GridAttr.from_clip(16, 8.0)
            width = spec.size
        else:
            gates = 4 if spec.skip == "projected" else 3
            w = load(f"{label}.weight", rng.uniform(-1, 1, (spec.count, gates, spec.size, width)))
            v = load(f"{label}.vector", rng.normal(size=(spec.count, 2, spec.size)))
            bias = load(f"{label}.bias", rng.normal(size=(spec.count, 2, spec.size)))
            init = pending.pop(0) if carried else None
            layer = SruOp(label, x, w, v, bias, init, direction=spec.direction, skip=spec.skip)
            grids["vector"] = GridAttr.from_clip(16, 4.0)
            grids["gate"] = GridAttr.of(16, 2.0**-11)
            grids["state"] = GridAttr.from_clip(16, 4.0)
            width = spec.count * spec.size
            if carried:
                finals.append(layer.final_state)
        layer.attributes["quant"] = DictionaryAttr(grids)
        block.add_op(layer)
        x = layer.results[0]
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


def qnn_program(inputs: int, specs: list[Spec], seed: int, *, carried: bool = False) -> Program:
    """The neutral integer program of a chain of layers."""
    return lower_to_qnn(nn_program(inputs, specs, seed, carried=carried))


def from_text(text: str, **arrays: npt.NDArray[Any]) -> Program:
    """A program written by hand; parameters are named with `_` for `.`."""
    store = ParameterStore(arrays)
    program = Program(parse_module(text, MohaqContext(parameters=store), "test"), store)
    program.verify()
    return program


def random_inputs(
    program: Program, steps: int, batch: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Full-range integers for every argument of a qnn program."""
    rng = np.random.default_rng(seed)
    found = []
    for arg in program.entry.args:
        shape = shape_of(arg)
        bits = int_width(arg)[0]
        full = [batch if s == DYNAMIC else s for s in shape]
        if len(shape) == 3 and shape[0] == DYNAMIC:
            full[0] = steps
        found.append(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), full))
    return found


@dataclass(frozen=True)
class Built:
    """A program through legalization, lowering and emission."""

    legal: Program
    lowered: Program
    folder: Path


def build(program: Program, target: Target, folder: Path, options: Options | None = None) -> Built:
    legal = BACKEND.legalize(program, target)
    legal.verify()
    lowered = BACKEND.lower(legal, target, options or Options())
    lowered.verify()
    BACKEND.emit(lowered, folder, target)
    return Built(legal, lowered, folder)


def check_run(
    built: Built,
    target: Target,
    inputs: list[npt.NDArray[np.int64]],
    workload: Workload,
    options: Options | None = None,
) -> tuple[Simulation, Estimate]:
    """Simulate; outputs must equal the reference, figures the estimate."""
    options = options or Options()
    run = BACKEND.simulate(built.folder, inputs, options)
    for expected, got in zip(run_integer(built.legal, inputs), run.outputs, strict=True):
        np.testing.assert_array_equal(expected, got)
    estimate = BACKEND.estimate(built.lowered, target, workload, options)
    assert dict(estimate.layers) == dict(run.measured.layers)
    assert estimate.total == run.measured.total
    assert estimate.size_bytes == run.measured.size_bytes
    return run, estimate
