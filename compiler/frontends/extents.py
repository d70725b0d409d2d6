"""How a reshape to symbolic sizes is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xdsl.ir import SSAValue

from mohaq.compiler.analysis.extents import Extents
from mohaq.compiler.dialects import nn


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
