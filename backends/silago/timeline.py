"""What a program does edge by edge, for a trace viewer (Chrome trace event format).

One process a cell, with the tracks sequencer, w0, w1, r0, r1, DPU and memory; an edge is a
microsecond of the viewer. Cells of a row do the same, `skew` edges apart, so one of each is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mohaq.backends.silago.isa.instructions import Mode, Port
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.verify.events import Events, events_of
from mohaq.backends.silago.verify.trace import traces

TRACKS = ("sequencer", "w0", "w1", "r0", "r1", "DPU", "memory")
LONGEST = 4000
"""Events of a program that are written; longer ones say that they go on."""

Event = dict[str, Any]


def timeline(
    fabric: Fabric, programs: Sequence[tuple[str, Mapping[tuple[int, int], Sequence[int]]]]
) -> dict[str, Any]:
    """All programs one after the other.

    Args:
        fabric: the machine.
        programs: (title, words by cell) of each.
    """
    events: list[Event] = []
    seen: set[tuple[int, int]] = set()
    start = 0
    for title, cells in programs:
        end = start
        for cell, words in cells.items():
            made = traces(fabric, cell, words, (0,) * fabric.raccu_regs, 1)
            if not made:
                continue
            seen.add(cell)
            found = events_of(fabric, made[0], {})
            rows = _decodes(made[0].decodes, title) + _accesses(fabric, found)
            pid = _process(fabric, cell)
            rows = sorted(rows, key=lambda r: int(r["ts"]))[:LONGEST]
            events += [{**row, "ts": row["ts"] + start, "pid": pid} for row in rows]
            end = max(end, start + made[0].decodes[-1][0])
        start = end + 20
    names = [_name(fabric, cell) for cell in sorted(seen)]
    return {"displayTimeUnit": "ms", "traceEvents": [e for one in names for e in one] + events}


def _process(fabric: Fabric, cell: tuple[int, int]) -> int:
    return cell[0] * fabric.cols + cell[1]


def _name(fabric: Fabric, cell: tuple[int, int]) -> list[Event]:
    pid = _process(fabric, cell)
    named: list[Event] = [
        {
            "ph": "M",
            "name": "process_name",
            "pid": pid,
            "args": {"name": f"cell ({cell[0]}, {cell[1]})"},
        }
    ]
    return named + [
        {"ph": "M", "name": "thread_name", "pid": pid, "tid": n, "args": {"name": track}}
        for n, track in enumerate(TRACKS)
    ]


def _event(name: str, track: str, first: int, last: int, **facts: object) -> Event:
    """A block from edge `first` to the end of edge `last`."""
    return {
        "ph": "X",
        "name": name,
        "tid": TRACKS.index(track),
        "ts": first,
        "dur": last - first + 1,
        "args": facts,
    }


def _decodes(decodes: Sequence[tuple[int, Any]], title: str) -> list[Event]:
    rows = [
        _event(d.instruction.NAME, "sequencer", edge, edge, word=d.pc, program=title)
        for edge, d in decodes
    ]
    modes = [(edge + 2, d.instruction) for edge, d in decodes if d.instruction.NAME == "DPU"]
    for n, (edge, item) in enumerate(modes):
        last = modes[n + 1][0] - 1 if n + 1 < len(modes) else decodes[-1][0]
        if last >= edge:
            rows.append(_event(Mode(item.mode).name.lower(), "DPU", edge, last))
    return rows


def _accesses(fabric: Fabric, found: Events) -> list[Event]:
    rows = []
    for use in found.ports:
        title = f"{'blocks' if use.block else 'words'} from {use.access.init}"
        track = Port(use.port).name.lower()
        rows.append(_event(title, track, use.first, use.last, accesses=use.access.count))
    for stream in found.streams:
        row, col = divmod(stream.tile, fabric.cols)
        first = stream.decode + fabric.write_base + stream.hops + stream.access.delay
        kind = "write" if stream.write else "read"
        title = f"{kind} tile {row + 1},{col} from {stream.access.init}"
        last = first + stream.access.span
        rows.append(_event(title, "memory", first, last, rows=stream.access.count))
    return rows
