"""Before import: `[T, B, F]` flattened to rows and put back, at the sizes of an exported graph.

The numbers of such a graph do not say which sizes they are, so this is done where they are still
numbers; `analysis.rows` does the same on programs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, Node

from mohaq.compiler.frontends.pytorch.chains import call_like
from mohaq.compiler.frontends.pytorch.steps import ELEMENTWISE, rank_of

aten = torch.ops.aten

VIEWS = {aten.view.default, aten.reshape.default, aten._unsafe_view.default,
         aten.flatten.using_ints, aten.unflatten.int}  # fmt: skip
ROW_BY_ROW = {aten.linear.default, aten.matmul.default, aten.mm.default, aten.layer_norm.default,
              aten.softmax.int, aten.log_softmax.int, aten.dropout.default}  # fmt: skip
"""Operations on the last extent of their first argument."""


def keep_extents(graph: Graph) -> None:
    """Write chains of operations on flattened rows for the extents before and after."""
    for node in list(graph.nodes):
        if node.target not in VIEWS:
            continue
        source = node.args[0]
        if not isinstance(source, Node):
            continue
        after, rows = _shape(node), _shape(source)
        if not after or not rows or after[2:] != rows[1:] or after[0] * after[1] != rows[0]:
            continue
        whole = _Unflattened(graph, node, after[:2]).of(source)
        if whole is not None:
            node.replace_all_uses_with(whole)


def _shape(node: Node) -> tuple[int, ...]:
    """Shape of a tensor of known extents; empty for others."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.dim() < 2:
        return ()
    return tuple(value.shape) if all(type(n) is int for n in value.shape) else ()


class _Unflattened:
    """Operations on rows, written again for two leading extents before a node."""

    def __init__(self, graph: Graph, before: Node, leading: tuple[int, ...]) -> None:
        self.graph, self.before, self.leading = graph, before, leading
        self._made: dict[Node, Node | None] = {}

    def of(self, node: Node) -> Node | None:
        """The same values with the leading extents apart; None if they are not rows of such."""
        if node not in self._made:
            self._made[node] = self._written(node)
        return self._made[node]

    def _written(self, node: Node) -> Node | None:
        shape = _shape(node)
        if node.op != "call_function" or not shape or not node.args:
            return None
        arguments: list[Any] = list(node.args)
        if node.target in VIEWS:
            source = arguments[0]
            before = _shape(source) if isinstance(source, Node) else ()
            return source if before == (*self.leading, *shape[1:]) else None
        if node.target in ROW_BY_ROW:
            if node.target in (aten.softmax.int, aten.log_softmax.int):
                if arguments[1] not in (-1, len(shape) - 1):
                    return None
                arguments[1] = -1
            elif any(isinstance(a, Node) and rank_of(a) > 2 for a in arguments[1:]):
                return None
            arguments[0] = self.of(arguments[0])
            if arguments[0] is None:
                return None
        elif node.target in ELEMENTWISE:
            for place, argument in enumerate(arguments):
                if isinstance(argument, Node) and rank_of(argument) >= len(shape):
                    arguments[place] = self.of(argument)
                    if arguments[place] is None:
                        return None
        else:
            return None
        with self.graph.inserting_before(self.before):
            made = call_like(self.graph, node, node.target, *arguments)
        made.kwargs = node.kwargs
        made.meta["val"] = torch.empty((*self.leading, *shape[1:]), device="meta")
        return made
