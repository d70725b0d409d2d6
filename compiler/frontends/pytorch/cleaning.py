"""Taking out of an exported graph what does nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, Node

from mohaq.compiler.frontends.pytorch.steps import rank_of

aten = torch.ops.aten

NO_EFFECT = (aten.clone.default, aten.contiguous.default, aten.detach.default, aten.alias.default,
             aten.detach_.default, aten.lift_fresh_copy.default)  # fmt: skip


def simplify(graph: Graph) -> None:
    """Take out what has no effect and would hide a chain."""
    for node in list(graph.nodes):
        arguments: Any = node.args
        if not arguments or not isinstance(arguments[0], Node):
            continue
        source = arguments[0]
        given: Any = source.args
        idle = node.target in NO_EFFECT
        idle |= node.target is aten.dropout.default and arguments[2] is False
        if idle:
            node.replace_all_uses_with(source)
        elif (
            node.target is aten.unsqueeze.default
            and source.target is aten.squeeze.dim
            and rank_of(node) == rank_of(given[0])
            and arguments[1] % rank_of(node) == given[1] % rank_of(node)
            and given[0].meta["val"].shape[given[1]] == 1
        ):
            node.replace_all_uses_with(given[0])
    remove_unused(graph)


def remove_unused(graph: Graph) -> None:
    """As `Graph.eliminate_dead_code`, which keeps what may be random: dropout, whole layers."""
    for node in reversed(graph.nodes):
        if node.op != "call_function" or node.users:
            continue
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            graph.erase_node(node)


def renumber(graph: Graph) -> None:
    """Names that do not depend on how many steps there were."""
    for number, node in enumerate(graph.nodes):
        if node.op == "call_function":
            plain = getattr(node.target, "__name__", "node").split(".")[0]
            node.name = f"{plain}.{number}"  # no input has a dot in its name
