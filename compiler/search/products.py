"""Joins products that a target takes apart, where one exact product gives the same sums.

A legalized program may split 16-bit operands into bytes or cut a sum along K, and join the
parts with shifts and adds. All of it is exact, so the value is a sum of products x_i W_i^T
with whole weights, and bytes of one value that differ by a factor of 256 are that value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import int_range, int_width

Ints = npt.NDArray[np.int64]

EXACT = 1 << 53
"""Sums below it are exact in float64."""


@dataclass(frozen=True)
class Joined:
    """Sum of x_i W_i^T (weights [N, K_i]) that replaces `absorbed` and the op it is for."""

    parts: tuple[tuple[SSAValue, Ints], ...]
    bound: int
    absorbed: tuple[Operation, ...]


def join_products(
    ops: Sequence[Operation], constants: Mapping[SSAValue, Ints]
) -> dict[Operation, Joined]:
    """The additions among framewise operations that are sums of products, outermost only."""
    found: dict[Operation, Joined] = {}
    taken: set[Operation] = set()
    for op in reversed(ops):
        if not isinstance(op, qnn.AddOp) or op in taken:
            continue
        absorbed: list[Operation] = []
        form = _form(op, constants, absorbed)
        if form is None:
            continue
        gone = set(absorbed) | {op}
        form = _whole_bytes(form)
        bound = sum(_bound(x, w) for x, w in form.items())
        if bound >= EXACT:
            continue
        cuts = {x.owner for part in absorbed for x in part.operands}
        unread = [
            cut
            for cut in cuts
            if isinstance(cut, qnn.SplitOp)
            and all(u.operation in gone for r in cut.results for u in r.uses)
            and not any(r in form for r in cut.results)
        ]
        taken.update(absorbed)
        found[op] = Joined(tuple(form.items()), bound, (*absorbed, *unread))
    return found


def _form(
    op: Operation, constants: Mapping[SSAValue, Ints], absorbed: list[Operation]
) -> dict[SSAValue, Ints] | None:
    """{x: W} of a sum of products; notes the operations inside."""
    if isinstance(op, qnn.MatmulOp):
        weight = None if op.acc.saturates else constants.get(op.weight)
        return None if weight is None else {op.input: weight}
    if not isinstance(op, (qnn.ShlOp, qnn.AddOp)):
        return None
    total: dict[SSAValue, Ints] = {}
    for value in op.operands:
        owner = value.owner
        if not isinstance(owner, Operation) or len(list(value.uses)) != 1:
            return None
        inner = _form(owner, constants, absorbed)
        if inner is None:
            return None
        absorbed.append(owner)
        for x, w in inner.items():
            total[x] = total[x] + w if x in total else w
    if isinstance(op, qnn.ShlOp):
        return {x: w << op.amount.value.data for x, w in total.items()}
    return total


def _whole_bytes(form: dict[SSAValue, Ints]) -> dict[SSAValue, Ints]:
    """Puts high and low bytes of one value together again: high 256 W + low W = value W."""
    made = dict(form)
    for x in form:
        cut = x.owner
        if not isinstance(cut, qnn.SplitOp) or x is not cut.high or cut.low not in made:
            continue
        if np.array_equal(made[cut.high], made[cut.low] << 8):
            weight = made.pop(cut.low)
            del made[cut.high]
            made[cut.input] = made[cut.input] + weight if cut.input in made else weight
    return made


def _bound(x: SSAValue, weight: Ints) -> int:
    width, signed = int_width(x)
    low, high = int_range(width, signed=signed)
    return int(np.abs(weight).sum(axis=1).max()) * max(-low, high)
