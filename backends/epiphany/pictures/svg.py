"""Words of SVG that the drawings share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

FONT = 'font-family="sans-serif"'


def box(x: float, y: float, width: float, height: float, fill: str, title: str = "") -> str:
    """A rectangle with a tooltip."""
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"'
    return f'{shape} stroke="#555" stroke-width="0.5"><title>{escape(title)}</title></rect>'


def text(x: float, y: float, content: str, *, size: int = 11, anchor: str = "start") -> str:
    """A line of text."""
    place = f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {FONT}>'
    return f"{place}{escape(content)}</text>"


def document(width: float, height: float, shapes: Sequence[str]) -> str:
    """A whole drawing."""
    body = "\n".join(shapes)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}">'
    return f"{head}\n{body}\n</svg>\n"


def shade(part: float) -> str:
    """White for 0, dark red for 1."""
    low, high = (255, 250, 240), (165, 0, 38)
    mixed = [round(a + (b - a) * min(max(part, 0.0), 1.0)) for a, b in zip(low, high, strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)
