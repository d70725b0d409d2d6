"""The reference target: its list of operations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mohaq.backends.reference.emit import PROGRAM_FILE
from mohaq.tools.inspect.blocks import Block, Listing, Table
from mohaq.tools.inspect.stream import array_items, reading

WHAT = "reference program"
APART = ("op", "in", "out", "body", "layer")
"""Facts of an operation that stand in columns of their own."""


def summary(folder: Path) -> list[Block]:
    """Operations of each layer.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    counts: dict[str, int] = {}
    for name, _, _ in _rows(folder):
        counts[name] = counts.get(name, 0) + 1
    rows: list[tuple[object, ...]] = [(name, f"{n:,}") for name, n in counts.items()]
    rows.append(("all", f"{sum(counts.values()):,}"))
    return [Table("Instructions", ("layer", "operations"), rows)]


def layer(folder: Path, number: int, name: str) -> list[Block]:  # noqa: ARG001  found by name
    """Operations of a layer, in the order in which they run.

    Raises:
        MohaqError: a file is missing or damaged.
    """

    def lines() -> Iterator[str]:
        for owner, row, depth in _rows(folder):
            if owner == name:
                yield _text(row, depth)

    return [Listing(f"Operations of {name}", lines)]


def _text(row: dict[str, Any], depth: int) -> str:
    made, read = (" ".join(f"%{n}" for n in row[key]) for key in ("out", "in"))
    facts = [f"{k}={json.dumps(v)}" for k, v in row.items() if k not in APART]
    return f"{'  ' * depth}{made} = {row['op']} {read}  {' '.join(facts)}".rstrip()


def _rows(folder: Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    """(layer, row, depth): a row that names no layer belongs to the one before it."""

    def inside(
        rows: list[Any], layer: str, depth: int
    ) -> Iterator[tuple[str, dict[str, Any], int]]:
        for row in rows:
            owner = layer = str(row.get("layer", layer))
            _ = row["op"], len(row["in"]), len(row["out"])
            yield owner, row, depth
            yield from inside(row.get("body", []), owner, depth + 1)

    path, last = folder / PROGRAM_FILE, ""
    early: list[Any] = []
    with reading(path, WHAT):
        for one in array_items(path, "ops", WHAT):
            last = str(one.get("layer", last))
            early.append(one)
            if last:  # what comes before the first name belongs to it
                yield from inside(early, last, 0)
                early = []
        yield from inside(early, last, 0)
