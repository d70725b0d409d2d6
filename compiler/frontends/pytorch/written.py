"""Loops over cells that are written out of linear layers and functions.

torch.export unrolls them into the same operations again and again. What one step hands to the
next are its states; states that need each other make one cell. The operations from the states
before and the step's input to the states after become one call a step, which `reroll` makes one
call of, and `cells` finds out which layer it is.

Nothing is taken for granted: every step must be the same operations on the same parameters.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import networkx as nx
import torch
from torch.fx import Graph, Node

from mohaq.compiler.frontends.pytorch.chains import CELLS, LAYERS, WrittenCell, call_like
from mohaq.compiler.frontends.pytorch.cleaning import remove_unused
from mohaq.compiler.frontends.pytorch.steps import (
    COUNTED,
    ELEMENTWISE,
    FIRST_ONLY,
    element_of_step,
    rank_of,
)

aten = torch.ops.aten

FEWEST = 10
"""Steps of a loop over the input, which is exported at larger sizes; shorter ones stay written out."""

REFERENCE = 3
"""The step that the others are compared with; far enough from the ends."""

JOINS = (aten.stack.default, aten.cat.default)
SIMPLE = ELEMENTWISE | FIRST_ONLY | set(COUNTED) | {aten.addmm.default, aten.t.default}
"""Operations on the input that may be part of a cell."""


@dataclass(frozen=True)
class _Pattern:
    """The reference step.

    before, after: states at its begin and end. cuts: what it reads. constants: what is the same
    for all steps. inside: its operations in order.
    """

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    cuts: tuple[Node, ...]
    constants: tuple[Node, ...]
    inside: tuple[Node, ...]


@dataclass
class _Found:
    """One step of a loop: what it reads and its states afterwards (None: not in the graph)."""

    cuts: list[Node]
    after: list[Node | None]


def find_written(graph: Graph) -> None:
    """Put one call in the place of each step of a written-out cell, in place."""
    _share(graph)
    done: set[tuple[int, bool, bool]] = set()
    while True:
        for key in _lengths(graph):
            if key not in done:
                break
        else:
            return
        loop = _Loop(graph, *key)
        if not loop.roll():
            done.add(key)


def _share(graph: Graph) -> None:
    """Read every step of the input once."""
    first: dict[tuple[Any, ...], Node] = {}
    for node in list(graph.nodes):
        if node.op == "call_function" and node.args and element_of_step(node) is not None:
            known = first.setdefault((node.target, *node.args), node)
            if known is not node:
                node.replace_all_uses_with(known)
    remove_unused(graph)


def _lengths(graph: Graph) -> list[tuple[int, bool, bool]]:
    """Lengths of what is read step by step, forwards and backwards.

    The last states of a loop belong to its last step, or are where another loop begins.
    """
    found: dict[int, set[int]] = {}
    for node in graph.nodes:
        taken = element_of_step(node) if node.op == "call_function" and node.args else None
        if taken is not None:
            x, axis, index, _ = taken
            extent = int(x.meta["val"].shape[axis])
            found.setdefault(extent, set()).add(index % extent)
    lengths = [n for n, indices in found.items() if n >= FEWEST and len(indices) == n]
    ways = list(product((False, True), repeat=2))
    return [(n, apart, reverse) for n in sorted(lengths) for apart, reverse in ways]


class _Loop:
    """Loops of one length and direction."""

    def __init__(self, graph: Graph, count: int, apart: bool, reverse: bool) -> None:
        self.graph, self.count, self.reverse = graph, count, reverse
        self.apart = apart  # whether the last states of loops belong to no step
        self.place = {node: n for n, node in enumerate(graph.nodes)}
        self.time: dict[Node, int] = {}
        self.leaves: set[Node] = set()
        for node in graph.nodes:
            self._find_time(node)

    def _find_time(self, node: Node) -> None:
        """The step that a node belongs to: the latest that it is computed from."""
        if node.op != "call_function":
            return
        taken = element_of_step(node) if node.args else None
        if taken is not None and taken[0] not in self.time:
            x, axis, index, _ = taken
            if int(x.meta["val"].shape[axis]) == self.count:
                index %= self.count
                self.time[node] = self.count - 1 - index if self.reverse else index
                self.leaves.add(node)
            return
        known = [self.time[n] for n in node.all_input_nodes if n in self.time]
        if not known or (node.target in JOINS and len(known) >= FEWEST):
            return
        called = node if _is_call(node) else node.args[0] if node.args else None
        if isinstance(called, Node) and _is_call(called):
            if self.apart and max(known) == self.count - 1 and called is not node:
                return
            self.leaves.add(node)
        self.time[node] = max(known)

    def roll(self) -> bool:
        """Replace the steps of one cell; whether there was one."""
        moved = True
        while moved:
            moved = False
            handed = [self._handed(t) for t in range(self.count - 2)]
            before, after = handed[REFERENCE - 1], handed[REFERENCE]
            if not after or any(len(h) != len(after) for h in handed):
                return False
            for members in self._cells(before, after):
                pattern = self._pattern(before, after, members)
                if pattern is None:
                    continue
                found = self._steps(pattern, [[h[m] for m in members] for h in handed])
                if found is None:
                    continue
                begin, steps = found
                moved = self._begin_later(pattern, begin, steps)
                if moved:
                    break
                rows = all(map(_is_row, (*pattern.before, *pattern.after, *begin)))
                if rows and steps[-1].cuts:
                    self._replace(pattern, begin, steps)
                    return True
        return False

    def _begin_later(
        self, pattern: _Pattern, begin: Sequence[Node], steps: Sequence[_Found]
    ) -> bool:
        """Count what a step does first with its states to that step, not to the one before.

        Such an operation is done with the initial states as well, before the first step.
        """
        moved = False
        for n, (first, end) in enumerate(zip(begin, pattern.after, strict=True)):
            if first.op != "call_function" or first.target is not end.target:
                continue
            ends = [(t, step.after[n]) for t, step in enumerate(steps)]
            inner = [(t, node) for t, node in ends[:-1] if node is not None]
            if any(self.time.get(u) != t + 1 for t, node in inner for u in node.users):
                continue
            if end.target in COUNTED or end.target in FIRST_ONLY or end.target in ELEMENTWISE:
                for t, node in inner:
                    self.time[node] = t + 1
                moved = True
        return moved

    def _handed(self, time: int) -> list[Node]:
        """What a step hands to the next, in the order of the graph."""
        return [
            node
            for node, t in self.time.items()
            if t == time
            and any(self.time.get(u) == time + 1 and not _is_call(u) for u in node.users)
        ]

    def _cells(self, before: Sequence[Node], after: Sequence[Node]) -> list[list[int]]:
        """States that need each other and no others."""
        needs = nx.DiGraph()
        needs.add_nodes_from(range(len(after)))
        number = {node: n for n, node in enumerate(before)}
        for n, node in enumerate(after):
            if node in self.leaves:
                continue
            for m in self._reached(node, number):
                needs.add_edge(n, m)
        found = []
        for members in nx.strongly_connected_components(needs):
            one = min(members)
            if all(m in members for n in members for m in needs[n]) and (
                len(members) > 1 or needs.has_edge(one, one)
            ):
                found.append(sorted(members))
        return sorted(found)

    def _reached(self, node: Node, number: dict[Node, int]) -> set[int]:
        seen: set[Node] = set()
        waiting, found = [node], set()
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if one in number:
                found.add(number[one])
            elif one not in self.leaves:
                waiting += [n for n in one.all_input_nodes if n in self.time]
        return found

    def _pattern(
        self, before: Sequence[Node], after: Sequence[Node], members: Sequence[int]
    ) -> _Pattern | None:
        """The reference step; None if it is not operations on [B, n]."""
        states = tuple(before[m] for m in members)
        ends = tuple(after[m] for m in members)
        number = {node: n for n, node in enumerate(states)}
        cuts: dict[Node, None] = {}
        constants: dict[Node, None] = {}
        inside: dict[Node, None] = {}

        def whole(node: Node) -> bool:
            """Whether what is computed from the input alone may be part of the cell."""
            if node not in self.time or (node in self.leaves and _is_row(node)):
                return True
            if node in self.leaves or node.target not in SIMPLE:
                return _is_row(node)
            return _is_row(node) or all(whole(n) for n in node.all_input_nodes)

        def visit(node: Node) -> bool:
            if node in number or node in cuts or node in constants or node in inside:
                return True
            if node not in self.time:
                constants[node] = None
                return True
            recurrent = bool(self._reached(node, number)) and node not in self.leaves
            if not recurrent and (
                node in self.leaves
                or node.target not in SIMPLE
                or not all(whole(n) for n in node.all_input_nodes)
            ):
                cuts[node] = None
                return _is_row(node)
            if self.time[node] != REFERENCE or _is_call(node):
                return False
            inside[node] = None
            return all(visit(n) for n in node.all_input_nodes)

        if not all(visit(n) for n in ends) or not cuts:
            return None
        if any(self.time[n] != REFERENCE for n in cuts):
            return None
        ordered = sorted(inside, key=self.place.__getitem__)
        return _Pattern(
            states,
            ends,
            tuple(sorted(cuts, key=self.place.__getitem__)),
            tuple(sorted(constants, key=self.place.__getitem__)),
            tuple(ordered),
        )

    def _steps(
        self, pattern: _Pattern, handed: Sequence[Sequence[Node]]
    ) -> tuple[list[Node], list[_Found]] | None:
        """(states at the begin, all steps); None if one differs from the pattern."""
        initial: list[Node | None] = [None] * len(pattern.before)
        found: list[_Found] = []
        for time in range(self.count):
            held: list[Node | None] = list(found[-1].after) if found else initial
            if any(n is None for n in held) and found:
                return None
            ends: list[Node | None] = list(handed[time]) if time < len(handed) else []
            match = _Match(pattern, held, self.time)
            if not ends:  # the last steps hand their states to something else
                there = [n for n, t in self.time.items() if t == time]
                for end in pattern.after:
                    fits = (n for n in there if n.target is end.target and match.fits(end, n))
                    ends.append(next(fits, None))
            elif not all(match.fits(a, b) for a, b in zip(pattern.after, ends, strict=True)):
                return None
            if not found:
                initial = match.states
            if time == self.count - 1 and all(n is None for n in ends):
                found.append(_Found([], ends))
                break
            cuts = [match.cuts.get(n) for n in pattern.cuts]
            read = [n for n in cuts if n is not None and self.time.get(n) == time]
            if len(read) != len(cuts) or all(n is None for n in ends):
                return None
            found.append(_Found(read, ends))
        begin = [n for n in initial if n is not None]
        if len(begin) != len(initial) or any(n in self.time for n in begin):
            return None
        return begin, found

    def _replace(self, pattern: _Pattern, begin: list[Node], steps: Sequence[_Found]) -> None:
        cell = _cell(pattern, self._shown(pattern, steps))
        held: list[Node] = begin
        for step in steps:
            last = max((n for n in step.after if n is not None), key=self.place.__getitem__)
            with self.graph.inserting_before(last):
                x = step.cuts[0]
                if len(step.cuts) > 1:
                    x = call_like(self.graph, last, aten.cat.default, list(step.cuts), -1)
                    rows = step.cuts[0].meta["val"].shape[0]
                    x.meta["val"] = torch.empty((rows, sum(cell.features)), device="meta")
                made = call_like(self.graph, last, cell, x, list(held), list(pattern.constants))
                held = []
                for n, node in enumerate(step.after):
                    one = self.graph.call_function(operator.getitem, (made, n))
                    one.meta["val"] = pattern.after[n].meta["val"]
                    held.append(one)
                    if node is not None:
                        node.replace_all_uses_with(one)
        _put_in_order(self.graph)
        remove_unused(self.graph)

    def _shown(self, pattern: _Pattern, steps: Sequence[_Found]) -> int:
        """The state that is used outside of the loop."""
        mine = {*pattern.inside, *steps[REFERENCE + 1].after}
        following: set[Node] = set()
        waiting = [n for n in steps[REFERENCE + 1].after if n is not None]
        while waiting:
            node = waiting.pop()
            if node not in following and node in self.time:
                following.add(node)
                waiting += [n for n in node.all_input_nodes if self.time.get(n) == REFERENCE + 1]
        for number, node in enumerate(pattern.after):
            if any(u not in following and u not in mine for u in node.users):
                return number
        return 0


class _Match:
    """Comparison of a step with the reference step."""

    def __init__(
        self, pattern: _Pattern, states: Sequence[Node | None], time: dict[Node, int]
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


def _is_call(node: Node) -> bool:
    return node.target in CELLS or node.target in LAYERS or isinstance(node.target, WrittenCell)


def _is_row(node: Node) -> bool:
    """Whether a node gives real numbers [B, n]."""
    value = node.meta.get("val")
    return rank_of(node) == 2 and bool(value is not None and value.dtype.is_floating_point)


def _like(a: Node, b: Node) -> bool:
    """Whether two nodes give the same shape, where the batch of a state may be one row."""
    one, other = a.meta.get("val"), b.meta.get("val")
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return type(one) is type(other)
    return one.shape == other.shape and one.dtype == other.dtype


def _cell(pattern: _Pattern, shown: int) -> WrittenCell:
    """The reference step as a graph of its own."""
    body = Graph()
    names = [
        *(f"cut{n}" for n in range(len(pattern.cuts))),
        *(f"state{n}" for n in range(len(pattern.before))),
        *(f"constant{n}" for n in range(len(pattern.constants))),
    ]
    given = (*pattern.cuts, *pattern.before, *pattern.constants)
    held = {node: body.placeholder(name) for name, node in zip(names, given, strict=True)}
    for node, made in held.items():
        made.meta["val"] = node.meta.get("val")
    for node in pattern.inside:
        held[node] = body.node_copy(node, held.__getitem__)
    body.output(tuple(held[n] for n in pattern.after))
    features = tuple(int(n.meta["val"].shape[1]) for n in pattern.cuts)
    return WrittenCell(body, features, len(pattern.before), shown)


def _put_in_order(graph: Graph) -> None:
    """Every node after what it reads; else as they stand."""
    *nodes, end = graph.nodes
    placed: set[Node] = set()
    for node in nodes:
        waiting = [node]
        while waiting:
            missing = [n for n in waiting[-1].all_input_nodes if n not in placed]
            if missing:
                waiting += missing[:1]
                continue
            one = waiting.pop()
            if one not in placed:
                placed.add(one)
                end.prepend(one)
