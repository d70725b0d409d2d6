"""Whether a step of a written-out loop is the same operations as another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from mohaq.compiler.frontends.pytorch.steps import rank_of


@dataclass(frozen=True)
class Pattern:
    """The reference step.

    before, after: states at its begin and end. cuts: what it reads. constants: what is the same
    for all steps. inside: its operations in order.
    """

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    cuts: tuple[Node, ...]
    constants: tuple[Node, ...]
    inside: tuple[Node, ...]


class Match:
    """Comparison of a step with the reference step."""

    def __init__(
        self, pattern: Pattern, states: Sequence[Node | None], time: dict[Node, int]
    ) -> None:
        self._number = {node: n for n, node in enumerate(pattern.before)}
        self._constants, self._cut = set(pattern.constants), set(pattern.cuts)
        self.states = list(states)
        self.cuts: dict[Node, Node] = {}
        self._time = time
        self._known: dict[tuple[Node, Node], bool] = {}

    def fits(self, a: Any, b: Any) -> bool:
        """Whether b is to this step what a is to the reference."""
        if not isinstance(a, Node) or not isinstance(b, Node):
            return self._equal(a, b)
        if a in self._number:
            number = self._number[a]
            if self.states[number] is None and b not in self._time:
                self.states[number] = b
            return self.states[number] is b and _like(a, b)
        if a in self._cut:
            return self.cuts.setdefault(a, b) is b and _like(a, b)
        if a in self._constants and (a is b or a.op != "call_function" or b in self._time):
            return a is b
        if (a, b) not in self._known:
            self._known[a, b] = False  # no node is computed from itself
            self._known[a, b] = (
                a.target is b.target
                and self._equal(a.args, b.args)
                and self._equal(dict(a.kwargs), dict(b.kwargs))
            )
        return self._known[a, b]

    def _equal(self, a: Any, b: Any) -> bool:
        if isinstance(a, Node) and isinstance(b, Node):
            return self.fits(a, b)
        if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
            return len(a) == len(b) and all(map(self._equal, a, b))
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(self._equal(a[k], b[k]) for k in a)
        return type(a) is type(b) and bool(a == b)


def is_row(node: Node) -> bool:
    """Whether a node gives real numbers [B, n]."""
    value = node.meta.get("val")
    return rank_of(node) == 2 and bool(value is not None and value.dtype.is_floating_point)


def _like(a: Node, b: Node) -> bool:
    """Whether two nodes give the same shape, where the batch of a state may be one row."""
    one, other = a.meta.get("val"), b.meta.get("val")
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return type(one) is type(other)
    return one.shape == other.shape and one.dtype == other.dtype
