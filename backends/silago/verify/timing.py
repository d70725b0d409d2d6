"""Rules between the events of a segment: ports, memory tiles, register-file words, results."""

from __future__ import annotations

from collections.abc import Sequence

from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.verify.carried import Carried
from mohaq.backends.silago.verify.events import Events, events_of
from mohaq.backends.silago.verify.finding import Finding
from mohaq.backends.silago.verify.memory import check_memory
from mohaq.backends.silago.verify.registers import check_ports, check_registers
from mohaq.backends.silago.verify.results import check_results
from mohaq.backends.silago.verify.trace import Trace


def check_timing(
    fabric: Fabric, way: Sequence[Trace], before: Carried
) -> tuple[list[Finding], Carried]:
    """Findings of one way through a segment, and what it leaves."""
    cells = [events_of(fabric, trace, before.routes.get(trace.cell, {})) for trace in way]
    found: list[Finding] = []
    written = dict(before.written)
    for events in cells:
        found += check_ports(events)
        more, mask = check_registers(fabric, events, written.get(events.cell, 0))
        found += more
        written[events.cell] = mask
    found += check_memory(fabric, cells)
    found += check_results(fabric, cells, before)
    latched = "bw_latch" in fabric.repairs
    return found, _left(cells, way, before, written, latched)


def _left(
    cells: Sequence[Events],
    way: Sequence[Trace],
    before: Carried,
    written: dict[tuple[int, int], int],
    latched: bool,
) -> Carried:
    sources = {cell: dict(found) for cell, found in before.sources.items()}
    routes, mode, bw = dict(before.routes), dict(before.mode), dict(before.bw)
    regs = dict(before.regs)
    for events, trace in zip(cells, way, strict=True):
        cell = events.cell
        mine = sources.setdefault(cell, {})
        for sink, made in events.sources.items():
            mine[sink] = made[-1][1]
        routes[cell] = events.routes
        if events.dpu:
            mode[cell] = events.dpu[-1][2].mode
        if events.bw and latched:
            bw[cell] = events.bw[-1][1]
        regs[cell] = trace.regs
    return Carried(written, sources, routes, mode, bw, regs)
