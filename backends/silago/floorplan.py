"""A drawing of the fabric: cells, memory tiles, and which tile each cell reads and writes."""

from __future__ import annotations

from mohaq.backends.silago.machine import Fabric

CELL, GAP = 64, 16


def floorplan(fabric: Fabric) -> str:
    """SVG of a fabric with the routes that compiled programs open."""
    step = CELL + GAP
    width = GAP + fabric.cols * step
    height = GAP + (fabric.tile_rows + fabric.rows) * step
    shapes: list[str] = []
    routes: list[str] = []

    def box(x: int, y: int, fill: str, text: str) -> None:
        shapes.append(
            f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="4" fill="{fill}" '
            f'stroke="#444"/><text x="{x + CELL // 2}" y="{y + CELL // 2}" font-size="11" '
            f'text-anchor="middle" font-family="sans-serif">{text}</text>'
        )

    for col in range(fabric.cols):
        x = GAP + col * step
        for tile in range(fabric.tile_rows):
            y = GAP + (fabric.tile_rows - 1 - tile) * step
            box(x, y, "#dbe9f6", f"tile {tile + 1},{col}")
        for row in range(fabric.rows):
            y = GAP + (fabric.tile_rows + row) * step
            box(x, y, "#fbe3c8", f"cell {row},{col}")
            start, end = y, GAP + (fabric.tile_rows - 1 - row) * step + CELL
            at = x + CELL // 2 + (row * 2 - 1) * 12
            routes.append(
                f'<line x1="{at}" y1="{start}" x2="{at}" y2="{end}" stroke="#b03060" '
                'stroke-width="2"/>'
            )
    body = "\n".join([*shapes, *routes])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">\n'
        f"{body}\n</svg>\n"
    )
