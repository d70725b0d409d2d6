"""Names for the symbolic extents of a value, so that importers can tell T from B.

The type of a value says only `?`. Here every `?` gets a sympy expression that follows the value
from the program's inputs through the operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from xdsl.ir import BlockArgument, SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC, shape_of

Extent = Any
"""int or sympy.Expr."""


class Extents:
    """Extents of values; unknown ones get fresh symbols."""

    def __init__(self) -> None:
        self._known: dict[SSAValue, tuple[Extent, ...]] = {}
        self._count = 0

    def fresh(self) -> sympy.Symbol:
        """A symbol of its own."""
        self._count += 1
        return sympy.Symbol(f"n{self._count}", integer=True, positive=True)

    def name(self, value: SSAValue, names: Sequence[str | None]) -> None:
        """Say what the symbolic extents of a program's input are called."""
        self._known[value] = tuple(
            size
            if size != DYNAMIC
            else (sympy.Symbol(f"@{name}", integer=True, positive=True) if name else self.fresh())
            for size, name in zip(shape_of(value), names, strict=True)
        )

    def of(self, value: SSAValue) -> tuple[Extent, ...]:
        """Extents of a value: numbers and expressions."""
        if value not in self._known:
            shape = shape_of(value)
            guess = self._derived(value) if DYNAMIC in shape else shape
            self._known[value] = tuple(
                size if size != DYNAMIC else (g if g is not None else self.fresh())
                for size, g in zip(shape, guess, strict=True)
            )
        return self._known[value]

    def _derived(self, value: SSAValue) -> Sequence[Extent | None]:
        rank = len(shape_of(value))
        nothing: list[Extent | None] = [None] * rank
        if isinstance(value, BlockArgument):
            return nothing
        op = value.owner
        match op:
            case nn.UnaryOp() | nn.SoftmaxOp() | nn.FlipOp() | nn.FakeQuantizeOp():
                return self.of(op.input)
            case nn.BatchNormOp() | nn.LayerNormOp():
                return self.of(op.input)
            case nn.LinearOp():
                return [*self.of(op.input)[:-1], None]
            case nn.RecurrentOp():
                steps, batch, _ = self.of(op.operands[0])
                if value is op.results[0]:
                    return [steps, batch, None]
                return [None, batch, None]
            case nn.TransposeOp():
                held = self.of(op.input)
                return [held[n] for n in op.order]
            case nn.UnsqueezeOp():
                rest = iter(self.of(op.input))
                return [1 if n in op.axis_numbers else next(rest) for n in range(rank)]
            case nn.SqueezeOp():
                held = self.of(op.input)
                return [e for n, e in enumerate(held) if n not in op.axis_numbers]
            case nn.SliceOp() | nn.PadOp():
                cut: list[Extent | None] = list(self.of(op.input))
                axis = op.axis.value.data
                if isinstance(op, nn.PadOp):
                    total = op.before.value.data + op.after.value.data
                    cut[axis] = self.of(op.input)[axis] + total
                else:
                    cut[axis] = self._sliced(op)
                return cut
            case nn.ReshapeOp():
                return self._reshaped(op)
            case nn.ConcatOp():
                joined = list(self.of(op.parts[0]))
                axis = op.axis.value.data
                joined[axis] = sum(self.of(p)[axis] for p in op.parts)
                return joined
            case nn.BinaryOp():
                return self._broadcast(self.of(op.lhs), self.of(op.rhs))
            case nn.MatmulOp():
                a, b = self.of(op.lhs), self.of(op.rhs)
                return [*self._broadcast(a[:-2], b[:-2]), a[-2], b[-1]]
            case nn.ReduceOp():
                held = self.of(op.input)
                if op.keep.value.data:
                    return [1 if n in op.axis_numbers else e for n, e in enumerate(held)]
                return [e for n, e in enumerate(held) if n not in op.axis_numbers]
            case nn.EmbeddingOp():
                return [*self.of(op.indices), None]
            case nn.Conv1dOp():
                batch, _, steps = self.of(op.input)
                span = op.dilation.value.data * (shape_of(op.weight)[2] - 1) + 1
                return [batch, None, _windows(steps + sum(op.pads), span, op.stride.value.data)]
            case nn.Conv2dOp():
                batch, _, *plane = self.of(op.input)
                kernel, zeros = shape_of(op.weight)[2:], op.zeros
                spans = [r * (k - 1) + 1 for r, k in zip(op.reach, kernel, strict=True)]
                room = [e + zeros[n] + zeros[n + 2] for n, e in enumerate(plane)]
                return [batch, None, *map(_windows, room, spans, op.steps)]
            case nn.Pool1dOp():
                batch, channels, steps = self.of(op.input)
                return [
                    batch,
                    channels,
                    _windows(steps, op.kernel.value.data, op.stride.value.data),
                ]
            case nn.Pool2dOp():
                batch, channels, *plane = self.of(op.input)
                return [batch, channels, *map(_windows, plane, op.window, op.steps)]
            case nn.CastOp():
                return self.of(op.input)
            case nn.CompareOp():
                return self._broadcast(self.of(op.lhs), self.of(op.rhs))
            case nn.SelectOp():
                pair = self._broadcast(self.of(op.chosen), self.of(op.other))
                return self._broadcast(pair, self.of(op.condition))
            case nn.ArgReduceOp():
                held, axis = self.of(op.input), op.axis.value.data
                if op.keep.value.data:
                    return [1 if n == axis else e for n, e in enumerate(held)]
                return [e for n, e in enumerate(held) if n != axis]
        return nothing

    def _sliced(self, op: nn.SliceOp) -> Extent | None:
        """n - k for a cut of k elements at one end; nothing where it cannot be told."""
        chosen, extent = op.range, self.of(op.input)[op.axis.value.data]
        if chosen.step == 1 and chosen.start >= 0 and (chosen.stop is None or chosen.stop < 0):
            return extent - chosen.start + (chosen.stop or 0)
        return None

    def _reshaped(self, op: nn.ReshapeOp) -> list[Extent | None]:
        held, wanted = self.of(op.input), op.extents
        like = () if op.like is None else self.of(op.like)
        found: list[Extent | None] = [
            held[n] if size == 0 else like[-2 - size] if size < -1 else size
            for n, size in enumerate(wanted)
        ]
        if -1 in wanted:
            rest = sympy.Integer(1)
            for e in held:
                rest = rest * e
            for e in (e for e in found if e != -1):
                rest = rest / e
            rest = sympy.simplify(rest)
            found[list(wanted).index(-1)] = int(rest) if rest.is_Integer else rest
        return found

    @staticmethod
    def _broadcast(a: Sequence[Extent], b: Sequence[Extent]) -> list[Extent]:
        size = max(len(a), len(b))
        pairs = zip(
            (1,) * (size - len(a)) + tuple(a), (1,) * (size - len(b)) + tuple(b), strict=True
        )
        # An extent that is no number may still be 1; then the other operand decides.
        return [n if m == 1 else m if n == 1 or not isinstance(n, int) else n for m, n in pairs]


def _windows(room: Extent, span: int, stride: int) -> Extent:
    """Places of a window of `span` elements in `room`."""
    if stride == 1:
        return room - span + 1
    return sympy.floor((room - span) / sympy.Integer(stride)) + 1
