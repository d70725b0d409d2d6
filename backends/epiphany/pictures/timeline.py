"""What each core does when, for a trace viewer (Chrome trace event format).

One process a core, with the tracks program and DMA. Within a layer the causes of cycles stand one
after the other, as the cost model adds them up; a core that has less to do waits at the layer's
end. Times are microseconds of the target's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mohaq.backends.epiphany.costs import KernelCycles, breakdown
from mohaq.backends.epiphany.counters import ELEMENT_KINDS, Counts, Ints
from mohaq.backends.epiphany.machine import Machine

PROGRAM, DMA = 0, 1
DRAWN = 64
"""Cores that are drawn; on larger chips these are spread evenly."""

Event = dict[str, Any]


def timeline(
    layers: Mapping[str, Counts], machine: Machine, kernel_cycles: KernelCycles
) -> dict[str, Any]:
    """Layers one after the other on every core."""
    cores = np.unique(np.linspace(0, machine.cores - 1, min(machine.cores, DRAWN)).astype(int))
    names: list[Event] = []
    for core in cores:
        row, col = machine.place(int(core))
        names.append(_name("process_name", int(core), f"core ({row}, {col})"))
        names.append(_name("thread_name", int(core), "program", PROGRAM))
        names.append(_name("thread_name", int(core), "DMA of weights", DMA))
    events: list[Event] = []
    scale = 1e6 / machine.whole("clock")
    start = 0
    for name, counts in layers.items():
        whole = breakdown(counts, machine, kernel_cycles)
        end = start + whole.total
        own = _causes(counts, machine, kernel_cycles)
        for core in (int(c) for c in cores):
            at = start
            own_causes = [
                ("activations", whole.activations),
                *((cause, int(cycles[core])) for cause, cycles in own.items()),
                ("barriers", whole.barriers),
            ]
            for cause, cycles in own_causes:
                if cycles:
                    facts = {"layer": name, "cycles": cycles}
                    events.append(_block(cause, core, PROGRAM, at * scale, cycles * scale, facts))
                at += cycles
            if at < end:
                facts = {"layer": name, "cycles": end - at}
                events.append(
                    _block("waiting", core, PROGRAM, at * scale, (end - at) * scale, facts)
                )
            if whole.weights and counts.reads[0][core]:
                first = (start + whole.activations) * scale
                facts = {"layer": name, "bytes": int(counts.read_bytes[0][core])}
                length = whole.weights * scale
                events.append(_block(f"weights of {name}", core, DMA, first, length, facts))
        start = end
    return {"displayTimeUnit": "ns", "traceEvents": [*names, *events]}


def _causes(counts: Counts, machine: Machine, kernel_cycles: KernelCycles) -> dict[str, Ints]:
    """Cycles of each core by cause."""
    products = np.zeros(counts.cores, dtype=np.int64)
    for (name, columns), calls in counts.kernels.items():
        products = products + calls * kernel_cycles(name, columns)
    elements = np.zeros(counts.cores, dtype=np.int64)
    for kind in ELEMENT_KINDS:
        elements = elements + counts.elements[kind] * machine.whole(f"{kind}_cycles")
    pushes = counts.push_stores * machine.whole("push_cycles_per_store")
    pushes = pushes + counts.pushes * machine.whole("push_setup_cycles")
    return {"products": products, "elementwise": elements, "exchange": pushes}


def _name(kind: str, core: int, name: str, track: int | None = None) -> Event:
    event: Event = {"ph": "M", "name": kind, "pid": core, "args": {"name": name}}
    return event if track is None else {**event, "tid": track}


def _block(
    name: str, core: int, track: int, start: float, length: float, facts: Mapping[str, Any]
) -> Event:
    place = {"pid": core, "tid": track, "ts": round(start, 4), "dur": round(length, 4)}
    return {"ph": "X", "name": name, **place, "args": dict(facts)}
