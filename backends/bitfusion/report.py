"""What a compiled program does, for reading: timeline, roofline, and what limits every layer.

All of it is predicted from the blocks for one run (`frames` steps of one sequence); the simulator
counts the same cycles when it executes the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mohaq.backends.base import Workload
from mohaq.backends.bitfusion.counters import INDEX
from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.isa.instructions import Kind
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.schedule.counts import Counts, Slots, walk_block

NOMINAL_FRAMES = 100
"""Steps of the run that a report shows; fewer where a program was laid out for fewer rows."""

UNITS = ("array", "ppu", "port", "path")
TITLES = {
    "array": "array", "ppu": "post-processing unit", "port": "DRAM port", "path": "chip path",
}  # fmt: skip
LONGEST = 4000
"""Slots of a block that the timeline shows; longer blocks say that they go on."""


@dataclass(frozen=True)
class Shown:
    """One block of a run."""

    layer: str
    block: Block
    counts: Counts
    slots: Slots

    @property
    def cycles(self) -> int:
        """Cycles of the block."""
        return int(self.counts[INDEX["cycles"]])

    def limited(self) -> dict[str, int]:
        """Cycles of the slots whose length each unit decides (ties: the first named)."""
        work = np.stack([getattr(self.slots, unit) for unit in UNITS])
        first = work.argmax(axis=0)
        return {unit: int(self.slots.length[first == n].sum()) for n, unit in enumerate(UNITS)}

    def title(self) -> str:
        """The layer, and what the block is."""
        kind = self.block.kind
        if kind == Kind.GEMM:
            return f"{self.layer}: product {self.block.a_bits} x {self.block.w_bits} bits"
        if not self.block.is_scan:
            return f"{self.layer}: elementwise"
        inside = " with products" if self.block.products else ""
        return f"{self.layer}: {kind.name.lower()} recurrence{inside}"


def shown_run(
    blocks: Sequence[Block], layers: Sequence[str], machine: Machine, max_rows: int
) -> tuple[Workload, list[Shown]]:
    """The blocks of the run that reports show."""
    workload = Workload(min(NOMINAL_FRAMES, max_rows), 1)
    found = []
    for block in blocks:
        counts, slots = walk_block(block, workload, machine)
        found.append(Shown(layers[block.layer], block, counts, slots))
    return workload, found


def report(workload: Workload, run: Sequence[Shown], machine: Machine) -> dict[str, Any]:
    """Cycles, utilisation and limits of every block, and of every layer.

    Utilisation of the array: multiply-accumulates of at most 8 x 8 bits over those that all units
    could do in the block's cycles at its operands' widths. Stalls of the array: cycles in which
    it waits, by what the slot waits for.
    """
    rows = []
    for one in run:
        macs, limits = int(one.counts[INDEX["macs"]]), one.limited()
        lanes = machine.lanes_of(one.block.a_bits, one.block.w_bits) if one.block.a_bits else 0
        peak = machine.rows * machine.columns * lanes
        array = int(one.counts[INDEX["array_cycles"]])
        rows.append(
            {
                "layer": one.layer,
                "block": one.title(),
                "cycles": one.cycles,
                "array_cycles": array,
                "array_utilisation": round(macs / (one.cycles * peak), 4) if peak else None,
                "limited_by_cycles": limits,
                "array_stalls": max(0, one.cycles - array) if peak else None,
                "dram_bits": _dram(one),
                "chip_bits": int(one.counts[INDEX["chip_bits"]]),
                "macs": macs,
            }
        )
    layers: dict[str, int] = {}
    for one in run:
        layers[one.layer] = layers.get(one.layer, 0) + one.cycles
    return {
        "schema": "mohaq.bitfusion.report/1",
        "run": {"frames": workload.frames, "batch": workload.batch},
        "cycles": sum(one.cycles for one in run),
        "layers": layers,
        "blocks": rows,
    }


def _dram(one: Shown) -> int:
    read, write = one.counts[INDEX["dram_read_bits"]], one.counts[INDEX["dram_write_bits"]]
    return int(read + write)


def timeline(run: Sequence[Shown]) -> dict[str, Any]:
    """Slots of all blocks as a trace (Chrome trace event format); a cycle is a microsecond."""
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": n, "args": {"name": TITLES[unit]}}
        for n, unit in enumerate(UNITS)
    ]
    events.append(
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": len(UNITS), "args": {"name": "block"}}
    )
    start = 0
    for one in run:
        facts = {"cycles": one.cycles, "slots": len(one.slots.length)}
        if len(one.slots.length) > LONGEST:
            facts["slots shown"] = LONGEST
        events.append(_event(one.title(), len(UNITS), start, one.cycles, facts))
        at = start
        for slot, length in enumerate(one.slots.length[:LONGEST].tolist()):
            for n, unit in enumerate(UNITS):
                spent = int(getattr(one.slots, unit)[slot])
                if spent:
                    events.append(_event(one.layer, n, at, spent, {"slot": slot}))
            at += length
        start += one.cycles
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _event(name: str, track: int, start: int, length: int, facts: dict[str, int]) -> dict[str, Any]:
    return {
        "ph": "X", "name": name, "pid": 0, "tid": track, "ts": start, "dur": length, "args": facts,
    }  # fmt: skip
