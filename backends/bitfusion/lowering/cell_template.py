"""A legalized program of one recurrent cell, without data: what costs count.

The layer is built as an `nn` operation with weights of zeros and lowered by the passes that lower
real ones; blocks do not depend on weights or on the sizes of scales. Scales are no powers of two,
as calibration gives them, and a clip is one that can be reached.
"""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from mohaq.backends.bitfusion.legalize import legalize
from mohaq.compiler.analysis.layers import Layer
from mohaq.compiler.analysis.storage import GATE_GRID, UNIT_GRID
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import (
    POOLINGS,
    FunctionAttr,
    GruOp,
    LiGruOp,
    LstmOp,
    QrnnOp,
    RecurrentOp,
    RnnOp,
)
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, float_tensor
from mohaq.compiler.parameters import ParameterStore, tensor_type
from mohaq.compiler.program import ENTRY, GRID_KEY, Program
from mohaq.passes.lower_to_qnn import lower_to_qnn

CELLS = ("rnn", "lstm", "gru", "ligru", "qrnn")
CLIP = 1.7
"""Of every grid but those that are fixed; its scale is no power of two."""

REACHED = 0.5
"""Limit of the sums of a clipped cell."""


def cell_template(layer: Layer, widths: dict[str, int], stored: int, *, carried: bool) -> Program:
    """The legalized program of one layer.

    Args:
        layer: shape and kind, one of `CELLS`.
        widths: of its searched slots.
        stored: width that its input arrives in.
        carried: recurrent states come in and go out.

    Raises:
        MohaqError: another kind of layer.
    """
    return legalize(lower_to_qnn(_Template(layer, widths, stored, carried=carried).program()))


class _Template:
    def __init__(self, layer: Layer, widths: dict[str, int], stored: int, *, carried: bool) -> None:
        self.layer, self.widths, self.stored, self.carried = layer, widths, stored, carried
        self.store = ParameterStore()
        self.declared: list[DeclareOp] = []
        types = [float_tensor([DYNAMIC, DYNAMIC, layer.inputs])]
        self.shown = layer.recurrent_inputs or layer.hidden
        sizes = [self.shown, layer.hidden] if layer.kind == "lstm" else [layer.hidden]
        if layer.kind == "qrnn" and layer.window == 2:
            sizes.append(layer.inputs)
        if carried:
            types += [float_tensor([layer.directions, DYNAMIC, size]) for size in sizes]
        self.block = Block(arg_types=types)

    def _load(self, title: str, *shape: int) -> SSAValue:
        name = f"layer.{title}"
        self.store[name] = np.zeros(shape, dtype=np.float32)
        kind = tensor_type(self.store[name])
        self.declared.append(DeclareOp(name, kind))
        op = LoadOp(name, kind)
        self.block.add_op(op)
        return op.result

    def program(self) -> Program:
        """The annotated `nn` program."""
        layer = self.layer
        op = self._op()
        wide = GridAttr.from_clip(16, CLIP)
        arrives = wide if self.stored == 16 else GridAttr.from_clip(self.stored, CLIP)
        grids = {s: GridAttr.from_clip(self.widths[s], CLIP) for s in layer.slots}
        grids |= dict.fromkeys(layer.fixed, wide)
        grids |= dict.fromkeys(layer.unit, UNIT_GRID)
        grids["gate"] = GATE_GRID
        held = grids[layer.held]
        if "hidden" in grids and grids["hidden"].bits == 16:
            grids["hidden"] = held
        op.attributes["quant"] = DictionaryAttr(grids)
        self.block.add_op(op)
        states = list(op.state_results().items()) if self.carried else []
        if layer.kind == "qrnn" and layer.window == 1:
            states = states[:1]
        results = [op.results[0], *(value for _, value in states)]
        self.block.add_op(ReturnOp(*results))
        given = [arrives, *(grids[slot] for slot, _ in states)]
        taken = [held, *(grids[slot] for slot, _ in states)]
        function = FuncOp(
            ENTRY,
            ([a.type for a in self.block.args], [r.type for r in results]),
            Region(self.block),
            arg_attrs=ArrayAttr([DictionaryAttr({GRID_KEY: g}) for g in given]),
            res_attrs=ArrayAttr([DictionaryAttr({GRID_KEY: g}) for g in taken]),
        )
        return Program(ModuleOp([*self.declared, function]), self.store)

    def _functions(self) -> list[FunctionAttr]:
        found = []
        for text in self.layer.functions:
            kind, *numbers = text.split()
            found.append(FunctionAttr.of(kind, *map(float, numbers)))
        return found

    def _op(self) -> RecurrentOp:
        layer = self.layer
        x, *states = self.block.args
        count, hidden, inputs = layer.directions, layer.hidden, layer.inputs
        direction = "bidirectional" if count == 2 else "forward"
        functions = self._functions()
        clip = REACHED if layer.clipped else None
        state = states[0] if states else None
        if layer.kind == "qrnn":
            shape = (count, layer.gates, hidden, layer.window, inputs)
            pooling = next(name for name, gates in POOLINGS.items() if gates == layer.gates)
            return QrnnOp(
                layer.name, x, self._load("weight", *shape),
                self._load("bias", count, layer.gates, hidden) if layer.bias else None,
                initial_state=state, initial_input=states[1] if len(states) > 1 else None,
                direction=direction, pooling=pooling,
            )  # fmt: skip
        rows = 4 if layer.kind == "lstm" else layer.gates
        weights = (
            self._load("weight", count, rows, hidden, inputs),
            self._load("recurrent", count, rows, hidden, self.shown),
            self._load("bias", count, rows, hidden) if layer.bias else None,
        )
        match layer.kind:
            case "rnn":
                return RnnOp(
                    layer.name, x, *weights, initial_state=state, direction=direction,
                    activations=functions, clip=clip,
                )  # fmt: skip
            case "ligru":
                return LiGruOp(
                    layer.name, x, *weights, initial_state=state, direction=direction,
                    activations=functions, clip=clip,
                )  # fmt: skip
            case "gru":
                recurrent = layer.recurrent_bias
                return GruOp(
                    layer.name, x, *weights, initial_state=state, direction=direction,
                    recurrent_bias=self._load("q", count, hidden) if recurrent else None,
                    reset_after=layer.reset_after, activations=functions, clip=clip,
                )  # fmt: skip
            case "lstm":
                peephole = self._load("peephole", count, 3, hidden) if layer.peepholes else None
                projection = None
                if layer.projected:
                    projection = self._load("projection", count, self.shown, hidden)
                return LstmOp(
                    layer.name, x, *weights, peephole=peephole, direction=direction,
                    projection=projection,
                    initial_h=states[0] if states else None,
                    initial_c=states[1] if states else None,
                    coupled=layer.gates == 3, activations=functions, clip=clip,
                )  # fmt: skip
        raise MohaqError(
            f"Bit Fusion has no costs for layers of kind '{layer.kind}'",
            where=f"layer '{layer.name}'",
        )
