"""Pieces of HTML for notebooks: titles, tables, scatter plots. No script, no network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = (
    "<style>.mohaq{font-size:90%}.mohaq p{margin:.2em 0}.mohaq table{margin:.4em 0}"
    ".mohaq td.n,.mohaq th.n{text-align:right}.mohaq td,.mohaq th{text-align:left}"
    ".mohaq td.n{font-variant-numeric:tabular-nums}</style>"
)

ROWS = 200
"""Rows of a table at most; a note counts the rest."""

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 70, 12, 12, 40
"""Pixels of a plot and around its axes."""


@dataclass(frozen=True)
class Dot:
    """A point of a plot; `label` shows when the pointer is on it, `front` makes it stand out."""

    x: float
    y: float
    label: str
    front: bool = True


@dataclass(frozen=True)
class Axis:
    """Name of an axis, and its ends as people read them."""

    name: str
    low: str
    high: str


def block(title: str, *parts: str) -> str:
    """A title over parts that are HTML already."""
    return f'<div class="mohaq">{STYLE}<p><b>{escape(title)}</b></p>{"".join(parts)}</div>'


def line(text: str) -> str:
    """One line of text."""
    return f"<p>{escape(text)}</p>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, text: int = 1) -> str:
    """A table; the first `text` columns are words, the others numbers (right-aligned)."""

    def row(cells: Sequence[object], tag: str) -> str:
        kinds = ["" if number < text else ' class="n"' for number in range(len(cells))]
        made = (
            f"<{tag}{kind}>{escape(str(cell))}</{tag}>"
            for kind, cell in zip(kinds, cells, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    held = list(rows)
    body = "".join(row(cells, "td") for cells in held[:ROWS])
    more = line(f"and {len(held) - ROWS} more rows") if len(held) > ROWS else ""
    return f"<table><thead>{row(columns, 'th')}</thead><tbody>{body}</tbody></table>{more}"


def plot(dots: Sequence[Dot], across: Axis, upright: Axis) -> str:
    """A scatter plot as SVG; dots without finite values are left out."""
    shown = [d for d in dots if math.isfinite(d.x) and math.isfinite(d.y)]
    if not shown:
        return ""
    xs, ys = [d.x for d in shown], [d.y for d in shown]
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT

    def place(value: float, values: Sequence[float], start: float, end: float) -> float:
        span = max(values) - min(values)
        return start + (end - start) * ((value - min(values)) / span if span else 0.5)

    marks = []
    for dot in sorted(shown, key=lambda d: d.front):  # the front above the others
        x, y = place(dot.x, xs, LEFT + 8, right - 8), place(dot.y, ys, bottom - 8, TOP + 8)
        look = 'r="4" fill="#0b62a4"' if dot.front else 'r="2" fill="#999"'
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" {look}><title>{escape(dot.label)}</title></circle>'
        )

    def words(x: float, y: float, anchor: str, text: str) -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'

    middle = (LEFT + right) / 2
    texts = (
        words(LEFT, bottom + 16, "start", across.low),
        words(right, bottom + 16, "end", across.high),
        words(middle, bottom + 32, "middle", across.name),
        words(LEFT - 6, bottom, "end", upright.low),
        words(LEFT - 6, TOP + 10, "end", upright.high),
        words(LEFT - 6, (TOP + bottom) / 2, "end", upright.name),
    )
    axes = f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#666"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-size="11" fill="currentColor" role="img">'
        f"{axes}{''.join(marks)}{''.join(texts)}</svg>"
    )
