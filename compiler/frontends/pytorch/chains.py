"""Chains: recurrent calls of an exported graph that hand their state from one to the next.

A loop over time in a model's `forward` is exported as one call a step. Two kinds of call make
chains: cells (`aten.lstm_cell`, ...) and whole layers that are given one step at a time
(`aten.lstm` on [1, B, F], ...).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Graph, Node

TIME = "mohaq.time"
"""Key in the meta data of a cell's node that stands for all steps: `forward` or `reverse`."""

aten = torch.ops.aten
LSTM_CELL = aten.lstm_cell.default
CELLS = (LSTM_CELL, aten.gru_cell.default, aten.rnn_tanh_cell.default, aten.rnn_relu_cell.default)
LSTM = aten.lstm.input
LAYERS = (LSTM, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)


@dataclass(frozen=True, eq=False)
class WrittenCell:
    """The target of a call that is one step of a cell that the model writes out.

    A call's arguments are x [B, I], the states [B, n] and the constants; its results are the
    states afterwards.

    Attributes:
        body: the step: the parts of x, the states and the constants in, the states out.
        features: extents of the parts of x; their sum is I.
        count: of the states.
        shown: the state that is the output.
    """

    body: Graph
    features: tuple[int, ...]
    count: int
    shown: int
    __name__ = "written_cell"

    def __call__(self, *_: Any) -> Any:
        """Never: the graph is only read."""
        raise NotImplementedError

    def __str__(self) -> str:
        return WRITTEN


WRITTEN = "a cell that is written out"
"""Name of calls of written-out cells."""


@dataclass(frozen=True)
class Chain:
    """Calls in the order in which they hand on their state."""

    calls: tuple[Node, ...]

    @property
    def is_cell(self) -> bool:
        """Whether the calls are cells, not layers."""
        return self.calls[0].target in CELLS or self._written is not None

    @property
    def _written(self) -> WrittenCell | None:
        target = self.calls[0].target
        return target if isinstance(target, WrittenCell) else None

    @property
    def _shown(self) -> int:
        """Which of a cell's states is its output."""
        return self._written.shown if self._written else 0

    @property
    def batch_first(self) -> bool:
        """Whether time is the second extent of what a call reads."""
        return not self.is_cell and bool(_argument(self.calls[0], "batch_first"))

    def output(self, call: Node) -> list[Node]:
        """The nodes that are a call's output at its step."""
        if self._written:
            return _taken(call, self._shown)
        if self.is_cell and call.target is not LSTM_CELL:
            return [call]
        return _taken(call, 0)

    def states(self, call: Node) -> list[list[Node]]:
        """The nodes of each state after a call; one of a cell's states is its output."""
        if self._written:
            return [_taken(call, n) for n in range(self._written.count)]
        if call.target is LSTM_CELL:
            return [_taken(call, 0), _taken(call, 1)]
        if self.is_cell:
            return [[call]]
        return [_taken(call, n + 1) for n in range(2 if call.target is LSTM else 1)]

    def hidden_between(self) -> Node | None:
        """Something between the steps, not the output, that is used outside of the chain."""
        for call, after in zip(self.calls, self.calls[1:], strict=False):
            states = self.states(call)
            if self.is_cell:
                del states[self._shown]
            for node in [n for held in states for n in held]:
                if any(user is not after for user in node.users):
                    return node
        return None

    def roll(self, graph: Graph, stack: Node, reverse: bool) -> tuple[Node, list[Node]]:
        """One call over all steps, inserted before the first.

        Args:
            graph: of the calls.
            stack: what the calls read, step by step along the first extent.
            reverse: whether the first call reads the last step.

        Returns:
            Outputs along the first extent, each shaped as a call's output; states at the end.
        """
        first = self.calls[0]
        with graph.inserting_before(first):
            if self.is_cell:
                count = len(self.states(first))
                made = call_like(graph, first, first.target, stack, *first.args[1:])
                made.meta[TIME] = "reverse" if reverse else "forward"
                taken = [
                    call_like(graph, first, operator.getitem, made, n) for n in range(count + 1)
                ]
                return taken[count], taken[:count]
            step = 2 if self.batch_first else 1
            x = call_like(graph, first, aten.squeeze.dim, stack, step)
            if reverse:
                x = call_like(graph, first, aten.flip.default, x, [0])
            if self.batch_first:
                x = call_like(graph, first, aten.transpose.int, x, 0, 1)
            made = call_like(graph, first, first.target, x, *first.args[1:])
            y, *states = (
                call_like(graph, first, operator.getitem, made, n)
                for n in range(3 if first.target is LSTM else 2)
            )
            if self.batch_first:
                y = call_like(graph, first, aten.transpose.int, y, 0, 1)
            if reverse:
                y = call_like(graph, first, aten.flip.default, y, [0])
            return call_like(graph, first, aten.unsqueeze.default, y, step), states


def find_chains(graph: Graph) -> list[Chain]:
    """Chains of two calls or more, in the order of the graph."""
    after: dict[Node, list[Node]] = {}
    starts: list[Node] = []
    for node in graph.nodes:
        if node.target in CELLS or node.target in LAYERS or isinstance(node.target, WrittenCell):
            before = _before(node)
            if before is None:
                starts.append(node)
            else:
                after.setdefault(before, []).append(node)
    chains = []
    for start in starts:
        calls = [start]
        while len(after.get(calls[-1], ())) == 1:
            calls.append(after[calls[-1]][0])
        if len(calls) > 1:
            chains.append(Chain(tuple(calls)))
    return chains


def _before(node: Node) -> Node | None:
    """The call whose states after its step are this call's states before it."""
    given = node.args[1]
    states = list(given) if isinstance(given, (list, tuple)) else [given]
    layer = node.target in LAYERS
    if layer and not _is_one_step(node):
        return None
    found: Node | None = None
    for place, state in enumerate(states):
        if not isinstance(state, Node):
            return None
        if layer or node.target is LSTM_CELL or isinstance(node.target, WrittenCell):
            if state.target is not operator.getitem or state.args[1] != place + layer:
                return None
            source = state.args[0]
        else:
            source = state
        if not isinstance(source, Node) or (found is not None and source is not found):
            return None
        found = source
    if found is None or found.target is not node.target:
        return None
    same = found.args[2:] == node.args[2:] and found.kwargs == node.kwargs
    return found if same and (not layer or _is_one_step(found)) else None


def _is_one_step(node: Node) -> bool:
    """Whether a layer reads a batch of one step each, forwards."""
    x = node.args[0]
    value = x.meta.get("val") if isinstance(x, Node) else None
    if not isinstance(value, torch.Tensor) or value.dim() != 3 or _argument(node, "bidirectional"):
        return False
    return bool(value.shape[1 if _argument(node, "batch_first") else 0] == 1)


def _argument(node: Node, name: str) -> Any:
    schema = node.target._schema  # type: ignore[union-attr]
    for place, argument in enumerate(schema.arguments):
        if argument.name == name:
            return node.args[place] if place < len(node.args) else node.kwargs.get(name)
    return None


def _taken(node: Node, place: int) -> list[Node]:
    return [u for u in node.users if u.target is operator.getitem and u.args[1] == place]


def call_like(graph: Graph, like: Node, target: Any, *arguments: Any) -> Node:
    """A new node that has the place in the source of another one."""
    made = graph.call_function(target, arguments)
    for key in ("nn_module_stack", "stack_trace"):
        if key in like.meta:
            made.meta[key] = like.meta[key]
    return made
