"""`--schedule`: our own scheduler on measured layers, beside the published simulator's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mohaq.backends.bitfusion.schedule.overlap import (
    CONVENTIONS,
    Schedule,
    roofline,
    schedule,
    traffic_floor,
)
from mohaq.tools.vectors.bitfusion.file import Row


@dataclass(frozen=True)
class Compared:
    """One layer under one convention; `fill` are the array cycles that the reference leaves out."""

    row: Row
    convention: str
    schedule: Schedule
    roofline: int
    fill: int

    @property
    def reference(self) -> int:
        """Cycles of the published simulator."""
        return self.row.whole["total_cycles"]

    @property
    def ratio(self) -> float:
        """Cycles over the roofline."""
        return self.schedule.cycles / self.roofline

    @property
    def energy(self) -> float:
        """Energy over the published simulator's."""
        return self.schedule.energy_nj / self.row.real["energy_nJ"]

    @property
    def slower(self) -> int:
        """Cycles beyond the published simulator's and the fill that it leaves out."""
        return max(0, self.schedule.cycles - self.reference - self.fill)

    @property
    def problems(self) -> list[str]:
        """What cannot be: slower than the reference by its own rules, or faster than the bounds."""
        found = []
        if self.slower and self.convention == "refconv":
            found.append(f"slower than the reference by {self.slower}")
        moved = self.schedule.dram_read_bits + self.schedule.dram_write_bits
        floor = traffic_floor(self.row.product, self.convention)
        if self.schedule.cycles < self.roofline or moved < floor:
            found.append("below the roofline")
        return found


def compare(row: Row) -> list[Compared]:
    """Our schedule of a layer under every convention."""
    product, machine = row.product, row.machine
    found = []
    for convention in CONVENTIONS:
        fill = machine.rows + machine.columns if convention == "physical" else 0
        made = schedule(product, machine, convention, at_most=row.whole["total_cycles"] + fill)
        found.append(Compared(row, convention, made, roofline(product, machine, convention), fill))
    return found


def line_of(one: Compared) -> str:
    """One line of text."""
    s = one.schedule
    order = ("K>" if s.spill else "") + ("OC>B" if s.by_columns else "B>OC")
    return (
        f"     {one.convention:8s} {s.cycles} cycles, {one.ratio:.3f} of the roofline "
        f"{one.roofline}; reference {one.reference}; energy {one.energy:.3f} of it; "
        f"tile {s.b} x {s.ic} x {s.oc}, {order}"
    )


def summary(compared: Sequence[Compared]) -> list[str]:
    """Geometric means by target and convention."""
    found = []
    for target in sorted({c.row.target for c in compared}):
        for convention in CONVENTIONS:
            these = [c for c in compared if c.row.target == target and c.convention == convention]
            ours = _mean([c.ratio for c in these])
            theirs = _mean([c.reference / c.roofline for c in these])
            worst = max(c.ratio for c in these)
            slower = sum(c.slower > 0 for c in these)
            dearer = sum(c.energy > 1 for c in these)
            found.append(
                f"{target} {convention}: {ours:.3f} of the roofline (worst {worst:.3f}), "
                f"reference {theirs:.3f}; energy {_mean([c.energy for c in these]):.3f} of the "
                f"reference's; of {len(these)} rows {slower} slower, {dearer} dearer"
            )
    return found


def _mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))
