"""Phases as the host sees them: what is loaded, moved and run, and how often.

The host is whoever owns the test-bench port of the tiles: it loads programs over the shared bus
(a word a cycle, cells with one program at once), moves rows of 256 bits, and starts the cells.
What no run hides of that is in port.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from mohaq.backends.silago.isa.instructions import Instruction
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.port import Port
from mohaq.backends.silago.schedule.layout import CHUNK, Layout, MatrixRun, layout
from mohaq.backends.silago.schedule.matrix import FIRST_ROWS, matrix_program
from mohaq.backends.silago.schedule.passes import (
    NACU_MODES,
    WIDTHS,
    Pass,
    Segment,
    in_order,
    segments,
)
from mohaq.backends.silago.schedule.vector import PASS_WORDS, Rounds, deal, vector_program
from mohaq.compiler.diagnostics import MohaqError

Program = tuple[Instruction, ...]


@dataclass(frozen=True)
class Code:
    """The programs of a run by row of cells, how the run ends, and the cells that run it."""

    rows: Mapping[int, Program]
    ends: Mapping[int, int]
    places: tuple[tuple[int, int], ...]
    turns: tuple[int, ...] = ()
    """Edges by which tiles of column 0 need the next half group of weights; others lag."""

    @property
    def words(self) -> int:
        """Cycles to load them: cells of one row have one program."""
        return sum(i.words for p in self.rows.values() for i in p)

    def cycles(self, fabric: Fabric) -> int:
        """Edges of a run: the last HALT."""
        return max(self.ends[r] + 1 + fabric.skew(r, c) for r, c in self.places)


def coded(made: Callable[[int], tuple[Program, int]], places: Sequence[tuple[int, int]]) -> Code:
    """Code from (program, edge of HALT) of each row."""
    rows = {r: made(r) for r in sorted({row for row, _ in places})}
    return Code(
        {r: p for r, (p, _) in rows.items()}, {r: e for r, (_, e) in rows.items()}, tuple(places)
    )


def place(columns: int, number: int) -> tuple[int, int]:
    """(row, column) of a cell by number: first row first."""
    return divmod(number, columns)


@dataclass(frozen=True)
class Step:
    """A run as the port sees it: rows that it needs before, gets inside, leaves; its cycles."""

    rows: int
    inside: int
    results: int
    cycles: int


def waited(port: Port, steps: Sequence[Step], times: int) -> int:
    """Cycles that runs wait for the port, the same steps `times` times over."""
    total = 0
    # From the third time on everything repeats.
    for n in range(min(times, 3)):
        made = 0
        for one in steps:
            made += port.before(one.rows)
            port.ran(one.cycles, one.results, one.inside)
        total += made * (times - 2 if n == 2 else 1)
    return total


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
    """y = W x on a fabric, band after band.

    pairs: whether two vectors can be multiplied at once. Then whole columns work.
    """

    fabric: Fabric
    rows: int
    features: int
    bits: int
    bands: tuple[Band, ...]
    pairs: bool = True

    @property
    def lanes(self) -> int:
        """Rows of a group."""
        return self.fabric.lanes(self.bits)

    def _groups(self, band: Band) -> int:
        """Groups of a band; the last one may be padded."""
        return -(-band.rows // self.lanes)

    @property
    def columns(self) -> int:
        """Columns at work."""
        return -(-self.cells // self.fabric.rows) if self.pairs else self.fabric.cols

    @property
    def cells(self) -> int:
        """Cells at work; group g of a band goes to cell g mod cells.

        Whole columns, because both cells of a column work on two vectors; or a single cell.
        """
        groups = max(self._groups(b) for b in self.bands)
        rows = self.fabric.rows if self.pairs else 1
        return min(self.fabric.cells, rows * -(-groups // rows)) if groups > 1 else 1

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """(row, column) of the cells."""
        return tuple(place(self.columns, i) for i in range(self.cells))

    @property
    def paired(self) -> bool:
        """Whether two vectors are multiplied at once."""
        return self.pairs and self.cells > 1

    @cached_property
    def place(self) -> Layout:
        """Rows of the tiles."""
        groups = [-(-self._groups(b) // self.cells) for b in self.bands]
        return layout(self.fabric, self.features, self.bits, groups)

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
        return sum(self.runs) * self.parts == 1 and not self.place.turn

    @property
    def programs(self) -> int:
        """Different programs, for vectors one by one."""
        return len(self.bands) * self.parts

    def run(self, band: int, part: int, vectors: int = 1) -> MatrixRun:
        """A run for one vector, or for two."""
        wide = self.fabric.numerics == "wide_acc"
        shift = self.bands[band].shift if wide else 0
        alone = all(row == 0 for row, _ in self.places)
        latched = self.fabric.latched
        return MatrixRun(
            self.place, part, self.bits, shift, wide, vectors, latched=latched, alone=alone
        )

    def code(self, band: int, part: int, vectors: int = 1) -> Code:
        """Programs of a run for one vector, or for two."""
        run = self.run(band, part, vectors)
        made = {row: matrix_program(run, row) for row in range(self.fabric.rows)}
        code = coded(lambda row: (made[row].program, made[row].halt), self.places)
        return replace(code, turns=made[0].turns)

    def refill_rows(self, part: int) -> tuple[int, int]:
        """Weight rows before a run and while it goes on, all tiles together."""
        rows = self.place.groups * self.place.parts[part][1]
        if not self.place.turn:
            return rows * self.cells, 0
        before = self.place.weight_rows
        return before * self.cells, (rows + 1 - before) * self.cells

    def batches(self, frames: int) -> tuple[tuple[int, int], ...]:
        """(vectors at once, how often) of `frames` vectors: pairs first."""
        pairs = frames // 2 if self.paired else 0
        return tuple((n, times) for n, times in ((2, pairs), (1, frames - 2 * pairs)) if times)

    def keeps_program(self, frames: int) -> bool:
        """Whether all runs of `frames` vectors have one program."""
        return self.programs == 1 and len(self.batches(frames)) == 1

    def counts(self, frames: int) -> dict[str, int]:
        """Counters of `frames` vectors one after the other."""
        found: Counter[str] = Counter()
        f, p, cells = self.fabric, self.place, self.cells
        runs, lanes, port = sum(self.runs), self.lanes, Port(self.fabric)
        parts = [part for _ in range(runs) for part in range(self.parts)]
        for vectors, times in self.batches(frames):
            # Programs of all bands have the same words but for the shift.
            codes = [self.code(0, part, vectors) for part in range(self.parts)]
            words = sum(c.words for c in codes)
            if self.programs == 1:
                load = words
            else:
                load = words * times * (len(self.bands) if self.parts == 1 else runs)
            out_rows = p.out_rows(vectors) * cells
            steps = [
                Step(
                    0 if self.resident else self.refill_rows(part)[0],
                    self.refill_rows(part)[1],
                    out_rows if part == self.parts - 1 else 0,
                    codes[part].cycles(f),
                )
                for part in parts
            ]
            if self.resident and not found:
                first = replace(steps[0], rows=self.refill_rows(0)[0])
                found["cycles"] = waited(port, [first], 1) + waited(port, steps, times - 1)
                found["refill_rows"] = first.rows
            else:
                found["cycles"] += waited(port, steps, times)
                found["refill_rows"] += sum(s.rows + s.inside for s in steps) * times
            chunks = p.groups * runs * cells * times * p.chunks
            run = sum(s.cycles for s in steps) * times
            found["run_cycles"] += run
            found["load_cycles"] += load
            found["cycles"] += run + load + port.cycles(p.chunks * cells) * times
            found["port_rows"] += (p.chunks * cells + out_rows * runs) * times
            found[f"macs_{self.bits}"] += chunks * CHUNK * lanes * vectors
            reads = 2 * chunks + len(parts) * FIRST_ROWS * cells * times
            found["sram_bits_read"] += reads * f.row_bits
            found["sram_bits_written"] += out_rows * runs * times * f.row_bits
        found["cycles"] += port.after()
        found[f"ideal_macs_{self.bits}"] = self.rows * self.features * frames
        return dict(found)


@dataclass(frozen=True)
class VectorTask:
    """Passes over vectors of one extent; values are numbered inputs first.

    fixed: inputs that are the same in every execution of the phase. They stay in the tiles when
    nothing else runs in between (`repeats`).
    """

    fabric: Fabric
    extent: int
    passes: tuple[Pass, ...]
    results: tuple[int, ...]
    fixed: frozenset[int] = frozenset()

    @property
    def wide(self) -> bool:
        """Whether products need no change of format."""
        return self.fabric.numerics == "wide_acc"

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The program segments."""
        ordered, wide, latched = in_order(self.passes), self.wide, self.fabric.latched
        cut = partial(segments, ordered, self.results, PASS_WORDS, wide=wide, latched=latched)
        ways = []
        for width in WIDTHS:
            try:
                ways.append(cut(fixed=self.fixed, width=width))
            except MohaqError:
                if width == WIDTHS[0]:
                    raise
        return min(ways, key=self._cycles)

    def _cycles(self, ways: tuple[Segment, ...]) -> int:
        """Cycles of runs, programs and rows that change, for one vector."""
        total = 0
        for one in ways:
            dealt = self.deal(one)
            code = self._code(one, 0)
            moved = dealt.rounds * dealt.cells * (one.rows - one.fixed + 1)
            run = code.cycles(self.fabric) + Port(self.fabric).cycles(moved)
            total += code.words + run * dealt.runs
        return total

    @cached_property
    def bases(self) -> tuple[int, ...] | None:
        """First tile rows of segments that leave each other's rows alone; None: no room."""
        found, free = [], 0
        for one in self.segments:
            dealt = self.deal(one)
            found.append(free)
            free += dealt.rounds * (one.rows + self.fabric.rows)
            if dealt.runs > 1 or free > self.fabric.tile_depth:
                return None
        return tuple(found)

    @property
    def repeats(self) -> bool:
        """Whether rows of fixed inputs stay from one execution to the next."""
        return self.bases is not None and any(s.fixed for s in self.segments)

    def base(self, segment: Segment) -> int:
        """First tile row of a segment."""
        if not self.repeats or self.bases is None:
            return 0
        return self.bases[self.segments.index(segment)]

    @property
    def programs(self) -> int:
        """Different programs."""
        return len(self.segments)

    def deal(self, segment: Segment) -> Rounds:
        """How the elements are dealt to the cells in a segment."""
        return deal(self.fabric, self.extent, segment.rows, segment.width)

    def code(self, segment: Segment) -> Code:
        """Programs of a segment."""
        return self._code(segment, self.base(segment))

    def _code(self, segment: Segment, base: int) -> Code:
        dealt = self.deal(segment)
        places = [place(self.fabric.cols, i) for i in range(dealt.cells)]
        rounds, wide, latched = dealt.rounds, self.wide, self.fabric.latched
        return coded(
            lambda row: vector_program(segment, rounds, row, wide=wide, latched=latched, base=base),
            places,
        )

    def keeps_program(self, frames: int) -> bool:  # noqa: ARG002
        """Whether all runs of `frames` vectors have one program."""
        return self.programs == 1

    def counts(self, frames: int, *, again: bool = False) -> dict[str, int]:
        """Counters of `frames` vectors one after the other.

        again: an execution after the first one of a loop.
        """
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
            run = code.cycles(f)
            found["run_cycles"] += run * times
            found["load_cycles"] += code.words
            first = each * one.rows
            moved = each * (one.rows - one.fixed) if self.repeats else first
            if again:
                first = moved
            found["port_rows"] += first + moved * (times - 1) + each * times
            port = Port(f)
            found["cycles"] += waited(port, [Step(first, 0, each, run)], 1)
            found["cycles"] += waited(port, [Step(moved, 0, each, run)], times - 1)
            found["cycles"] += run * times + port.after() + code.words
            found["sram_bits_read"] += each * one.fetched * f.row_bits * times
            found["sram_bits_written"] += each * f.row_bits * times
            for p in one.passes:
                kind = "nonlinear" if p.mode in NACU_MODES else "elementwise"
                found[kind] += each * one.width * times
        return found
