"""Counts what is executed, and turns the stages of a block into cycles."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mohaq.backends.bitfusion.counters import COUNTERS
from mohaq.backends.bitfusion.isa.instructions import Pad


@dataclass
class Stage:
    """What one tile moved and how long its units worked."""

    load_bits: int = 0
    array_cycles: int = 0
    ppu_cycles: int = 0
    store_bits: int = 0
    fetched_bits: int = 0
    brought_bits: int = 0
    kept_bits: int = 0
    segments: list[list[int]] = field(default_factory=list)
    """Of time steps with products: [cycles from one fetch to the next, bits fetched before]."""

    def cycles(self, port: int) -> int:
        """Cycles outside the array: of post-processing, or of all that time steps do.

        What a segment needs is fetched during the one before it.
        """
        if not self.segments:
            return self.ppu_cycles
        needs = [-(-bits // port) for _, bits in self.segments[1:]] + [0]
        spent = [cycles for cycles, _ in self.segments]
        return sum(max(s, n) for s, n in zip(spent, needs, strict=True))


@dataclass
class Meter:
    """Counters of one block."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    stages: list[Stage] = field(default_factory=list)

    def add(self, name: str, amount: int) -> None:
        """Count something."""
        self.counts[name] += amount

    def read(self, pad: Pad, bits: int) -> None:
        """Bits read from a scratchpad."""
        self.counts[f"{pad.name.lower()}_read_bits"] += bits

    def write(self, pad: Pad, bits: int) -> None:
        """Bits written to a scratchpad."""
        self.counts[f"{pad.name.lower()}_write_bits"] += bits

    def loaded(self, pad: Pad, bits: int) -> None:
        """A transfer from DRAM in the current stage."""
        self.stages[-1].load_bits += bits
        self.add("dram_read_bits", bits)
        self.write(pad, bits)

    def stored(self, pad: Pad, bits: int) -> None:
        """A transfer to DRAM in the current stage."""
        self.stages[-1].store_bits += bits
        self.add("dram_write_bits", bits)
        self.read(pad, bits)

    def brought(self, pad: Pad, source: Pad, bits: int) -> None:
        """A tile of a held value, from the scratchpad that holds it."""
        self.stages[-1].brought_bits += bits
        self.add("chip_bits", bits)
        self.read(source, bits)
        self.write(pad, bits)

    def kept(self, pad: Pad, target: Pad, bits: int) -> None:
        """A tile of a held value, to the scratchpad that holds it."""
        self.stages[-1].kept_bits += bits
        self.add("chip_bits", bits)
        self.read(pad, bits)
        self.write(target, bits)

    def fetched(self, pad: Pad, bits: int) -> None:
        """A transfer from DRAM inside a time step."""
        self.stages[-1].fetched_bits += bits
        self.add("dram_read_bits", bits)
        self.write(pad, bits)

    def segment(self, bits: int) -> None:
        """A piece of a time step begins when so many bits have been fetched."""
        self.stages[-1].segments += [] if self.stages[-1].segments else [[0, 0]]
        self.stages[-1].segments.append([0, bits])

    def busy(self, cycles: int) -> None:
        """Cycles that the current piece of a time step takes."""
        if not self.stages[-1].segments:
            self.stages[-1].segments.append([0, 0])
        self.stages[-1].segments[-1][0] += cycles

    def array_worked(self, cycles: int) -> None:
        """Array cycles of the current stage."""
        self.stages[-1].array_cycles += cycles
        self.add("array_cycles", cycles)

    def ppu_worked(self, cycles: int) -> None:
        """Post-processing cycles of the current stage."""
        self.stages[-1].ppu_cycles += cycles
        self.add("ppu_cycles", cycles)

    def close(self, port: int, path: int, *, with_array: bool) -> None:
        """Walk over the slots: every unit works on its own stage, the slowest sets the pace."""
        empty = Stage()
        count = len(self.stages)

        def stage(number: int) -> Stage:
            return self.stages[number] if 0 <= number < count else empty

        cycles = 0
        behind = 1 if with_array else 0
        for slot in range(-1, count + behind + 1):
            moved = stage(slot + 1).load_bits + stage(slot - behind - 1).store_bits
            moved += stage(slot - behind).fetched_bits
            busy = stage(slot - behind).cycles(port)
            if with_array:
                busy = max(busy, stage(slot).array_cycles)
            inside = stage(slot + 1).brought_bits + stage(slot - behind - 1).kept_bits
            cycles += max(busy, -(-moved // port), -(-inside // path))
        self.add("cycles", cycles)

    def vector(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """All counters in their order."""
        return np.array([self.counts[n] for n in COUNTERS], dtype=np.int64)
