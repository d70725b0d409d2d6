"""How reshapes to symbolic sizes, and repetitions to them, are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.analysis.extents import Extents
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of


def reshape_of(
    x: SSAValue,
    wanted: Sequence[Any],
    extents: Extents,
    others: Sequence[SSAValue],
    same: Callable[[Any, Any], bool],
) -> nn.ReshapeOp | None:
    """A reshape, or None if no value at hand has the symbolic extents.

    Args:
        x: what is reshaped.
        wanted: numbers, -1, or expressions of sizes.
        extents: of the values of the program.
        others: values whose extents may be borrowed, beside those of x.
        same: whether an extent is a wanted one.
    """
    have = extents.of(x)
    wanted = _closed(wanted, have)
    found: list[int | None] = []
    for place, size in enumerate(wanted):
        if place < len(have) and size != -1 and same(have[place], size):
            found.append(0)
        else:
            found.append(size if isinstance(size, int) else None)
    missing = [n for n, size in enumerate(found) if size is None]
    if missing and -1 not in found:
        found[missing.pop(0)] = -1  # the rest of the elements
    if not missing:
        return nn.ReshapeOp(x, [n for n in found if n is not None])
    for like in (x, *others):
        lent = extents.of(like)
        # What is left open may be any of the symbolic extents that nobody lends.
        chosen: list[int | None] = [
            size if size != -1 or wanted[n] == -1 else None for n, size in enumerate(found)
        ]
        for n, extent in enumerate(chosen):
            if extent is None:
                lender = next((p for p, e in enumerate(lent) if same(e, wanted[n])), None)
                chosen[n] = None if lender is None else nn.extent_of(lender)
        if chosen.count(None) == 1 and -1 not in chosen:
            chosen[chosen.index(None)] = -1
        if None not in chosen:
            return nn.ReshapeOp(x, [n for n in chosen if n is not None], like)
    return None


def _closed(wanted: Sequence[Any], have: Sequence[Any]) -> list[Any]:
    """With a number for what is left open, where one follows: [T, B, F] to [T B, -1] is F wide."""
    rest = [size for size in wanted if size != -1]
    if len(rest) + 1 != len(wanted) or not all(rest):
        return list(wanted)
    open_one = sympy.Mul(*have) / sympy.Mul(*rest)
    if not open_one.is_Integer:
        return list(wanted)
    return [int(open_one) if size == -1 else size for size in wanted]


def spread_to(
    x: SSAValue,
    wanted: Sequence[Any],
    extents: Extents,
    others: Sequence[SSAValue],
    same: Callable[[Any, Any], bool],
    add: Callable[[Operation], SSAValue],
) -> SSAValue | None:
    """A value whose extents of 1 are repeated to symbolic sizes, or None if no value has them.

    A zero is added that is as long as a value of that extent: x < x of it, which no value makes
    true.

    Args:
        x: of the rank of `wanted`; its other extents are the wanted ones already.
        wanted: numbers, or expressions of sizes.
        extents: of the values of the program.
        others: values whose extents may be borrowed.
        same: whether an extent is a wanted one.
        add: appends an operation.
    """
    rank = len(wanted)
    for axis, extent in enumerate(wanted):
        if same(extents.of(x)[axis], extent):
            continue
        lenders = (
            (value, place)
            for value in others
            for place, have in enumerate(extents.of(value))
            if same(have, extent)
        )
        value, place = next(lenders, (None, 0))
        if value is None or isinstance(extent, int):
            return None
        lent = len(shape_of(value))
        for n in range(lent):
            if n != place:
                value = add(nn.SliceOp(value, n, 0, 1))
        if lent > 1:
            value = add(nn.SqueezeOp(value, [n for n in range(lent) if n != place]))
        zero = add(nn.CompareOp("less", value, value))
        if rank > 1:
            zero = add(nn.UnsqueezeOp(zero, [n for n in range(rank) if n != axis]))
        x = add(nn.BinaryOp("add", x, zero))
    return x
