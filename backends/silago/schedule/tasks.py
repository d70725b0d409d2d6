"""Phases as the host sees them: what is loaded, moved and run, and how often.

The host is whoever owns the test-bench port of the tiles: it loads programs over the shared bus
(a word a cycle, cells with one program at once), moves rows of 256 bits, and starts the cells.
Refilling the weights of the next run goes on while a run reads its own: the run takes a row of
a tile every 16 edges and never looks back, so the next rows follow behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from mohaq.backends.silago.isa.instructions import Instruction
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.line import words_of
from mohaq.backends.silago.schedule.matrix import (
    CHUNK,
    Layout,
    MatrixRun,
    layout,
    matrix_program,
)
from mohaq.backends.silago.schedule.passes import (
    CHUNK as ELEMENTS,
)
from mohaq.backends.silago.schedule.passes import (
    NACU_MODES,
    Pass,
    Segment,
    in_order,
    segments,
)
from mohaq.backends.silago.schedule.vector import PASS_WORDS, Rounds, deal, vector_program

Program = tuple[Instruction, ...]


@dataclass(frozen=True)
class Code:
    """The programs of a run by row of cells, and how the run ends."""

    rows: Mapping[int, Program]
    ends: Mapping[int, int]

    @property
    def words(self) -> int:
        """Cycles to load them: cells of one row have one program."""
        return sum(len(words_of(p)) for p in self.rows.values())

    def cycles(self, fabric: Fabric, cells: int) -> int:
        """Edges of a run on the first `cells` cells: the last HALT."""
        places = (place(fabric, i) for i in range(cells))
        return max(self.ends[r] + 1 + fabric.skew(r, c) for r, c in places)


def place(fabric: Fabric, number: int) -> tuple[int, int]:
    """(row, column) of a cell by number: first row first."""
    return divmod(number, fabric.cols)


def port_cycles(fabric: Fabric, rows: int) -> int:
    """Cycles to move rows between the tiles and the host."""
    return -(-rows * fabric.row_bits // fabric.refill_bits_per_cycle)


@dataclass(frozen=True)
class Band:
    """Rows of a matrix whose sums are shifted alike: a shift and (first, rows) of each run."""

    shift: int
    runs: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(size for _, size in self.runs)


@dataclass(frozen=True)
class MatrixTask:
    """y = W x on a fabric, band after band."""

    fabric: Fabric
    rows: int
    features: int
    bits: int
    bands: tuple[Band, ...]

    @property
    def lanes(self) -> int:
        """Rows of a group."""
        return self.fabric.lanes(self.bits)

    def _groups(self, band: Band) -> int:
        """Groups of a band; the last one may be padded."""
        return -(-band.rows // self.lanes)

    @property
    def cells(self) -> int:
        """Cells at work; group g of a band goes to cell g mod cells."""
        return min(self.fabric.cells, max(self._groups(b) for b in self.bands))

    @cached_property
    def place(self) -> Layout:
        """Rows of the tiles."""
        most = max(-(-self._groups(b) // self.cells) for b in self.bands)
        return layout(self.fabric, self.features, self.bits, most)

    @property
    def runs(self) -> tuple[int, ...]:
        """Runs of each band, each of all parts."""
        each = (-(-self._groups(b) // self.cells) for b in self.bands)
        return tuple(-(-groups // self.place.groups) for groups in each)

    @property
    def parts(self) -> int:
        """Programs of a run."""
        return len(self.place.parts)

    @property
    def resident(self) -> bool:
        """Whether all weights stay in the tiles from one vector to the next."""
        return sum(self.runs) * self.parts == 1

    @property
    def programs(self) -> int:
        """Different programs."""
        return len(self.bands) * self.parts

    def code(self, band: int, part: int) -> Code:
        """Programs of a run."""
        wide = self.fabric.numerics == "wide_acc"
        shift = self.bands[band].shift if wide else 0
        run = MatrixRun(self.place, part, self.bits, shift, wide, latched=self.fabric.latched)
        rows = {place(self.fabric, i)[0] for i in range(self.cells)}
        made = {r: matrix_program(run, r) for r in sorted(rows)}
        return Code({r: p for r, (p, _) in made.items()}, {r: e for r, (_, e) in made.items()})

    def refill_rows(self, part: int) -> int:
        """Weight rows of a run, all tiles together."""
        return self.place.groups * self.place.parts[part][1] * self.cells

    def counts(self, frames: int) -> dict[str, int]:
        """Counters of `frames` vectors one after the other."""
        f, p, cells, parts = self.fabric, self.place, self.cells, self.parts
        runs = sum(self.runs)
        codes = [self.code(0, part) for part in range(parts)]
        # Programs of all bands have the same words but for the shift.
        words = sum(c.words for c in codes)
        if self.programs == 1:
            load = words
        else:
            load = words * frames * (len(self.bands) if parts == 1 else runs)
        steps = [part for _ in range(runs) for part in range(parts)]
        run = [codes[part].cycles(f, cells) for part in steps]
        refill = [port_cycles(f, self.refill_rows(part)) for part in steps]
        total = port_cycles(f, p.chunks * cells) * frames
        total += port_cycles(f, p.out_rows * cells) * runs * frames
        total += sum(run) * frames + load
        refilled = sum(self.refill_rows(part) for part in steps)
        exposed = refill[0]
        if not self.resident:
            behind = [max(0, b - a) for a, b in zip(run, [*refill[1:], refill[0]], strict=True)]
            exposed += sum(behind) * frames - behind[-1]
            refilled *= frames
        chunks = p.groups * runs * cells * frames * p.chunks
        return {
            "cycles": total + exposed,
            "run_cycles": sum(run) * frames,
            "load_cycles": load,
            "refill_rows": refilled,
            "port_rows": (p.chunks + p.out_rows * runs) * cells * frames,
            f"macs_{self.bits}": chunks * CHUNK * self.lanes,
            "sram_bits_read": (2 * chunks + len(steps) * (1 + p.out_rows) * cells * frames)
            * f.row_bits,
            "sram_bits_written": p.out_rows * runs * cells * frames * f.row_bits,
            f"ideal_macs_{self.bits}": self.rows * self.features * frames,
        }


@dataclass(frozen=True)
class VectorTask:
    """Passes over vectors of one extent; values are numbered inputs first."""

    fabric: Fabric
    extent: int
    passes: tuple[Pass, ...]
    results: tuple[int, ...]

    @property
    def wide(self) -> bool:
        """Whether products need no change of format."""
        return self.fabric.numerics == "wide_acc"

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The program segments."""
        return segments(
            in_order(self.passes),
            self.results,
            PASS_WORDS,
            wide=self.wide,
            latched=self.fabric.latched,
        )

    @property
    def programs(self) -> int:
        """Different programs."""
        return len(self.segments)

    def deal(self, segment: Segment) -> Rounds:
        """How the elements are dealt to the cells in a segment."""
        return deal(self.fabric, self.extent, segment.rows)

    def code(self, segment: Segment) -> Code:
        """Programs of a segment."""
        dealt = self.deal(segment)
        rows = {place(self.fabric, i)[0] for i in range(dealt.cells)}
        how = {"wide": self.wide, "latched": self.fabric.latched}
        made = {r: vector_program(segment, dealt.rounds, r, **how) for r in sorted(rows)}
        return Code({r: p for r, (p, _) in made.items()}, {r: e for r, (_, e) in made.items()})

    def counts(self, frames: int) -> dict[str, int]:
        """Counters of `frames` vectors one after the other."""
        found = dict.fromkeys(
            (
                "cycles",
                "run_cycles",
                "load_cycles",
                "port_rows",
                "elementwise",
                "nonlinear",
                "sram_bits_read",
                "sram_bits_written",
            ),
            0,
        )
        f = self.fabric
        for one in self.segments:
            dealt, code = self.deal(one), self.code(one)
            times = dealt.runs * frames
            each = dealt.rounds * dealt.cells
            run = code.cycles(f, dealt.cells)
            found["run_cycles"] += run * times
            found["load_cycles"] += code.words
            found["port_rows"] += each * (one.rows + 1) * times
            ways = port_cycles(f, each * one.rows) + port_cycles(f, each)
            found["cycles"] += (run + ways) * times + code.words
            found["sram_bits_read"] += each * one.fetched * f.row_bits * times
            found["sram_bits_written"] += each * f.row_bits * times
            for p in one.passes:
                kind = "nonlinear" if p.mode in NACU_MODES else "elementwise"
                found[kind] += each * ELEMENTS * times
        return found
