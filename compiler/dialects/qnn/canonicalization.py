"""What the pass `canonicalize` does to `qnn` operations. No value ever changes.

Views of views become one view, and what cannot change a value goes. Results keep their types,
so no operation downstream is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern
from xdsl.traits import HasCanonicalizationPatternsTrait

from mohaq.compiler.dialects.types import int_range, int_width, shape_of

MARK = "layer"
"""Attribute that an operation made from another one takes over."""


class ViewTrait(HasCanonicalizationPatternsTrait):
    """Patterns of slice, concat, select and stack."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """All of them; each looks at its own operation only."""
        return (SimplerSlice(), SimplerConcat(), SelectOfStack(), StackOfSelects())


class ValueTrait(HasCanonicalizationPatternsTrait):
    """Patterns of saturate, shl and requantize."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """All of them."""
        return (DropUnchanged(), JoinSaturations(), OneScale())


def _replace(rewriter: PatternRewriter, op: Operation, made: Operation) -> None:
    if MARK in op.attributes:
        made.attributes[MARK] = op.attributes[MARK]
    rewriter.replace(op, made)


class DropUnchanged(RewritePattern):
    """A clamp to the type of its operand, a shift by 0, a scale of (1, 0)."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Replace the result by the operand."""
        from mohaq.compiler.dialects import qnn

        match op:
            case qnn.SaturateOp():
                idle = True
            case qnn.ShlOp():
                idle = op.amount.value.data == 0
            case qnn.RequantizeOp():
                idle = set(op.scales()) == {(1, 0)}
            case _:
                return
        if idle and op.operands[0].type == op.results[0].type:
            rewriter.replace(op, [], [op.operands[0]])


class JoinSaturations(RewritePattern):
    """A clamp of a clamped or rescaled value, where the outer range lies in the inner one."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """One operation with the outer type."""
        from mohaq.compiler.dialects import qnn

        if not isinstance(op, qnn.SaturateOp):
            return
        inner = op.input.owner
        if not isinstance(inner, (qnn.SaturateOp, qnn.RequantizeOp)):
            return
        (low, high), (least, most) = _edges(op.result), _edges(inner.result)
        if low < least or high > most:
            return
        if isinstance(inner, qnn.SaturateOp):
            op.operands[0] = inner.input
            rewriter.notify_op_modified(op)
        elif len(list(inner.result.uses)) == 1 and least < 0 and low < 0:
            ms, ss = zip(*inner.scales(), strict=True)
            _replace(rewriter, op, qnn.RequantizeOp(inner.input, ms, ss, int_width(op.result)[0]))


def _edges(value: SSAValue) -> tuple[int, int]:
    width, signed = int_width(value)
    return int_range(width, signed=signed)


class OneScale(RewritePattern):
    """A requantize whose runs of channels have one scale."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Write it once."""
        from mohaq.compiler.dialects import qnn

        if isinstance(op, qnn.RequantizeOp) and len(op.scales()) > 1:
            scales = set(op.scales())
            if len(scales) == 1 and int_width(op.result)[1]:
                ((m, s),) = scales
                _replace(
                    rewriter, op, qnn.RequantizeOp(op.input, [m], [s], int_width(op.result)[0])
                )


class SimplerSlice(RewritePattern):
    """A slice of everything, of a slice, or of a concat."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Read from where the channels come from."""
        from mohaq.compiler.dialects import qnn

        if not isinstance(op, qnn.SliceOp):
            return
        first, size = op.offset.value.data, op.size.value.data
        if op.result.type == op.input.type:
            rewriter.replace(op, [], [op.input])
            return
        inner = op.input.owner
        if isinstance(inner, qnn.SliceOp):
            made = qnn.SliceOp(inner.input, inner.offset.value.data + first, size)
            _replace(rewriter, op, made)
        elif isinstance(inner, qnn.ConcatOp):
            _slice_of_concat(op, inner.parts, first, size, rewriter)


def _slice_of_concat(
    op: Operation, parts: Sequence[SSAValue], first: int, size: int, rewriter: PatternRewriter
) -> None:
    """The one part that holds all channels, or the join of whole parts."""
    from mohaq.compiler.dialects import qnn

    start, whole = 0, []
    for part in parts:
        extent = shape_of(part)[-1]
        if start <= first and first + size <= start + extent:
            if size == extent:
                rewriter.replace(op, [], [part])
            else:
                _replace(rewriter, op, qnn.SliceOp(part, first - start, size))
            return
        if first <= start and start + extent <= first + size:
            whole.append(part)
        start += extent
    if whole and sum(shape_of(p)[-1] for p in whole) == size and len(whole) < len(parts):
        _replace(rewriter, op, qnn.ConcatOp(whole))


class SimplerConcat(RewritePattern):
    """A concat of one part, of concats, or of neighbouring slices."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Join what belongs together."""
        from mohaq.compiler.dialects import qnn

        if not isinstance(op, qnn.ConcatOp):
            return
        if len(op.parts) == 1:
            rewriter.replace(op, [], [op.parts[0]])
            return
        flat: list[SSAValue] = []
        for part in op.parts:
            inner = part.owner
            flat += inner.parts if isinstance(inner, qnn.ConcatOp) else [part]
        if len(flat) > len(op.parts):
            _replace(rewriter, op, qnn.ConcatOp(flat))
            return
        for at, (left, right) in enumerate(pairwise(flat)):
            a, b = left.owner, right.owner
            if not isinstance(a, qnn.SliceOp) or not isinstance(b, qnn.SliceOp):
                continue
            end = a.offset.value.data + a.size.value.data
            if a.input is b.input and end == b.offset.value.data:
                joined = qnn.SliceOp(
                    a.input, a.offset.value.data, a.size.value.data + b.size.value.data
                )
                if MARK in op.attributes:
                    joined.attributes[MARK] = op.attributes[MARK]
                rewriter.insert(joined)
                _replace(rewriter, op, qnn.ConcatOp([*flat[:at], joined.result, *flat[at + 2 :]]))
                return


class SelectOfStack(RewritePattern):
    """select(stack(a, b), 1) is b."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Replace it by the part."""
        from mohaq.compiler.dialects import qnn

        if isinstance(op, qnn.SelectOp) and isinstance(op.input.owner, qnn.StackOp):
            rewriter.replace(op, [], [op.input.owner.parts[op.index.value.data]])


class StackOfSelects(RewritePattern):
    """A stack of all entries of a value, in their order, is the value."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        """Replace it by the value."""
        from mohaq.compiler.dialects import qnn

        if not isinstance(op, qnn.StackOp):
            return
        owners = [part.owner for part in op.parts]
        first = owners[0]
        if not isinstance(first, qnn.SelectOp) or first.input.type != op.result.type:
            return
        for number, owner in enumerate(owners):
            if not isinstance(owner, qnn.SelectOp) or owner.input is not first.input:
                return
            if owner.index.value.data != number:
                return
        rewriter.replace(op, [], [first.input])
