"""A program's graph in Graphviz's language."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from mohaq.compiler.program import Program
from mohaq.tools.inspect.graph import Node, program_graph
from mohaq.tools.inspect.svg import EDGES, FILLS, PLAIN


def write_dot(program: Program, title: str) -> str:
    """The graph; loops are clusters.

    Raises:
        MohaqError: the program has no graph.
    """
    lines = [
        "digraph program {",
        f"  label={_quoted(title)}; labelloc=t; rankdir=TB; compound=true;",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10];',
        '  edge [fontname="Helvetica", fontsize=8];',
        *_body(program_graph(program), {}, "  "),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _body(graph: nx.DiGraph, colours: dict[str, int], indent: str) -> Iterator[str]:
    for number, held in graph.nodes(data="node"):
        node: Node = held
        fill, border = PLAIN, "#94a3b8"
        if node.layer:
            turn = colours.setdefault(node.layer, len(colours)) % len(FILLS)
            fill, border = FILLS[turn], EDGES[turn]
        shape = ", shape=oval" if node.kind in {"input", "result"} else ""
        label = "\n".join((node.title, *node.lines))
        yield (
            f'{indent}n{number} [label={_quoted(label)}, fillcolor="{fill}", color="{border}"'
            f"{shape}, tooltip={_quoted(node.tip or node.title)}];"
        )
        if node.inside is not None:
            yield f"{indent}subgraph cluster_{number} {{"
            yield f'{indent}  label={_quoted(node.title)}; style="rounded,dashed";'
            yield from _body(node.inside, colours, indent + "  ")
            yield f"{indent}}}"
    for a, b, text in graph.edges(data="text"):
        yield f"{indent}n{a} -> n{b} [label={_quoted(str(text))}];"


def _quoted(text: str) -> str:
    """A string of the language: quotes and backslashes escaped, lines apart."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
