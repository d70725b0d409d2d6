"""Who computes what in an ONNX graph: names once, nothing from nowhere, an order of nodes."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx_ir
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx_ir.passes.common import TopologicalSortPass

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.refuse import shown

MOST_NODES = 200_000
"""Nodes of a model, those of its functions counted at every call."""


def check_text(model: onnx.ModelProto, where: str) -> None:
    """Refuse text that is not UTF-8: protobuf hands it out as bytes, which no reader expects.

    Raises:
        MohaqError: there is such text.
    """
    stack: list[Message] = [model]
    while stack:
        message = stack.pop()
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                stack.extend(value if field.is_repeated else [value])
            elif field.type == FieldDescriptor.TYPE_STRING:
                for text in value if field.is_repeated else [value]:
                    if isinstance(text, bytes):
                        raise MohaqError(
                            "not an ONNX file, or damaged",
                            where=where,
                            why=f"{field.full_name} is not UTF-8",
                        )


def check_wiring(model: onnx.ModelProto, where: str) -> bool:
    """Check the names of values and the number of nodes; whether nodes stand in order.

    Raises:
        MohaqError: a value is computed twice or by nothing, or there are too many nodes.
    """
    _count(model, where)
    names = _Names(where)
    names.check(model.graph, frozenset())
    return names.sorted


class _Names:
    """Follows the names of values through a graph and its subgraphs."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.sorted = True

    def check(self, graph: onnx.GraphProto, around: frozenset[str]) -> set[str]:
        """Check a graph that sees the names `around` it; gives the names that it reads."""
        early = {i.name for i in graph.input} | self._constants(graph)
        made = self._defined(graph, early)
        known = around | made | early | {""}
        ready = around | early | {""}
        read: set[str] = set()
        for node in graph.node:
            mine = set(node.input)
            if missing := mine - known:
                raise MohaqError(
                    f"'{shown(min(missing))}' is computed by no node",
                    where=f"{self.where}: '{shown(node.name or node.op_type)}'",
                    why="it reads this value",
                )
            for attribute in node.attribute:
                one = [attribute.g] if attribute.HasField("g") else []
                for inner in (*one, *attribute.graphs):
                    mine |= self.check(inner, frozenset(known))
            self.sorted &= mine <= ready
            ready |= set(node.output)
            read |= mine
        for info in graph.output:
            if info.name not in known or not info.name:
                raise MohaqError(
                    f"result '{shown(info.name)}' is computed by no node", where=self.where
                )
            read.add(info.name)
        return read - made - early

    def _constants(self, graph: onnx.GraphProto) -> set[str]:
        found: set[str] = set()
        for tensor in graph.initializer:
            if not tensor.name or tensor.name in found:
                raise MohaqError(
                    f"two tensors are called '{shown(tensor.name)}'"
                    if tensor.name
                    else "a constant tensor has no name",
                    where=self.where,
                )
            found.add(tensor.name)
        return found

    def _defined(self, graph: onnx.GraphProto, early: set[str]) -> set[str]:
        made: set[str] = set()
        inputs = [i.name for i in graph.input]
        outputs = [name for node in graph.node for name in node.output if name]
        for name in (*inputs, *outputs):
            if name in made or (name in early and name not in inputs):
                raise MohaqError(f"two values are called '{shown(name)}'", where=self.where)
            made.add(name)
        return made


def _count(model: onnx.ModelProto, where: str) -> None:
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    sizes: dict[tuple[str, str, str], int] = {}
    open_: set[tuple[str, str, str]] = set()

    def size(nodes: Iterable[onnx.NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            total += of(key) if key in functions else 1
            for attribute in node.attribute:
                for graph in (
                    *([attribute.g] if attribute.HasField("g") else []),
                    *attribute.graphs,
                ):
                    total += size(graph.node)
            if total > MOST_NODES:
                raise MohaqError(f"the model has more than {MOST_NODES} nodes", where=where)
        return total

    def of(key: tuple[str, str, str]) -> int:
        if key in open_ or len(open_) > 100:
            raise MohaqError(f"function '{shown(key[1])}' calls itself", where=where)
        if key not in sizes:
            open_.add(key)
            sizes[key] = size(functions[key].node)
            open_.discard(key)
        return sizes[key]

    size(model.graph.node)
    for function in model.functions:
        size(function.node)


def in_order(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model with every graph's nodes in an order of computation.

    Raises:
        MohaqError: there is none, or onnx-ir cannot read the model.
    """
    try:
        held = onnx_ir.from_proto(model)
        TopologicalSortPass()(held)
        return onnx_ir.to_proto(held)
    except (
        onnx_ir.serde.SerdeError,
        onnx_ir.passes.PassError,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise MohaqError("not a valid ONNX model", where=where, why=_first(cause)) from None


def _first(error: BaseException) -> str:
    return shown(str(error).strip().partition("\n")[0])
