"""What the conversions of `qnn` operations share: values, constants, exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import functions_of
from mohaq.compiler.dialects.types import int_range, int_width
from mohaq.compiler.onnx_export.graph import OnnxGraph
from mohaq.compiler.program import Program

Array = npt.NDArray[np.int64]
LARGEST = 2**63 - 1


class IntegerWork:
    """An ONNX graph under construction for a `qnn` program.

    All values are int64. `graph` is where nodes go: the main graph, or the body of a loop;
    constants always stand in the main graph, whose names a body sees.
    """

    def __init__(self, program: Program, graph: OnnxGraph | None = None) -> None:
        self.program = program
        self.top = self.graph = graph or OnnxGraph()
        self.values: dict[SSAValue, str] = {}
        self.tables = functions_of(program.module.body.block.ops)

    def constant(self, values: npt.ArrayLike, hint: str = "constant") -> str:
        """Integers of 64 bits."""
        return self.top.constant(np.asarray(values, dtype=np.int64), hint)

    def scalar(self, values: Sequence[int], repeat: int) -> str:
        """One number when all are equal, else a vector with every number `repeat` times."""
        if len(set(values)) == 1:
            return self.constant(values[0])
        return self.constant(np.repeat(np.asarray(values, dtype=np.int64), repeat))

    def value(self, value: SSAValue) -> str:
        """Name of a value; parameters and views of them become initializers on first use."""
        if value not in self.values:
            held = self.array(value)
            assert held is not None
            self.values[value] = self.narrow(held, name_of(value))
        return self.values[value]

    def narrow(self, held: Array, hint: str) -> str:
        """A constant in the narrowest type, and a Cast to 64 bits, which runtimes fold."""
        for kind in (np.int8, np.int16, np.int32):
            limits = np.iinfo(kind)
            if held.size > 16 and limits.min <= held.min() and held.max() <= limits.max:
                name = self.top.constant(np.ascontiguousarray(held.astype(kind)), hint)
                return self.top.node("Cast", [name], f"{hint}.wide", to=INT64)
        return self.constant(np.ascontiguousarray(held), hint)

    def array(self, value: SSAValue) -> Array | None:
        """Integers of a parameter or of a view of parameters, None for a computed value."""
        op = value.owner
        if isinstance(op, LoadOp):
            data: Array = self.program.parameters[op.symbol].astype(np.int64)
            return data
        if not isinstance(op, (qnn.SliceOp, qnn.SelectOp, qnn.ConcatOp, qnn.StackOp)):
            return None
        parts = [self.array(v) for v in op.operands]
        held = [p for p in parts if p is not None]
        if len(held) != len(parts):
            return None
        match op:
            case qnn.SliceOp():
                start = op.offset.value.data
                return held[0][..., start : start + op.size.value.data]
            case qnn.SelectOp():
                chosen: Array = held[0][op.index.value.data]
                return chosen
            case qnn.ConcatOp():
                return np.concatenate(held, axis=-1)
        return np.stack(held)

    # Exact arithmetic.

    def clamp(self, x: str, low: int, high: int) -> str:
        """x within [low, high]."""
        return self.graph.node("Clip", [x, self.constant(low), self.constant(high)])

    def shift_right(
        self, x: str, bounds: tuple[int, int], shifts: Sequence[int], repeat: int, rounds: bool
    ) -> str:
        """floor((x + half) / 2^s), half = 2^(s-1) where `rounds`, else 0.

        The Div of ONNX rounds toward zero. So x is first moved up by a multiple of 2^s that
        makes it positive; where that would leave 64 bits, the remainder is taken off instead.

        Args:
            x: int64; with several shifts, its last extent has `repeat` times as many channels.
            bounds: smallest and largest x.
            shifts: s, one or one for every run of `repeat` channels, each 0..62.
            repeat: channels of a run.
            rounds: halves go up.
        """
        if not any(shifts):
            return x
        graph = self.graph
        half = [(1 << s) // 2 if rounds else 0 for s in shifts]
        steps = [-((bounds[0] + h) >> s) for h, s in zip(half, shifts, strict=True)]
        steps = [max(0, n) for n in steps]
        moves = [(n << s) + h for n, s, h in zip(steps, shifts, half, strict=True)]
        divisors = self.scalar([1 << s for s in shifts], repeat)
        if max(moves) + bounds[1] > LARGEST or max(moves) > LARGEST:
            if any(half):
                x = graph.node("Add", [x, self.scalar(half, repeat)])
            x = graph.node("Sub", [x, graph.node("Mod", [x, divisors])])
            return graph.node("Div", [x, divisors])
        if any(moves):
            x = graph.node("Add", [x, self.scalar(moves, repeat)])
        x = graph.node("Div", [x, divisors])
        return graph.node("Sub", [x, self.scalar(steps, repeat)]) if any(steps) else x


INT64 = 7
"""onnx.TensorProto.INT64."""


def limits(value: SSAValue) -> tuple[int, int]:
    """Smallest and largest integer of a value's type."""
    width, signed = int_width(value)
    return int_range(width, signed=signed)


def name_of(value: SSAValue) -> str:
    """A name for a parameter or a view of one."""
    op = value.owner
    while isinstance(op, Operation) and not isinstance(op, LoadOp):
        op = op.operands[0].owner
    return op.symbol if isinstance(op, LoadOp) else "view"


Conversion = Callable[[IntegerWork, Any], "list[str]"]
INTEGER_CONVERSIONS: dict[type[Operation], Conversion] = {}
"""Operation -> function that emits its nodes and gives the names of its results."""


def converts(kind: type[Operation]) -> Callable[[Conversion], Conversion]:
    """Register the conversion of an operation."""

    def register(function: Conversion) -> Conversion:
        INTEGER_CONVERSIONS[kind] = function
        return function

    return register
