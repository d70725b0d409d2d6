"""Rules of memory tiles: one pattern at a time, single port, rows that meet their block access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mohaq.backends.silago.isa.instructions import Port
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.state import Ints
from mohaq.backends.silago.verify.events import Events, Stream, offsets
from mohaq.backends.silago.verify.finding import Finding

Use = tuple[Stream, tuple[int, int]]


def check_memory(fabric: Fabric, cells: Sequence[Events]) -> list[Finding]:
    """Findings of all memory patterns of a segment."""
    found = []
    uses: list[Use] = []
    for events in cells:
        for edge, pc, text in events.route_problem:
            found.append(Finding("route", events.cell, pc, edge, text))
        uses += [(stream, events.cell) for stream in events.streams]
    found += _overlaps(fabric, uses)
    for stream, cell in uses:
        rows = offsets(stream.access)[1] % 128
        if (rows >= fabric.tile_depth).any():
            text = f"a tile has {fabric.tile_depth} rows, not {int(rows.max()) + 1}"
            found.append(Finding("tile-row", cell, stream.pc, stream.decode, text))
    for events in cells:
        found += _meetings(fabric, events)
    found += _bus(fabric, cells)
    return found


def _overlaps(fabric: Fabric, uses: Sequence[Use]) -> list[Finding]:
    """A pattern is decoded no earlier than its tile's previous one could store its last block.

    A second read of a tile that still runs one is lost; the closest pair that was measured is
    `read_base` edges apart.
    """
    found = []
    by_tile: dict[int, list[Use]] = {}
    for use in uses:
        by_tile.setdefault(use[0].tile, []).append(use)
    for tile, mine in by_tile.items():
        free = -1
        for stream, cell in sorted(mine, key=lambda use: use[0].decode + use[0].hops):
            arrival = stream.decode + stream.hops
            if arrival < free:
                place = (1 + tile // fabric.cols, tile % fabric.cols)
                text = f"tile {place} still runs a pattern, it is free from edge {free} on"
                found.append(Finding("tile", cell, stream.pc, stream.decode, text))
            end = arrival + stream.access.delay + stream.access.span + fabric.read_base
            free = max(free, end)
    return found


def _meetings(fabric: Fabric, events: Events) -> list[Finding]:
    """Every row from memory is stored by a block access at its edge, and the other way round."""
    found = []
    row = events.cell[0]
    for write, port in ((False, Port.W0), (True, Port.R0)):
        moved: Counter[int] = Counter()
        for stream in events.streams:
            if stream.write == write:
                moved.update((_at_port(fabric, stream, row)).tolist())
        blocks: Counter[int] = Counter()
        for use in events.ports:
            if use.block and use.port == port:
                blocks.update(use.edges().tolist())
        if moved == blocks:
            continue
        edge = min((moved - blocks) | (blocks - moved))
        side = "memory gives" if write is False else "memory takes"
        what = f"{side} a row" if moved[edge] > blocks[edge] else f"a block of {port.name.lower()}"
        text = f"{what} at an edge where the other side does not"
        found.append(Finding("block-edge", events.cell, None, int(edge), text))
    return found


def _at_port(fabric: Fabric, stream: Stream, row: int) -> Ints:
    """Edges at which the rows of a pattern pass the register file."""
    start = stream.decode + stream.access.delay
    if stream.write:
        return start + fabric.write_base - 1 + offsets(stream.access)[0]
    latency = fabric.read_base + row + fabric.hop_cycles * stream.hops
    return start + latency + offsets(stream.access)[0]


def _bus(fabric: Fabric, cells: Sequence[Events]) -> list[Finding]:
    """The cells of a column never receive a row at one edge."""
    found = []
    seen: dict[tuple[int, int], tuple[int, int]] = {}
    for events in cells:
        row, col = events.cell
        for stream in events.streams:
            if stream.write:
                continue
            for edge in _at_port(fabric, stream, row).tolist():
                other = seen.setdefault((col, edge), events.cell)
                if other != events.cell:
                    text = f"cell {other} receives a row over the same column at this edge"
                    found.append(Finding("bus", events.cell, stream.pc, edge, text))
                    break
    return found
