"""A program as a graph of operations; a loop is a node with a graph inside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import networkx as nx
from xdsl.ir import Block, Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn import ScanOp
from mohaq.compiler.program import Program, argument_names, result_names
from mohaq.tools.inspect.figures import figures, layer_of
from mohaq.tools.inspect.printed import Printed, shortened, type_text
from mohaq.tools.inspect.words import facts_text

MOST = 1500
"""Operations that a picture can hold."""


@dataclass
class Node:
    """A box: its title, lines below, what kind of thing it is, its layer, and what is inside."""

    title: str
    lines: tuple[str, ...] = ()
    kind: str = "operation"
    layer: str = ""
    tip: str = ""
    inside: nx.DiGraph | None = None
    tags: list[str] = field(default_factory=list)


def program_graph(program: Program) -> nx.DiGraph:
    """Operations and what flows between them; nodes are numbers with a `node`, edges have a `text`.

    Raises:
        MohaqError: nothing flows (the instructions of a lowered program), or it is too large.
    """
    entry = program.entry
    count = sum(1 for _ in entry.walk())
    if count > MOST:
        raise MohaqError(
            f"{count:,} operations are too many for a picture of at most {MOST:,}",
            hint="draw an earlier stage (--stage)",
        )
    shown = sum(bool(op.results) for op in entry.body.block.ops)
    if not shown and any(op.regions for op in entry.body.block.ops):
        raise MohaqError(
            "the instructions of a lowered program are a list, no graph",
            hint="draw an earlier stage (--stage 3-legalized)",
        )
    return _Maker(program).whole()


class _Maker:
    def __init__(self, program: Program) -> None:
        self._program, self._printed = program, Printed(program)
        self._figures = {row.name: row for row in figures(program)}
        self._next = 0

    def whole(self) -> nx.DiGraph:
        entry = self._program.entry
        names = [
            name or self._printed.name(arg)
            for name, arg in zip(argument_names(entry), entry.args, strict=True)
        ]
        results = [name or "result" for name in result_names(entry)]
        return self._block(entry.body.block, names, results)

    def _block(self, block: Block, names: list[str], results: list[str]) -> nx.DiGraph:
        graph = nx.DiGraph()
        made: dict[SSAValue, int] = {}
        for name, arg in zip(names, block.args, strict=True):
            made[arg] = self._add(graph, Node(name, (type_text(arg),), "input"))
        last = block.last_op
        for op in block.ops:
            if isinstance(op, LoadOp) or op is last:
                continue
            number = self._add(graph, self._node(op))
            for value in self._read(op):
                if value in made:
                    graph.add_edge(made[value], number, text=type_text(value))
            made |= dict.fromkeys(op.results, number)
        if last is not None:
            for place, value in enumerate(last.operands):
                name = results[place] if place < len(results) else "result"
                end = self._add(graph, Node(name, (type_text(value),), "result"))
                if value in made:
                    graph.add_edge(made[value], end, text=type_text(value))
        return graph

    def _read(self, op: Operation) -> Iterator[SSAValue]:
        """Operands; of a loop also what its body reads from around it."""
        yield from op.operands
        for region in op.regions:
            for inner in region.walk():
                for value in inner.operands:
                    if not isinstance(value.owner, LoadOp):
                        yield value

    def _node(self, op: Operation) -> Node:
        layer = layer_of(op) or ""
        kind = op.name.removeprefix("nn.")
        held = [v.owner.symbol for v in op.operands if isinstance(v.owner, LoadOp)]
        lines = [facts_text(op)]
        if isinstance(op, LayerOp):
            lines += self._layer_lines(op)
            node = Node(op.label, (kind, *filter(None, lines)), "layer", layer)
        else:
            if held:
                lines.append(", ".join(f"@{name}" for name in held))
            node = Node(kind, tuple(filter(None, lines)), "operation", layer)
        node.tip = self._printed.text(op).partition("\n")[0].strip()
        if op.regions and op.regions[0].blocks:
            body = op.regions[0].block
            reads = len(op.inputs) if isinstance(op, ScanOp) else len(body.args)
            names = [
                f"step of input {n}" if n < reads else f"state {n - reads}"
                for n in range(len(body.args))
            ]
            ends = len(body.last_op.operands) if body.last_op is not None else 0
            results = [f"to result {n}" for n in range(ends)]
            node.inside = self._block(body, names, results)
        return node

    def _layer_lines(self, op: LayerOp) -> list[str]:
        row = self._figures.get(op.label)
        if row is None:
            return []
        text = f"{row.shape}, {row.macs:,} MACs a frame"
        return [text, f"{row.held:,} bytes"] if row.held is not None else [text]

    def _add(self, graph: nx.DiGraph, node: Node) -> int:
        self._next += 1
        node.title = shortened(node.title, 48)
        node.lines = tuple(shortened(line, 56) for line in node.lines)
        graph.add_node(self._next, node=node)
        return self._next
