"""What a search found as HTML: the front as a table and as a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mohaq.compiler.assignment import bits_text
from mohaq.compiler.notebook.html import Axis, Dot, block, line, plot, table
from mohaq.compiler.number_text import objective_text

if TYPE_CHECKING:
    from mohaq.compiler.search.front import Point, SearchResult

CROWD = 1000
"""Points behind the front that a plot shows, spread evenly."""


def search_html(found: SearchResult) -> str:
    """Title, plot of the first two objectives, table of references and front."""
    from mohaq.compiler.search.front import point_names

    units = {axis.name: axis.unit for axis in found.axes}
    names = point_names(len(found.front))

    def text(name: str, value: float | None) -> str:
        return "" if value is None else objective_text(name, value, units[name])

    rows: list[tuple[str, ...]] = [
        (str(row["name"]), "", *(text(o, row["objectives"].get(o)) for o in found.objectives))
        for row in found.reference
    ]
    for name, point in zip(names, found.front, strict=True):
        costs = (text(o, point.objectives[o]) for o in found.objectives)
        rows.append((name, bits_text(point.widths), *costs))
    layers = dict.fromkeys(s.layer for p in found.front[:1] for s in p.widths)
    return block(
        f"Search: {len(found.front)} points on the front of {len(found.evaluated)} candidates",
        _plot(found, names),
        table(("point", "weight x input bits", *found.objectives), rows, text=2),
        line("layers: " + " ".join(layers)) if layers else "",
        *(line(f"not met: {limit}") for limit in found.unmet),
        line(f"in {found.folder}"),
    )


def _plot(found: SearchResult, names: list[str]) -> str:
    if len(found.objectives) < 2 or not found.front:
        return ""
    upright = "error" if "error" in found.objectives else found.objectives[0]
    across = next(o for o in found.objectives if o != upright)
    units = {axis.name: axis.unit for axis in found.axes}

    def dot(point: Point, name: str) -> Dot:
        x, y = point.objectives[across], point.objectives[upright]
        texts = (f"{objective_text(o, v, units[o])} {o}" for o, v in ((upright, y), (across, x)))
        return Dot(x, y, f"{name}: {', '.join(texts)}".lstrip(": "), front=bool(name))

    genomes = {point.genome for point in found.front}
    behind = [
        p
        for p in found.evaluated
        if p.feasible and p.genome not in genomes and {across, upright} <= set(p.objectives)
    ]
    step = -(-len(behind) // CROWD) or 1
    dots = [dot(point, "") for point in behind[::step]]
    dots += [dot(point, name) for name, point in zip(names, found.front, strict=True)]

    def axis(name: str, values: list[float]) -> Axis:
        low, high = (objective_text(name, v, units[name]) for v in (min(values), max(values)))
        return Axis(name, low, high)

    return plot(dots, axis(across, [d.x for d in dots]), axis(upright, [d.y for d in dots]))
