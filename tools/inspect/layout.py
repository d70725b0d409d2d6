"""Where the boxes of a graph stand: ranks from top to bottom, loops as frames around theirs.

Ranks are networkx's generations of an acyclic graph; within them nodes are ordered by the mean
place of their neighbours (Sugiyama, Tagawa and Toda, 1981), and stand as near to these as boxes
without overlap can: an isotonic regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import networkx as nx
import numpy as np
from scipy.optimize import isotonic_regression

from mohaq.tools.inspect.graph import Node

CHARACTER, TITLE_CHARACTER = 6.1, 7.4
"""Widths of a character of the fonts that are used, in pixels."""

LINE, TITLE_LINE = 15.0, 18.0
PADDING, GAP, RANK_GAP, FRAME = 10.0, 26.0, 46.0, 16.0
SWEEPS = 6


@dataclass
class Box:
    """Left upper corner and size in pixels; what is inside stands relative to the whole drawing."""

    node: Node | None
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    inside: Placed | None = None

    @property
    def middle(self) -> float:
        """Middle from left to right."""
        return self.x + self.width / 2


@dataclass
class Placed:
    """Boxes by node, and the points that each edge goes through."""

    width: float
    height: float
    boxes: dict[int, Box] = field(default_factory=dict)
    edges: list[tuple[list[tuple[float, float]], str]] = field(default_factory=list)

    def move(self, x: float, y: float) -> None:
        """Shift everything."""
        for box in self.boxes.values():
            box.x, box.y = box.x + x, box.y + y
            if box.inside is not None:
                box.inside.move(x, y)
        self.edges = [([(a + x, b + y) for a, b in line], text) for line, text in self.edges]


def place(graph: nx.DiGraph) -> Placed:
    """Places of all boxes; loops are placed inside first."""
    boxes = {n: _box(graph.nodes[n]["node"]) for n in graph}
    ranks, paths = _with_bends(graph, boxes)
    if not ranks:
        return Placed(2 * FRAME, 2 * FRAME)
    chained = nx.DiGraph()
    chained.add_nodes_from(boxes)
    for path, _ in paths:
        nx.add_path(chained, path)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = chained.pred if down else chained.succ
        for number in range(1, len(ranks)) if down else range(len(ranks) - 2, -1, -1):
            beside = {n: i for i, n in enumerate(ranks[number - 1 if down else number + 1])}
            means = {n: _mean(near[n], beside) for n in ranks[number]}
            ranks[number].sort(key=means.__getitem__)
    for rank in ranks:
        _spread(rank, boxes, dict.fromkeys(rank, 0.0))
    for sweep in range(SWEEPS):
        for rank in ranks if sweep % 2 == 0 else ranks[::-1]:
            wanted = {
                n: float(np.mean([boxes[m].middle for m in (*chained.pred[n], *chained.succ[n])]))
                if chained.degree(n)
                else boxes[n].middle
                for n in rank
            }
            _spread(rank, boxes, wanted)
    return _finished(ranks, paths, boxes)


def _mean(near: Mapping[int, object], beside: Mapping[int, int]) -> float:
    found = [beside[n] for n in near if n in beside]
    return sum(found) / len(found) if found else float(len(beside)) / 2


def _with_bends(
    graph: nx.DiGraph, boxes: dict[int, Box]
) -> tuple[list[list[int]], list[tuple[list[int], str]]]:
    """Ranks, with a thin box on every rank that an edge crosses; the nodes of each edge."""
    ranks = [list(one) for one in nx.topological_generations(graph)]
    # An input stands right above what reads it first.
    level = {n: r for r, one in enumerate(ranks) for n in one}
    for n in list(level):
        if not graph.pred[n] and graph.succ[n]:
            level[n] = min(level[m] for m in graph.succ[n]) - 1
    ranks = [[n for n in graph if level[n] == r] for r in range(len(ranks))]
    paths = []
    bend = -1
    for a, b, text in graph.edges(data="text"):
        path = [a]
        for rank in range(level[a] + 1, level[b]):
            boxes[bend] = Box(None, 2.0, 0.0)
            ranks[rank].append(bend)
            path.append(bend)
            bend -= 1
        paths.append(([*path, b], str(text)))
    return ranks, paths


def _spread(rank: list[int], boxes: Mapping[int, Box], wanted: Mapping[int, float]) -> None:
    """Middles as near to the wanted ones as the order and the widths allow."""
    widths = np.array([boxes[n].width for n in rank])
    # Distance of the middles of neighbours, added up: what is left must not fall.
    steps = np.concatenate([[0.0], np.cumsum((widths[1:] + widths[:-1]) / 2 + GAP)])
    free = isotonic_regression(np.array([wanted[n] for n in rank]) - steps).x
    for n, middle in zip(rank, free + steps, strict=True):
        boxes[n].x = round(float(middle) - boxes[n].width / 2, 2)


def _finished(
    ranks: list[list[int]], paths: list[tuple[list[int], str]], boxes: dict[int, Box]
) -> Placed:
    y = FRAME
    for rank in ranks:
        tall = max(boxes[n].height for n in rank)
        for n in rank:
            boxes[n].y = y if boxes[n].node else y + tall / 2
        y += tall + RANK_GAP
    left = min(box.x for box in boxes.values())
    for box in boxes.values():
        box.x += FRAME - left
        if box.inside is not None:
            box.inside.move(box.x + PADDING, box.y + box.height - box.inside.height - PADDING / 2)
    edges = []
    for path, text in paths:
        first, last = boxes[path[0]], boxes[path[-1]]
        points = [(first.middle, first.y + first.height)]
        points += [(boxes[n].middle, boxes[n].y) for n in path[1:-1]]
        edges.append(([*points, (last.middle, last.y)], text))
    width = max(box.x + box.width for box in boxes.values()) + FRAME
    shown = {n: box for n, box in boxes.items() if box.node is not None}
    return Placed(width, y - RANK_GAP + FRAME, shown, edges)


def _box(node: Node) -> Box:
    width = max(
        [len(node.title) * TITLE_CHARACTER, *(len(line) * CHARACTER for line in node.lines)]
    )
    width, height = width + 2 * PADDING, TITLE_LINE + LINE * len(node.lines) + 2 * PADDING
    if node.inside is None or not node.inside:
        return Box(node, width, height)
    inside = place(node.inside)
    return Box(node, max(width, inside.width + 2 * PADDING), height + inside.height, inside=inside)
