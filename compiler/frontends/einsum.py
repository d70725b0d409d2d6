"""einsum of one or two tensors as moves, sums and one product."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence

from xdsl.ir import Operation, SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of

Add = Callable[[Operation], SSAValue]


class UnwritableError(Exception):
    """This einsum has no such form; the text says why."""


def einsum(equation: str, operands: Sequence[SSAValue], add: Add) -> SSAValue:
    """The result of an einsum.

    Args:
        equation: e.g. `bth,bsh->bts`; without `->` the labels that appear once, sorted.
        operands: one or two.
        add: appends an operation.

    Raises:
        UnwritableError: more operands, an ellipsis, a label twice in one operand, several summed labels,
            or several labels of each operand alone.
    """
    left, result = _parse(equation, len(operands))
    values = [
        _without(add, value, labels, set("".join(left[:n] + left[n + 1 :]) + result))
        for n, (value, labels) in enumerate(zip(operands, left, strict=True))
    ]
    if len(values) == 1:
        value, labels = values[0]
        return _ordered(add, value, labels, result)
    (a, of_a), (b, of_b) = values
    shared = [c for c in of_a if c in of_b]
    batch, summed = [c for c in shared if c in result], [c for c in shared if c not in result]
    rows, columns = [c for c in of_a if c not in of_b], [c for c in of_b if c not in of_a]
    if len(columns) > 1:
        (a, of_a, rows), (b, of_b, columns) = (b, of_b, columns), (a, of_a, rows)
    for group, title in ((summed, "summed"), (columns, "free")):
        if len(group) > 1:
            raise UnwritableError(f"the {title} labels {', '.join(group)} would have to be joined")
    # Further rows are extents of 1 in the other operand, which the product broadcasts.
    a = _placed(add, a, of_a, [*batch, *(rows or [""]), *(summed or [""])])
    spare = [""] * (len(rows) - 1)
    b = _placed(add, b, of_b, [*batch, *spare, *(summed or [""]), *(columns or [""])])
    made = add(nn.MatmulOp(a, b))
    last = len(batch) + max(len(rows), 1)
    gone = ([last - 1] if not rows else []) + ([last] if not columns else [])
    if gone:
        made = add(nn.SqueezeOp(made, gone))
    return _ordered(add, made, "".join([*batch, *rows, *columns]), result)


def _parse(equation: str, count: int) -> tuple[list[str], str]:
    text = equation.replace(" ", "")
    if "." in text:
        raise UnwritableError("it has an ellipsis")
    before, arrow, after = text.partition("->")
    left = before.split(",")
    if len(left) != count or count not in (1, 2):
        raise UnwritableError(f"it has {count} operands for {len(left)} groups of labels")
    letters = set(before.replace(",", ""))
    if not arrow:
        joined = before.replace(",", "")
        after = "".join(sorted(c for c in letters if joined.count(c) == 1))
    if not letters <= set(string.ascii_letters) or not set(after) <= letters:
        raise UnwritableError(f"its labels do not fit: {text[:60]}")
    if any(len(set(labels)) < len(labels) for labels in (*left, after)):
        raise UnwritableError("it has a label twice in one operand")
    return left, after


def _without(add: Add, value: SSAValue, labels: str, needed: set[str]) -> tuple[SSAValue, str]:
    """Without the labels that nothing else has: summed at once."""
    if len(labels) != len(shape_of(value)):
        raise UnwritableError(f"'{labels}' does not fit {len(shape_of(value))} extents")
    axes = [n for n, c in enumerate(labels) if c not in needed]
    if not axes:
        return value, labels
    kept = "".join(c for n, c in enumerate(labels) if n not in axes)
    return add(nn.ReduceOp("sum", value, axes, keep=False)), kept


def _placed(add: Add, value: SSAValue, labels: str, wanted: Sequence[str]) -> SSAValue:
    """Extents in another order; an extent of 1 for every empty label."""
    value = _ordered(add, value, labels, "".join(wanted))
    empty = [n for n, c in enumerate(wanted) if not c]
    return add(nn.UnsqueezeOp(value, empty)) if empty else value


def _ordered(add: Add, value: SSAValue, labels: str, wanted: str) -> SSAValue:
    order = [labels.index(c) for c in wanted]
    return value if order == list(range(len(order))) else add(nn.TransposeOp(value, order))
