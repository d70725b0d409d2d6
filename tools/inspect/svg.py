"""A program's graph as an SVG drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape, quoteattr

from mohaq.compiler.program import Program
from mohaq.tools.inspect.graph import Node, program_graph
from mohaq.tools.inspect.layout import LINE, PADDING, TITLE_LINE, Box, Placed, place

FILLS = ("#dbeafe", "#dcfce7", "#fef3c7", "#fce7f3", "#ede9fe", "#cffafe", "#ffedd5", "#e2e8f0")
"""Colours of layers, in turn."""

EDGES = ("#2563eb", "#16a34a", "#d97706", "#db2777", "#7c3aed", "#0891b2", "#ea580c", "#475569")
PLAIN, BORDER = "#f8fafc", "#94a3b8"
FONT = "font-family=\"'DejaVu Sans', Verdana, sans-serif\""

Link = Callable[[Node], str | None]
"""Where a click on a box leads."""


def draw(program: Program, title: str, link: Link | None = None) -> str:
    """The drawing.

    Raises:
        MohaqError: the program has no graph that can be drawn.
    """
    placed = place(program_graph(program))
    colours: dict[str, int] = {}
    body = "\n".join(_shapes(placed, colours, link or (lambda _node: None)))
    width = max(placed.width, 32 + 8.0 * len(title))
    height = placed.height + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">\n'
        f"<title>{escape(title)}</title>\n"
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0,1 L10,5 L0,9 z" fill="#64748b"/></marker></defs>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="16" y="22" font-size="13" fill="#334155" {FONT}>{escape(title)}</text>\n'
        f'<g transform="translate({(width - placed.width) / 2:.1f} 24)">\n{body}\n</g>\n</svg>\n'
    )


def _shapes(placed: Placed, colours: dict[str, int], link: Link) -> Iterator[str]:
    """Frames, then lines, then boxes."""
    for box in placed.boxes.values():
        yield from _box(box, colours, link)
    for points, text in placed.edges:
        yield _edge(points, text)


def _edge(points: list[tuple[float, float]], text: str) -> str:
    x, y = points[0]
    path = [f"M{x:.1f},{y:.1f}"]
    for a, b in points[1:]:
        half = (b - y) / 2
        path.append(f"C{x:.1f},{y + half:.1f} {a:.1f},{b - half:.1f} {a:.1f},{b:.1f}")
        x, y = a, b
    return (
        f'<path d="{" ".join(path)}" fill="none" stroke="#64748b" stroke-width="1.3" '
        f'marker-end="url(#arrow)"><title>{escape(text)}</title></path>'
    )


def _box(box: Box, colours: dict[str, int], link: Link) -> Iterator[str]:
    node = box.node
    assert node is not None
    fill, border = PLAIN, BORDER
    if node.layer:
        place_in_turn = colours.setdefault(node.layer, len(colours)) % len(FILLS)
        fill, border = FILLS[place_in_turn], EDGES[place_in_turn]
    round_corner = box.height / 2 if node.kind in {"input", "result"} else 6
    target = link(node)
    yield f"<a href={quoteattr(target)}>" if target else "<g>"
    yield (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="{min(round_corner, 18):.0f}" fill="{fill}" stroke="{border}" stroke-width="1.2">'
        f"<title>{escape(node.tip or node.title)}</title></rect>"
    )
    y = box.y + PADDING + 12
    yield (
        f'<text x="{box.middle:.1f}" y="{y:.1f}" font-size="12" font-weight="bold" '
        f'text-anchor="middle" fill="#0f172a" {FONT}>{escape(node.title)}</text>'
    )
    for number, line in enumerate(node.lines):
        yield (
            f'<text x="{box.middle:.1f}" y="{y + TITLE_LINE - 2 + LINE * number:.1f}" font-size="10" '
            f'text-anchor="middle" fill="#475569" {FONT}>{escape(line)}</text>'
        )
    yield "</a>" if target else "</g>"
    if box.inside is not None:
        inner = box.inside
        yield (
            f'<rect x="{box.x + PADDING / 2:.1f}" '
            f'y="{box.y + box.height - inner.height - PADDING / 2:.1f}" '
            f'width="{box.width - PADDING:.1f}" height="{inner.height:.1f}" rx="4" '
            f'fill="#ffffff" fill-opacity="0.75" stroke="{border}" stroke-dasharray="4 3"/>'
        )
        yield from _shapes(inner, colours, link)
