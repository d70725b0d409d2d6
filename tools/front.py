"""A front on the terminal: a table and a small plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mohaq.compiler.assignment import bits_text
from mohaq.compiler.search.front import Point, SearchResult, point_names
from mohaq.tools.console import objective_text, say, table

__all__ = ["bits_text", "plot", "print_front", "thin"]

ROWS = 14
"""Points that a terminal table shows; front.json has them all."""

WIDTH, HEIGHT = 60, 12


def thin(count: int, rows: int = ROWS) -> list[int]:
    """At most `rows` indices spread over `count`, ends included."""
    if count <= rows:
        return list(range(count))
    return sorted({round(i * (count - 1) / (rows - 1)) for i in range(rows)})


def print_front(found: SearchResult) -> None:
    """The front as a table, beside the reference rows, and as a plot."""
    names, units = point_names(len(found.front)), {a.name: a.unit for a in found.axes}

    def text(name: str, value: float) -> str:
        return objective_text(name, value, units[name])

    rows = [
        (
            row["name"],
            "",
            *(
                text(o, row["objectives"][o]) if o in row["objectives"] else ""
                for o in found.objectives
            ),
        )
        for row in found.reference
    ]
    shown = thin(len(found.front))
    for index in shown:
        point = found.front[index]
        rows.append(
            (
                names[index],
                bits_text(point.widths),
                *(text(o, point.objectives[o]) for o in found.objectives),
            )
        )
    layers = list(dict.fromkeys(s.layer for s in found.front[0].widths)) if found.front else []
    title = f"Front: {len(found.front)} points"
    if len(shown) < len(found.front):
        title += f", {len(shown)} shown"
    table(title, ("point", "weight x input bits", *found.objectives), rows, text=2)
    say(f"layers: {' '.join(layers)}")
    if len(found.objectives) > 1 and found.front:
        upright = "error" if "error" in found.objectives else found.objectives[0]
        other = next(o for o in found.objectives if o != upright)
        say(plot(found.front, other, upright, units))


def plot(
    front: Sequence[Point],
    other: str,
    upright: str = "error",
    units: Mapping[str, str] | None = None,
) -> str:
    """One objective (upwards) against another, in characters."""
    units = units or {}
    xs = [p.objectives[other] for p in front]
    ys = [p.objectives[upright] for p in front]
    low_x, high_x, low_y, high_y = min(xs), max(xs), min(ys), max(ys)
    cells = [[" "] * WIDTH for _ in range(HEIGHT)]
    for x, y in zip(xs, ys, strict=True):
        column = round((x - low_x) / ((high_x - low_x) or 1) * (WIDTH - 1))
        row = round((y - low_y) / ((high_y - low_y) or 1) * (HEIGHT - 1))
        cells[HEIGHT - 1 - row][column] = "o"
    top, bottom = (objective_text(upright, y, units.get(upright, "s")) for y in (high_y, low_y))
    labels = [top, *[""] * (HEIGHT - 2), bottom]
    lines = [f"{label:>9} |{''.join(row)}" for label, row in zip(labels, cells, strict=True)]
    left, right = (objective_text(other, x, units.get(other, "s")) for x in (low_x, high_x))
    foot = f"{left}{other:^{max(1, WIDTH - len(left) - len(right))}}{right}"
    return "\n".join([*lines, f"{'':>9} +{'-' * WIDTH}", f"{'':>11}{foot}"])
