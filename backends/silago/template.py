"""A lowered program of one layer without data: what the cost model counts.

The layer is built as an `nn` operation with weights of zeros and lowered by the passes that lower
real ones. Phases do not depend on weights or on the amounts of shifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from mohaq.backends.silago.legalize import KNOWN, legalize
from mohaq.backends.silago.lowering import lower_to_phases
from mohaq.backends.silago.machine import Fabric
from mohaq.compiler.analysis.layers import Layer
from mohaq.compiler.analysis.storage import GATE_GRID, UNIT_GRID
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import (
    POOLINGS,
    FunctionAttr,
    GruOp,
    LayerOp,
    LiGruOp,
    LinearOp,
    LstmOp,
    QrnnOp,
    RnnOp,
    SruOp,
)
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, float_tensor
from mohaq.compiler.parameters import ParameterStore, tensor_type
from mohaq.compiler.program import ENTRY, GRID_KEY, Program
from mohaq.passes.lower_to_qnn import lower_to_qnn

STORED = GridAttr.of(16, 2.0**-12)


@dataclass(frozen=True)
class Widths:
    """Widths of a layer: operands, how its input arrives, how its result is held."""

    bits: int
    stored: int
    out: int


def lowered_layer(layer: Layer, widths: Widths, fabric: Fabric) -> Program:
    """The phases of a layer.

    Raises:
        MohaqError: a kind of layer that the fabric does not run.
    """
    neutral = lower_to_qnn(_Template(layer, widths).program())
    return lower_to_phases(legalize(neutral, KNOWN[fabric.numerics]))


class _Template:
    def __init__(self, layer: Layer, widths: Widths) -> None:
        self.layer, self.widths = layer, widths
        self.store = ParameterStore()
        self.declared: list[DeclareOp] = []
        self.block = Block(arg_types=[float_tensor([DYNAMIC, DYNAMIC, layer.inputs])])

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
        layer, widths = self.layer, self.widths
        op = self._op()
        grid = GridAttr.of(widths.bits, 2.0 ** (4 - widths.bits))
        grids = dict.fromkeys(layer.slots, grid)
        for slot in layer.fixed:
            grids[slot] = STORED
        for slot in layer.unit:
            grids[slot] = UNIT_GRID
        if "gate" in layer.fixed:
            grids["gate"] = GATE_GRID
        op.attributes["quant"] = DictionaryAttr(grids)
        self.block.add_op(op)
        result = op.results[0]
        self.block.add_op(ReturnOp(result))
        stored = STORED if widths.stored == 16 else grid
        out = GridAttr.of(widths.out, 2.0 ** (4 - widths.out))
        function = FuncOp(
            ENTRY,
            ([a.type for a in self.block.args], [result.type]),
            Region(self.block),
            arg_attrs=ArrayAttr([DictionaryAttr({GRID_KEY: stored})]),
            res_attrs=ArrayAttr([DictionaryAttr({GRID_KEY: out})]),
        )
        return Program(ModuleOp([*self.declared, function]), self.store)

    def _op(self) -> LayerOp:
        layer, x = self.layer, self.block.args[0]
        count, hidden, inputs = layer.directions, layer.hidden, layer.inputs
        direction = "bidirectional" if count == 2 else "forward"
        match layer.kind:
            case "linear":
                bias = self._load("bias", layer.outputs) if layer.bias else None
                return LinearOp(layer.name, x, self._load("weight", layer.outputs, inputs), bias)
            case "sru":
                gates = layer.gates
                return SruOp(
                    layer.name,
                    x,
                    self._load("weight", count, gates, hidden, inputs),
                    self._load("vector", count, 2, hidden),
                    self._load("bias", count, 2, hidden),
                    None,
                    direction=direction,
                    skip=layer.skip,
                    activation=layer.functions[1],
                )
            case "lstm":
                return self._lstm(direction)
            case "gru":
                return GruOp(
                    layer.name,
                    x,
                    self._load("weight", count, 3, hidden, inputs),
                    self._load("recurrent", count, 3, hidden, hidden),
                    self._load("bias", count, 3, hidden) if layer.bias else None,
                    recurrent_bias=self._load("recurrent_bias", count, hidden)
                    if layer.recurrent_bias
                    else None,
                    direction=direction,
                    reset_after=layer.reset_after,
                    activations=self._functions(),
                )
            case "rnn" | "ligru":
                kind, gates = (RnnOp, 1) if layer.kind == "rnn" else (LiGruOp, 2)
                return kind(
                    layer.name,
                    x,
                    self._load("weight", count, gates, hidden, inputs),
                    self._load("recurrent", count, gates, hidden, hidden),
                    self._load("bias", count, gates, hidden) if layer.bias else None,
                    direction=direction,
                    activations=self._functions(),
                )
            case "qrnn":
                return QrnnOp(
                    layer.name,
                    x,
                    self._load("weight", count, layer.gates, hidden, 1, inputs),
                    self._load("bias", count, layer.gates, hidden) if layer.bias else None,
                    direction=direction,
                    pooling=next(p for p, gates in POOLINGS.items() if gates == layer.gates),
                )
            case _:
                raise MohaqError(
                    f"SiLago has no costs for layers of kind '{layer.kind}'",
                    where=f"layer '{layer.name}'",
                )

    def _functions(self) -> list[FunctionAttr]:
        return [FunctionAttr.of(name) for name in self.layer.functions]

    def _lstm(self, direction: str) -> LayerOp:
        layer = self.layer
        count, hidden = layer.directions, layer.hidden
        return LstmOp(
            layer.name,
            self.block.args[0],
            self._load("weight", count, 4, hidden, layer.inputs),
            self._load("recurrent", count, 4, hidden, layer.recurrent_inputs),
            self._load("bias", count, 4, hidden) if layer.bias else None,
            peephole=self._load("peephole", count, 3, hidden) if layer.peepholes else None,
            projection=self._load("projection", count, layer.recurrent_inputs, hidden)
            if layer.projected
            else None,
            direction=direction,
            coupled=layer.gates == 3,
            activations=self._functions(),
        )
