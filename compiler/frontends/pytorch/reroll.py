"""Loops over time, which torch.export unrolls, back to one operation a layer.

A group holds the steps of one thing: slices of a tensor along one extent, the outputs of a chain
of cells, or an operation on the steps of other groups. Groups are stacked along a new first
extent where a chain reads them or the model stacks them; the calls of a chain become one call
over the stack. Nothing is assumed about the length: the model is exported at two lengths, and
both must come out as the same program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Graph, Node

from mohaq.compiler.frontends.pytorch.chains import Chain, call_like, find_chains
from mohaq.compiler.frontends.pytorch.cleaning import remove_unused, renumber, simplify
from mohaq.compiler.frontends.pytorch.rows import keep_extents
from mohaq.compiler.frontends.pytorch.steps import (
    Step,
    element_of_step,
    rank_of,
    stacked_arguments,
    step_of,
)
from mohaq.compiler.frontends.pytorch.writes import check_writes, gather_writes
from mohaq.compiler.frontends.pytorch.written import find_written

aten = torch.ops.aten

FEW = 10
"""So many parts are not the steps of a loop over the input, which is exported at larger sizes."""

VIEWS = (aten.view.default, aten.reshape.default, aten._unsafe_view.default)


@dataclass(frozen=True)
class Irregular:
    """A chain that stays unrolled: its first call, how many there are, and the reason."""

    call: Node
    count: int
    why: str


@dataclass(frozen=True)
class Rolled:
    """A graph without unrolled loops.

    Attributes:
        graph: a copy, where anything was changed.
        lengths: steps of the loops that were found, and of what they read.
        irregular: chains that could not become one operation.
    """

    graph: Graph
    lengths: frozenset[int] = frozenset()
    irregular: tuple[Irregular, ...] = ()


@dataclass
class _Group:
    """Steps by time; `form` is how they come about."""

    form: tuple[Any, ...]
    members: dict[int, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stack:
    """Steps [start, start + count) of a group along the first extent of a node."""

    node: Node
    start: int
    count: int


def reroll(graph: Graph) -> Rolled:
    """Find loops and roll them up; the given graph is not changed.

    Raises:
        MohaqError: a write into a part of a tensor that is no loop over its steps.
    """
    copy = Graph()
    copies: dict[Node, Node] = {}
    result: Any = copy.graph_copy(graph, copies, return_output_node=True)
    for old, new in copies.items():
        new.name = old.name  # the copy renames what is called as a function of Python is
    values, node = result
    copy.output(values).meta.update(node.meta)
    return _Roller(copy).run()


class _Roller:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        gather_writes(graph)
        check_writes(graph)
        keep_extents(graph)
        simplify(graph)
        find_written(graph)
        self.chains = find_chains(graph)
        self.steps: dict[Node, Step] = {}
        self.groups: list[_Group] = []
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._stacks: dict[int, _Stack | None] = {}
        self._chain_of = {n: c for c, chain in enumerate(self.chains) for n in self._outputs(chain)}
        self._ends: dict[int, list[Node]] = {}
        self._instead: dict[Node, Node] = {}
        self.irregular: list[Irregular] = []
        self.lengths: set[int] = set()

    @staticmethod
    def _outputs(chain: Chain) -> dict[Node, Node]:
        return {o: call for call in chain.calls for o in chain.output(call)}

    def run(self) -> Rolled:
        callers = {o: call for chain in self.chains for o, call in self._outputs(chain).items()}
        order = list(self.graph.nodes)
        for node in order:
            self._find(node, callers)
        for number in range(len(self.chains)):
            self._stack(self._number(("chain", number)))
        for node in order:
            if node.target in (aten.stack.default, aten.cat.default):
                self._join(node)
        for number, chain in enumerate(self.chains):
            self._take_apart(number, chain)
        remove_unused(self.graph)
        if self.lengths:
            renumber(self.graph)
        return Rolled(self.graph, frozenset(self.lengths), tuple(self.irregular))

    # groups

    def _number(self, form: tuple[Any, ...]) -> int:
        if form not in self._numbers:
            self._numbers[form] = len(self.groups)
            self.groups.append(_Group(form))
        return self._numbers[form]

    def _find(self, node: Node, callers: dict[Node, Node]) -> None:
        found: tuple[tuple[Any, ...], int] | None
        if node in callers:
            read = callers[node].args[0]
            step = self.steps.get(read) if isinstance(read, Node) else None
            if step is None:
                return
            found = ("chain", self._chain_of[node]), step.time
        elif node.op != "call_function":
            return
        else:
            found = self._slice(node) or step_of(node, self.steps)
        if found is not None:
            form, time = found
            number = self._number(form)
            self.steps[node] = Step(number, time)
            self.groups[number].members.setdefault(time, node)

    def _slice(self, node: Node) -> tuple[tuple[Any, ...], int] | None:
        """A step of a tensor: (form, time)."""
        source = node.args[0] if node.args else None
        if not isinstance(source, Node) or source in self.steps:
            return None
        taken = element_of_step(node)
        if taken is None:
            return None
        x, axis, time, keeps = taken
        if x in self.steps:
            return None
        extent = x.meta["val"].shape[axis]
        return ("slice", x, axis, keeps, int(extent)), time % int(extent)

    # stacks

    def _stack(self, number: int) -> _Stack | None:
        """All steps of a group at once; None where they cannot be."""
        if number not in self._stacks:
            self._stacks[number] = None
            self._stacks[number] = self._made(number)
        return self._stacks[number]

    def _made(self, number: int) -> _Stack | None:
        group = self.groups[number]
        kind, *rest = group.form
        if kind == "chain":
            return self._roll(rest[0])
        times = sorted(group.members)
        first = min(group.members.values())
        if kind == "slice":
            x, axis, keeps, extent = rest
            self.lengths.add(extent)
            held = self._now(x)
            with self.graph.inserting_before(first):
                if axis:
                    held = call_like(self.graph, first, aten.movedim.int, held, axis, 0)
                if keeps:
                    held = call_like(self.graph, first, aten.unsqueeze.default, held, axis + 1)
            return _Stack(held, 0, extent)
        if times != list(range(times[0], times[-1] + 1)):
            return None
        needed = {n for n in first.all_input_nodes if n in self.steps}
        stacks = {n: self._stack(self.steps[n].group) for n in needed}
        cut: dict[Node, Node] = {}
        for node, stack in stacks.items():
            if stack is None:
                return None
            cut[node] = self._cut(first, stack, times[0], len(times))
        arguments = stacked_arguments(first, lambda n: cut.get(n) or self._now(n))
        with self.graph.inserting_before(first):
            made = call_like(self.graph, first, first.target, *arguments)
            made.kwargs = first.kwargs
        return _Stack(made, times[0], len(times))

    def _roll(self, which: int) -> _Stack | None:
        """A chain as one call; None, and noted, if it is not regular."""
        chain = self.chains[which]
        inputs: list[Any] = [call.args[0] for call in chain.calls]
        read = [self.steps.get(x) for x in inputs]
        known = [step for step in read if step is not None]
        times = [step.time for step in known]
        ahead = sorted(times)
        why = ""
        stack: _Stack | None = None
        if any(self._reads(step.group, which) for step in known):
            why = "its input is computed from its own output"
        elif len(known) < len(read):
            why = "its input is not a step of one sequence at every step"
        elif len({step.group for step in known}) > 1:
            why = "its input is computed differently at some steps"
        elif ahead != list(range(ahead[0], ahead[0] + len(times))) or (
            times not in (ahead, ahead[::-1])
        ):
            why = "it does not take the steps one after the other"
        elif chain.hidden_between() is not None:
            why = "a state between its steps is used, not only the output"
        else:
            stack = self._stack(known[0].group)
        if stack is None:
            why = why or "its input cannot be written for all steps at once"
            self.irregular.append(Irregular(chain.calls[0], len(chain.calls), why))
            return None
        x = self._cut(chain.calls[0], stack, ahead[0], len(times))
        y, ends = chain.roll(self.graph, x, times != ahead)
        self._ends[which] = ends
        self.lengths.add(len(times))
        return _Stack(y, ahead[0], len(times))

    def _reads(self, number: int, which: int | None = None) -> bool:
        """Whether a group is computed from the output of a chain, or of any."""
        form = self.groups[number].form
        if form[0] == "chain":
            return which is None or bool(form[1] == which)
        return form[0] != "slice" and any(self._reads(n, which) for n in _groups_in(form))

    def _cut(self, before: Node, stack: _Stack, start: int, count: int) -> Node:
        """Some steps of a stack, counted from the nearer end."""
        skipped, left = start - stack.start, stack.start + stack.count - start - count
        held = self._now(stack.node)
        if not skipped and not left:
            return held
        low = skipped if skipped <= count + left else -(count + left)
        high = None if not left else skipped + count if skipped + count <= left else -left
        with self.graph.inserting_before(before):
            return call_like(self.graph, before, aten.slice.Tensor, held, 0, low, high)

    def _now(self, node: Node) -> Node:
        """A node, or what has taken its place."""
        while node in self._instead:
            node = self._instead[node]
        return node

    # where steps are used

    def _join(self, node: Node) -> None:
        """A stack or concatenation of steps."""
        parts: Sequence[Any] = node.args[0]  # type: ignore[assignment]
        held = [self.steps.get(p) for p in parts]
        known = [step for step in held if step is not None]
        if len(known) < max(len(held), 2) or len({s.group for s in known}) > 1:
            return
        if len(known) < FEW and not self._reads(known[0].group):
            return
        times = [s.time for s in known]
        low, count = min(times), len(times)
        ahead = list(range(low, low + count))
        stack = self._stack(known[0].group) if times in (ahead, ahead[::-1]) else None
        if stack is None:
            return
        axis = int(node.args[1]) if len(node.args) > 1 else 0  # type: ignore[arg-type]
        rank = rank_of(parts[0])
        with self.graph.inserting_before(node):
            all_steps = self._cut(node, stack, low, count)
            if times != ahead:
                all_steps = call_like(self.graph, node, aten.flip.default, all_steps, [0])
            if node.target is aten.stack.default:
                self._replace(node, self._moved(node, all_steps, axis % (rank + 1)))
                return
            axis %= rank
            shape = parts[0].meta["val"].shape
            if shape[axis] == 1:
                each = call_like(self.graph, node, aten.squeeze.dim, all_steps, axis + 1)
                self._replace(node, self._moved(node, each, axis))
                return
            apart = self._moved(node, all_steps, axis)
            wanted = [*shape[:axis], count, *shape[axis:]]
            for user in list(node.users):
                if user.target in VIEWS and _is_view(user.args[1], wanted):
                    self._replace(user, apart)
            self._replace(
                node, call_like(self.graph, node, aten.flatten.using_ints, apart, axis, axis + 1)
            )

    def _moved(self, node: Node, x: Node, axis: int) -> Node:
        return call_like(self.graph, node, aten.movedim.int, x, 0, axis) if axis else x

    def _replace(self, old: Node, new: Node) -> None:
        old.replace_all_uses_with(new)
        self._instead[old] = new

    def _take_apart(self, which: int, chain: Chain) -> None:
        """Single steps of a rolled chain that something else uses."""
        if which not in self._ends:
            return
        stack = self._stack(self._number(("chain", which)))
        assert stack is not None
        last = chain.calls[-1]
        for nodes, end in zip(chain.states(last), self._ends[which], strict=True):
            for node in nodes:
                self._replace(node, end)
        for node in self._outputs(chain):
            if node in self._instead or not node.users:
                continue
            place = self.steps[node].time - stack.start
            near = place if place < stack.count - place else place - stack.count
            with self.graph.inserting_before(node):
                one = call_like(self.graph, node, aten.select.int, self._now(stack.node), 0, near)
            self._replace(node, one)


def _groups_in(form: Any) -> list[int]:
    """Groups that an operation reads, from its form."""
    if not isinstance(form, tuple):
        return []
    if form[:1] == ("step",):
        return [form[1]]
    return [n for part in form for n in _groups_in(part)]


def _is_view(wanted: Any, shape: Sequence[int]) -> bool:
    if not isinstance(wanted, (list, tuple)) or len(wanted) != len(shape):
        return False
    return all(type(w) is int and w in (-1, s) for w, s in zip(wanted, shape, strict=True))
