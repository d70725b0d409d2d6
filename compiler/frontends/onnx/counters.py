"""Positions along time and masks of sequence lengths, followed to the loop that uses them.

`Range(0, T)` and the counter of a Loop have no operation in the program; nor has
`position < lengths`. Both are followed as what they are until a loop reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import element_of, shape_of
from mohaq.compiler.frontends.onnx.convert import (
    FOLLOWERS,
    Followed,
    GraphImporter,
    Held,
    Node,
    converts,
    whole,
)
from mohaq.compiler.frontends.onnx.sizes import numbers


@dataclass(frozen=True)
class Placed(Followed):
    """Something with `rank` extents, all 1 but those at `axes`."""

    rank: int
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Index(Placed):
    """start + step n for the steps n = 0, 1, ...; without an axis the number at one step."""

    refusal: ClassVar[str] = "it computes with positions along time"
    start: Any
    step: int


@dataclass(frozen=True)
class Outer(Followed):
    """A value from around a loop, read in its body."""

    refusal: ClassVar[str] = "its body reads a value from around the loop that is not constant"
    value: Any


@dataclass(frozen=True)
class Mask(Placed):
    """Whether a position is below its sequence's length; axes (time, batch), or (batch,).

    Attributes:
        lengths: [B], a value of the program around the loop, or constant.
        start: first position.
        step: 1 or -1.
        inverted: whether it is false there instead.
    """

    refusal: ClassVar[str] = "it computes with a mask of sequence lengths outside of a loop"
    lengths: Any
    start: Any
    step: int
    inverted: bool = False


Follower = Callable[[GraphImporter, Node], "list[Held] | None"]


def _follows(*kinds: str) -> Callable[[Follower], Follower]:
    def register(function: Follower) -> Follower:
        FOLLOWERS.update(dict.fromkeys(kinds, function))
        return function

    return register


@converts("Range", to="positions along time, for masks of sequence lengths")
def positions(work: GraphImporter, node: Node) -> Held:
    """From a number on, up or down by one."""
    start, limit, step = (work.held(node, n) for n in range(3))
    if not all(isinstance(h, np.ndarray) and h.size == 1 for h in (start, limit, step)):
        raise node.refuse("it counts to a number that is computed from data")
    by = whole(step.reshape(-1)[0])
    if by not in (1, -1):
        raise node.refuse("it counts in steps other than 1")
    return Index(1, (0,), start.reshape(-1)[0], by)


def _number(held: Held) -> Any:
    """A number or size that a tensor of one element holds; None for anything else."""
    if isinstance(held, np.ndarray) and held.size == 1 and held.dtype.kind in "iuO":
        return held.reshape(-1)[0]
    return None


@_follows("Add", "Sub")
def moved(work: GraphImporter, node: Node) -> list[Held] | None:
    """An index and a number."""
    a, b = (work.held(node, n) for n in (0, 1))
    sign = 1 if node.kind == "Add" else -1
    if isinstance(a, Index) and (number := _number(b)) is not None:
        return [replace(a, start=a.start + sign * number)]
    if isinstance(b, Index) and (number := _number(a)) is not None:
        return [replace(b, start=number + sign * b.start, step=sign * b.step)]
    return None


@_follows("Cast", "Identity")
def same(work: GraphImporter, node: Node) -> list[Held] | None:
    """Of another element type."""
    held = work.held(node, 0)
    return [held] if isinstance(held, (Index, Mask)) else None


@_follows("Not")
def negated(work: GraphImporter, node: Node) -> list[Held] | None:
    """Beyond the lengths."""
    held = work.held(node, 0)
    return [replace(held, inverted=not held.inverted)] if isinstance(held, Mask) else None


@_follows("Unsqueeze", "Squeeze", "Transpose", "Reshape", "Expand")
def placed(work: GraphImporter, node: Node) -> list[Held] | None:
    """Extents of 1 come, go and move."""
    held = work.held(node, 0)
    if not isinstance(held, Placed):
        return None
    rank, axes = held.rank, held.axes
    if node.kind in {"Unsqueeze", "Squeeze"}:
        given = numbers(work, node, "axes", 1)
        grown = rank + len(given or ()) if node.kind == "Unsqueeze" else rank
        if given is None:
            given = [n for n in range(rank) if n not in axes]
        chosen = {a % grown for a in given}
        kept = [n for n in range(grown) if n not in chosen]
        if node.kind == "Unsqueeze":
            rank, axes = grown, tuple(kept[a] for a in axes)
        else:
            rank, axes = len(kept), tuple(kept.index(a) for a in axes)
    elif node.kind == "Transpose":
        order = node.get("perm") or list(reversed(range(rank)))
        axes = tuple(order.index(a) for a in axes)
    else:
        target = work.held(node, 1)
        if not isinstance(target, np.ndarray):
            return None
        sizes = target.reshape(-1).tolist()
        if node.kind == "Expand":
            axes = tuple(a + max(len(sizes) - rank, 0) for a in axes)
            rank = max(rank, len(sizes))
        else:
            long = [n for n, size in enumerate(sizes) if whole(size) != 1]
            if len(long) != len(axes) or sorted(axes) != list(axes):
                return None
            rank, axes = len(sizes), tuple(long)
    return [replace(held, rank=rank, axes=axes)]


RELATIONS = {
    "Less": (True, False),
    "GreaterOrEqual": (True, True),
    "Greater": (False, False),
    "LessOrEqual": (False, True),
}
"""Comparison that is a mask -> (whether the position stands first, whether it is inverted)."""


@_follows(*RELATIONS)
def compared(work: GraphImporter, node: Node) -> list[Held] | None:
    """Positions with lengths."""
    first, inverted = RELATIONS[node.kind]
    held = [work.held(node, n) for n in (0, 1)]
    index, other = held if first else held[::-1]
    if not isinstance(index, Index):
        return None
    found = _vector(other)
    if found is None:
        return None
    lengths, rank, axis = found
    whole_rank = max(index.rank, rank)
    axes = tuple(a + whole_rank - index.rank for a in index.axes)
    axes += (axis + whole_rank - rank,)
    if len(set(axes)) != len(axes):
        raise node.refuse("it compares positions with as many numbers", "lengths [B, 1]")
    return [Mask(whole_rank, axes, lengths, index.start, index.step, inverted)]


def _vector(held: Held) -> tuple[Any, int, int] | None:
    """Whole numbers [B] at one axis of their rank: (numbers, rank, axis)."""
    if isinstance(held, Outer):
        held = held.value
    if isinstance(held, np.ndarray) and held.dtype.kind in "iu":
        long = [n for n, size in enumerate(held.shape) if size != 1]
        if held.ndim == 0 or len(long) > 1:
            return None
        return held.reshape(-1), held.ndim, long[0] if long else 0
    if not isinstance(held, SSAValue) or not isinstance(element_of(held), IntegerType):
        return None
    shape = shape_of(held)
    long = [n for n, size in enumerate(shape) if size != 1]
    if len(long) != 1:
        return None
    value = held
    while len(shape_of(value)) > 1:
        op = value.owner
        if not isinstance(op, (nn.UnsqueezeOp, nn.SqueezeOp)) or isinstance(op, LoadOp):
            return None
        assert isinstance(op, Operation)
        value = op.operands[0]
    return value, len(shape), long[0]
