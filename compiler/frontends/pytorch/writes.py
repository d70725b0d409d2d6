"""Operations of an exported graph that write into a tensor.

The import reads a graph as values that never change. A write is fine where nothing else looks at
the memory afterwards (`relu_` of a fresh tensor), and a tensor that is filled step by step is the
stack of what was written; every other write is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

import torch
from torch.fx import Graph, Node

from mohaq.compiler.frontends.pytorch.nodes import operation_name, source_of
from mohaq.compiler.frontends.refuse import refuse

aten = torch.ops.aten

MAY_SHARE = {
    "aten.alias", "aten.chunk", "aten.contiguous", "aten.detach", "aten.dropout", "aten.expand",
    "aten.expand_as", "aten.flatten", "aten.mT", "aten.movedim", "aten.narrow", "aten.numpy_T",
    "aten.permute", "aten.reshape", "aten.select", "aten.slice", "aten.split",
    "aten.split_with_sizes", "aten.squeeze", "aten.t", "aten.to", "aten.transpose",
    "aten.type_as", "aten.unbind", "aten.unflatten", "aten.unsqueeze", "aten.view",
}  # fmt: skip
"""Operations whose result may be the memory of their input."""

FRESH = {
    "aten.empty", "aten.zeros", "aten.ones", "aten.full", "aten.new_empty", "aten.new_zeros",
    "aten.new_ones", "aten.new_full", "aten.empty_like", "aten.zeros_like", "aten.ones_like",
}  # fmt: skip


def writes(node: Node) -> bool:
    """Whether a node changes its first argument."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and bool(schema.is_mutable)


def check_writes(graph: Graph) -> None:
    """Check that no write is seen through another name of the memory.

    Raises:
        MohaqError: one is.
    """
    place = {node: n for n, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if not writes(node) or not node.args or not isinstance(node.args[0], Node):
            continue
        root = _root(node.args[0])
        if any(place[u] > place[node] for alias in _aliases(root) for u in alias.users):
            raise refuse(
                operation_name(node),
                name=node.name,
                why="it writes into a part of a tensor that is used afterwards",
                source=source_of(node),
                instead="torch.cat or torch.stack of the parts",
            )


def _root(node: Node) -> Node:
    while _shares(node) and isinstance(node.args[0], Node):
        node = node.args[0]
    return node


def _shares(node: Node) -> bool:
    if node.target is operator.getitem:
        source = node.args[0]
        return isinstance(source, Node) and _shares(source)
    return node.op == "call_function" and operation_name(node) in MAY_SHARE


def _aliases(root: Node) -> Iterator[Node]:
    yield root
    for user in root.users:
        if _shares(user):
            yield from _aliases(user)


def gather_writes(graph: Graph) -> None:
    """Turn `y = zeros(...); y[t] = h` for every t into a stack, as the list form makes it."""
    place = {node: n for n, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.op == "call_function" and operation_name(node) in FRESH:
            _gather(graph, node, place)


def _gather(graph: Graph, fresh: Node, place: dict[Node, int]) -> None:
    shape = fresh.meta["val"].shape
    parts: dict[int, Node] = {}
    done: list[tuple[Node, Node]] = []
    reads: list[Node] = []
    axes = set()
    for user in fresh.users:
        filled = _filled(user)
        if filled is None:
            reads.append(user)
            continue
        axis = int(user.args[1]) % len(shape)  # type: ignore[arg-type]
        index = int(user.args[2]) % shape[axis]  # type: ignore[arg-type]
        value = filled.args[1]
        if index in parts or not isinstance(value, Node):
            return
        if value.meta["val"].shape != user.meta["val"].shape:
            return
        axes.add(axis)
        parts[index] = value
        done.append((user, filled))
    if not reads or len(axes) != 1:
        return
    axis = axes.pop()
    first = min(reads, key=place.__getitem__)
    if len(parts) != shape[axis] or any(place[f] > place[first] for _, f in done):
        return
    with graph.inserting_before(first):
        made = graph.call_function(
            aten.stack.default, ([parts[n] for n in range(shape[axis])], axis)
        )
    made.meta = dict(fresh.meta)
    for part, filled in done:
        graph.erase_node(filled)
        graph.erase_node(part)
    fresh.replace_all_uses_with(made)
    graph.erase_node(fresh)


def _filled(part: Node) -> Node | None:
    """The write of all of `tensor[index]`, if that is all that is done with it."""
    if part.target is not aten.select.int or len(part.users) != 1:
        return None
    (user,) = part.users
    whole = user.target is aten.copy_.default and user.args[0] is part and not user.users
    return user if whole else None
