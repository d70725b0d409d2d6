"""A core's memory: what lies in each bank, stage by stage. All cores are laid out alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mohaq.backends.epiphany.pictures.svg import box, document, text

WIDTH, HEIGHT, LEFT, TOP, GAP = 210, 22, 170, 46, 12
RESIDENT, CODE, END, FREE = "#4a6fa5", "#c9c9c9", "#b7a57a", "#ffffff"
FIELDS = ("#f4a582", "#92c5de", "#b8e186", "#fddbc7", "#d9c2e9", "#fee08b", "#c7eae5")


def memory_map(plan: Mapping[str, Any]) -> str:
    """SVG: a row for each stage, a bar for each bank; tooltips give bytes.

    Args:
        plan: content of plan.json: `memory` lists room, weights that stay and fields by bank.
    """
    bank_bytes = int(plan["constants"]["memory_bytes"]) // 4
    code = int(plan["constants"]["code_bytes"]) - bank_bytes
    rows = list(plan["memory"])
    stages = [row["stage"] for row in rows[0]["layers"]] if rows else []
    shapes = [text(8, 18, "Local memory of a core", size=14)]
    for bank in range(4):
        at = LEFT + bank * (WIDTH + GAP)
        shapes.append(text(at, TOP - 8, f"bank {bank}: {bank_bytes} bytes"))
    for number, stage in enumerate(stages):
        y = TOP + number * (HEIGHT + GAP)
        shapes.append(text(LEFT - 8, y + HEIGHT - 7, str(stage), anchor="end"))
        shapes.append(box(LEFT, y, WIDTH, HEIGHT, CODE, "code, constants, runtime"))
        for row in rows:
            shapes += _bar(row, number, y, bank_bytes, code)
    height = TOP + max(len(stages), 1) * (HEIGHT + GAP)
    shapes += _legend(height)
    return document(LEFT + 4 * (WIDTH + GAP), height + 24, shapes)


def _bar(row: Mapping[str, Any], number: int, y: float, bank_bytes: int, code: int) -> list[str]:
    bank = int(row["bank"])
    left = LEFT + bank * (WIDTH + GAP)
    scale = WIDTH / bank_bytes
    parts = [
        (RESIDENT, f"{r['weights']} of {r['layer']} stay", r["bytes"]) for r in row["resident"]
    ]
    fields = row["layers"][number]["fields"]
    parts += [
        (FIELDS[n % len(FIELDS)], name, size) for n, (name, size) in enumerate(fields.items())
    ]
    shapes = [box(left, y, WIDTH, HEIGHT, FREE, f"bank {bank}")]
    at = float(left)
    if bank == 1 and code:
        shapes.append(
            box(
                at, y, code * scale, HEIGHT, CODE, f"code that bank 0 has no room for: {code} bytes"
            )
        )
        at += code * scale
    for fill, name, size in parts:
        shapes.append(box(at, y, size * scale, HEIGHT, fill, f"{name}: {size} bytes"))
        at += size * scale
    rest = bank_bytes - int(row["bytes"])
    if rest and bank == 3:
        end = left + WIDTH - rest * scale
        shapes.append(box(end, y, rest * scale, HEIGHT, END, f"tables and stack: {rest} bytes"))
    return shapes


def _legend(y: float) -> list[str]:
    shapes, x = [], float(LEFT)
    for fill, name in ((CODE, "code"), (RESIDENT, "weights that stay"), (END, "tables, stack")):
        shapes += [box(x, y, 12, 12, fill), text(x + 17, y + 10, name)]
        x += 150
    return [*shapes, text(x, y + 10, "other colours: arrays of the stage")]
