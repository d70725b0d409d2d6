"""Traffic on the mesh: bytes over each link and into each core."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mohaq.backends.epiphany.counters import Counts, Ints
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.pictures.svg import box, document, shade, text

LEFT, TOP = 20, 64
LARGEST = 720
"""Pixels of the mesh's longer side."""


def link_bytes(counts: Counts, active: int, machine: Machine) -> tuple[Ints, Ints]:
    """Bytes over the links, both ways together.

    Writes go along the row first, then along the column (facts: mesh [R]). Every core pushes the
    same bytes to each of the first `active` cores but itself.

    Returns:
        horizontal [R, C - 1] and vertical [R - 1, C]; their sum is the counted byte-hops.
    """
    rows, cols = machine.whole("rows"), machine.whole("columns")
    at = np.arange(machine.cores)
    targets = np.maximum(active - (at < active), 1)
    each = (counts.push_bytes // targets).reshape(rows, cols)
    wanted = (at < active).astype(np.int64).reshape(rows, cols)
    # Along a row: from the columns on one side to targets whose column is on the other side.
    by_column = wanted.sum(axis=0)
    before, after = np.cumsum(by_column), by_column.sum() - np.cumsum(by_column)
    sent = np.cumsum(each, axis=1)
    rest = each.sum(axis=1, keepdims=True) - sent
    horizontal = (sent * after + rest * before)[:, :-1]
    # Along a target's column: from the rows on one side to targets on the other side.
    total = each.sum(axis=1)
    above, below = np.cumsum(total), total.sum() - np.cumsum(total)
    held = np.cumsum(wanted, axis=0)
    left = wanted.sum(axis=0, keepdims=True) - held
    vertical = (above[:, None] * left + below[:, None] * held)[:-1]
    return horizontal, vertical


def mesh_map(layers: Mapping[str, Counts], active: Mapping[str, int], machine: Machine) -> str:
    """SVG: cores by the bytes that they receive, links by the bytes that cross them."""
    rows, cols = machine.whole("rows"), machine.whole("columns")
    horizontal = np.zeros((rows, cols - 1), dtype=np.int64)
    vertical = np.zeros((rows - 1, cols), dtype=np.int64)
    received = np.zeros(machine.cores, dtype=np.int64)
    at = np.arange(machine.cores)
    for name, counts in layers.items():
        across, along = link_bytes(counts, active[name], machine)
        horizontal, vertical = horizontal + across, vertical + along
        each = counts.push_bytes // np.maximum(active[name] - (at < active[name]), 1)
        received += (at < active[name]) * (each.sum() - each)
    step = LARGEST / max(rows, cols)
    side = step * 0.6
    most = max(int(horizontal.max(initial=0)), int(vertical.max(initial=0)), 1)
    fullest = max(int(received.max()), 1)
    shapes = [
        text(LEFT, 20, "Mesh traffic", size=14),
        text(LEFT, 38, f"links: up to {most} bytes; cores: up to {fullest} bytes received"),
    ]
    for row, col in np.ndindex(rows, cols):
        x, y = LEFT + col * step, TOP + row * step
        if col < cols - 1:
            amount = int(horizontal[row, col])
            place = (x + side, y + side * 0.35, step - side, side * 0.3)
            shapes.append(box(*place, shade(amount / most), f"{amount} bytes"))
        if row < rows - 1:
            amount = int(vertical[row, col])
            place = (x + side * 0.35, y + side, side * 0.3, step - side)
            shapes.append(box(*place, shade(amount / most), f"{amount} bytes"))
        amount = int(received[row * cols + col])
        title = f"core ({row}, {col}): {amount} bytes received"
        shapes.append(box(x, y, side, side, shade(amount / fullest), title))
    return document(2 * LEFT + cols * step, TOP + rows * step, shapes)
