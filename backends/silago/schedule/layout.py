"""Where the rows of a product lie, and what its runs are: a part of a matrix, one vector or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mohaq.backends.silago.isa.instructions import Bw
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.line import MOST_TRIPS
from mohaq.compiler.diagnostics import MohaqError

CHUNK = 16
"""Inputs that a row of a tile holds."""

OUT_WORDS = 32
"""Results that a run can hold: blocks 2 and 3."""

LONGEST_PATTERN = 64

RUN_EDGES = 50
"""Edges that a run takes beside its groups, about; decides how many groups a run has."""

TURN_GAP = 2
"""Edges without operands between halves of a group: the second stream is decoded once row 1 has
the last rows of the first one."""

FORMATS = {16: Bw.INT16, 8: Bw.INT8X2, 4: Bw.INT4X4}

SPACING = 6
"""Edges from the rows that a cell of row 0 receives to those of row 1, over the same bus."""


def late(row: int, *, weights: bool) -> int:
    """Words at the front of a memory row that belong to the next chunk."""
    return SPACING * row + (0 if weights else 1)


@dataclass(frozen=True)
class Layout:
    """Rows of a tile during a product: weights from 0, then the input, then results.

    parts: (first, chunks) of the runs that one group takes; more than one when the rows of a
    group do not fit beside the input. groups: of a run. words: results of a group and vector.

    turn: chunks in the first half of a group when halves take turns in the tile, else 0. The next
    half comes while one is read; below the halves lies the row before the very first one.
    """

    chunks: int
    parts: tuple[tuple[int, int], ...]
    groups: int
    words: int
    turn: int = 0

    @property
    def weight_rows(self) -> int:
        """Rows for the weights of a run."""
        if self.turn:
            return self.turn + 1
        return self.groups * max(count for _, count in self.parts)

    @property
    def input_row(self) -> int:
        """First row of the input."""
        return self.weight_rows

    @property
    def row_before(self) -> int:
        """Row whose first words belong to the first row of a run of one part."""
        return self.weight_rows - 1

    @property
    def result_row(self) -> int:
        """First row of the results, in near tiles: out_rows of row 0, then of row 1."""
        return self.weight_rows + self.chunks

    def out_rows(self, vectors: int) -> int:
        """Result rows of a cell and run."""
        return -(-self.groups * self.words * vectors // CHUNK)


def layout(
    fabric: Fabric, features: int, bits: int, groups: Sequence[int], *, drained: bool = True
) -> Layout:
    """Place a product whose bands have `groups` groups a cell.

    drained: packed lanes leave one by one, a word each; otherwise a word holds all of them.

    Raises:
        MohaqError: the input is too long for a tile.
    """
    chunks = -(-features // CHUNK)
    words = fabric.lanes(bits) if drained else 1
    free = fabric.tile_depth - chunks - fabric.rows * OUT_WORDS // CHUNK
    if free < 8:
        raise MohaqError(
            f"products over {features} inputs do not fit a tile of {fabric.tile_depth} rows",
            hint=f"at most {CHUNK * (fabric.tile_depth - 12)} inputs",
        )
    if chunks > min(free, LONGEST_PATTERN):
        half = -(-chunks // 2)
        if half < free and half <= LONGEST_PATTERN and _keeps_up(fabric):
            switched = fabric.numerics != "wide_acc"
            most = 1 if switched else min(OUT_WORDS // (2 * words), MOST_TRIPS)
            period = CHUNK * chunks + 2 * words
            each = _most_even(groups, most, period)
            return Layout(chunks, ((0, chunks),), each, words, turn=half)
        count = -(-chunks // min(free, LONGEST_PATTERN))
        edges = [chunks * i // count for i in range(count + 1)]
        parts = tuple((a, b - a) for a, b in pairwise(edges))
        return Layout(chunks, parts, 1, words)
    most = min(free // chunks, OUT_WORDS // (2 * words), MOST_TRIPS)
    period = CHUNK * chunks + 2 * words
    return Layout(chunks, ((0, chunks),), _most_even(groups, most, period), words)


def _most_even(groups: Sequence[int], most: int, period: int) -> int:
    """Groups of a run for the fewest edges of all bands."""

    def edges(each: int) -> int:
        return sum(-(-n // each) for n in groups) * (each * period + RUN_EDGES)

    return min(range(most, 0, -1), key=edges)


def _keeps_up(fabric: Fabric) -> bool:
    """Whether the port brings a row to every tile while a chunk is multiplied."""
    return fabric.cells * fabric.row_bits <= CHUNK * fabric.refill_bits_per_cycle


@dataclass(frozen=True)
class MatrixRun:
    """What the program of a run depends on."""

    place: Layout
    part: int
    bits: int
    shift: int
    """Right shift of the sums (wide_acc), else 0."""
    wide: bool
    vectors: int = 1
    """1, or 2 for a pair of cells and both lanes of their datapaths."""
    q411: bool = True
    """Whether 16-bit sums of faithful numerics leave in Q4.11 (shifted by 12) or in int16."""
    latched: bool = True
    """Whether a format holds until the next change, or for one result."""
    alone: bool = False
    """Whether only cells of row 0 work."""

    @property
    def drained(self) -> bool:
        """Whether sums are shown one by one."""
        return self.wide and (self.bits < 16 or self.vectors == 2)

    @property
    def switched(self) -> bool:
        """Whether w1 is switched to the second lane for every group."""
        return self.vectors == 2 and not self.wide

    @property
    def pulsed(self) -> bool:
        """Whether every result needs a BW_CONFIG of its own, one edge before it is stored."""
        return not self.latched and FORMATS[self.bits] != self.format

    @property
    def stores(self) -> int:
        """Words that a cell stores for a group."""
        return self.place.words * self.vectors

    @property
    def gap(self) -> int:
        """Edges without operands between two groups."""
        if self.drained:
            return self.stores
        if self.pulsed:
            return 6 if self.switched else 3
        return 4 if self.switched else 2

    @property
    def operand_edges(self) -> int:
        """Edges with operands in a run."""
        return self.place.groups * CHUNK * self.place.parts[self.part][1]

    @property
    def gap_edges(self) -> int:
        """Edges without operands between those of a run, the last group's included."""
        return self.place.groups * (self.gap + (TURN_GAP if self.place.turn else 0))

    @property
    def last_store(self) -> int:
        """Edges from the last operand of a group to its last store."""
        if self.drained:
            return 1 + self.stores
        return 4 if self.switched and self.pulsed else self.vectors

    @property
    def many(self) -> bool:
        """One group needs no loop and no registers: short programs are loaded faster."""
        return self.place.groups > 1

    @property
    def begins(self) -> bool:
        """Whether sums start at 0."""
        return self.part == 0

    @property
    def ends(self) -> bool:
        """Whether sums are stored."""
        return self.part == len(self.place.parts) - 1

    @property
    def format(self) -> Bw:
        """Format of the results."""
        whole = self.bits == 16 and self.q411 and not self.wide
        return Bw.Q4_11 if whole else FORMATS[self.bits]

    @property
    def standing(self) -> Bw:
        """Format that is set at the start: Q4.11 has the multiplier of int16."""
        return FORMATS[self.bits] if self.pulsed else self.format
