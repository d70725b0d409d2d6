"""The program of an elementwise segment: fetch rows, run the passes, store a row, next chunk.

Edges of a pass (docs/isa/silago.md, timing), decoded at D, with its first operand at A:
two operands: DPU D, r0 D+1, r1 D+2, w1 D+3, A = D+3; one operand: DPU D, r0 D+1, w1 D+2,
A = D+2; the first result is stored at A+1. The next pass is decoded with the last operand at the
earliest, because its DPU instruction clears the accumulator one edge later.

Where the format is not latched, a product of n elements has DPU D, r0 D+1, r1 D+2, w1 D+3, LOOP
D+4, a BW_CONFIG for each result D+5..D+4+n, A = D+5; the next pass is decoded after them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mohaq.backends.silago.isa.instructions import (
    Bw,
    BwConfig,
    Dpu,
    Instruction,
    Loop,
    Port,
    Refi,
)
from mohaq.backends.silago.legalize.numerics import Q411_SHIFT
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.line import LATER, MOST_TRIPS, Line
from mohaq.backends.silago.schedule.passes import (
    NACU_MODES,
    PRODUCT_MODES,
    Placed,
    Segment,
)
from mohaq.compiler.diagnostics import MohaqError

IN_REGISTER, OUT_REGISTER = 0, 1
OUT_BLOCK = 3
FRAME_WORDS = 29
"""Words of a segment's program beside its passes."""

PASS_WORDS = 64 - FRAME_WORDS

WRITE = 6
"""Edges that a tile is busy with a written row."""

FREE = 13
"""A write of row 1 this many edges and the fetched rows later comes when the read is over: it is
decoded later + 1 edges after that of row 0, which is 5 edges before the next chunk."""


@dataclass(frozen=True)
class Rounds:
    """How elements are dealt to cells: chunk q goes to cell q mod cells.

    runs of `rounds` chunks a cell each.
    """

    cells: int
    rounds: int
    runs: int


def deal(fabric: Fabric, extent: int, rows: int, width: int) -> Rounds:
    """Chunks of `width` elements of a vector; `rows` input rows and one result row a chunk.

    Results of both cells of a column lie in the near tile.
    """
    chunks = -(-extent // width)
    cells = min(fabric.cells, chunks)
    each = -(-chunks // cells)
    most = min(MOST_TRIPS, fabric.tile_depth // (rows + fabric.rows))
    runs = -(-each // most)
    return Rounds(cells, -(-each // runs), runs)


@cache
def vector_program(
    segment: Segment, rounds: int, row: int, *, wide: bool, latched: bool = True, base: int = 0
) -> tuple[tuple[Instruction, ...], int]:
    """(instructions of a cell in a row, decode edge of HALT without skew).

    base: tile row of the first input; results follow the inputs of all rounds.
    """
    later, wait = turns(segment, wide=wide, latched=latched)
    line = Line(row, later)
    line.connect()
    line.set_register(IN_REGISTER, base)
    line.set_register(OUT_REGISTER, base + rounds * (segment.rows + row))
    line.put(BwConfig(int(Bw.INT16)))
    line.loop(rounds)
    stored = _chunk(line, segment, wide=wide, latched=latched)
    line.route(write=True)
    line.write_rows(OUT_REGISTER, 1, OUT_BLOCK)
    line.step_register(OUT_REGISTER, 1)
    if rounds > 1:
        line.wait_until(stored + wait)
    line.end_loop()
    line.wait_until(line.now + 2)
    return line.finish(), line.now - 1


@cache
def turns(segment: Segment, *, wide: bool, latched: bool) -> tuple[int, int]:
    """(edges that row 1 starts later, edges of a chunk from the way to the tile to its end).

    The near tile is read by row 0 and written by both rows, and would lose a pattern while it is
    busy: 9 + rows edges with a read that is decoded one edge after the start of a chunk, 6 edges
    with a write. Row 1 writes between the read and the write of row 0; in chunks that are too
    short for that after both.
    """
    line = Line(0)
    stored = _chunk(line, segment, wide=wide, latched=latched)
    later = FREE + segment.fetched
    if stored > later:
        return later, WRITE
    return LATER, LATER + 1 + WRITE


def _chunk(line: Line, segment: Segment, *, wide: bool, latched: bool) -> int:
    """Fetch and passes of a chunk; gives the edge at which the way to the result row opens."""
    start = line.now
    line.route(write=False)
    line.read_rows(IN_REGISTER, segment.fetched, 0)
    line.step_register(IN_REGISTER, segment.rows)
    last_block = start + 10 + segment.fetched - 1
    code = _Passes(line, last_block - 1, segment.width, wide=wide, latched=latched)
    for one in segment.passes:
        code.emit(one)
    code.close()
    line.wait_until(max(line.now, code.last_write - 3))
    return line.now


class _Passes:
    """Emits passes at their earliest edges."""

    def __init__(self, line: Line, first: int, width: int, *, wide: bool, latched: bool) -> None:
        self.line = line
        self.width = width
        self.earliest = first
        self.wide = wide
        self.latched = latched
        self.last_operand = first
        self.last_write = first
        self.product = False
        self.settled = first
        """Edge from which a change of format disturbs no result."""

    def emit(self, one: Placed) -> None:
        """Append one pass."""
        line = self.line
        if not self.wide:
            if one.mode in PRODUCT_MODES and one.shift != Q411_SHIFT:
                raise MohaqError(
                    f"a product shifted by {one.shift} bits needs wide_acc numerics",
                    hint="legalize for the numerics of the target",
                )
            if self.latched:
                self._format(one)
            elif one.mode in PRODUCT_MODES:
                self._pulsed(one)
                return
        line.wait_until(max(line.now, self.earliest))
        two = one.b is not None
        shift = one.shift & 63 if self.wide else 0
        line.put(Dpu(mode=int(one.mode), shift=shift))
        first = line.now + (2 if two else 1)
        line.put(self._access(Port.R0, one.a, delay=int(two)))
        if one.b is not None:
            line.put(self._access(Port.R1, one.b))
        line.put(self._access(Port.W1, one.result))
        self.last_operand = first + self.width - 1
        self.last_write = first + self.width
        self.earliest = self.last_operand
        if one.mode in PRODUCT_MODES | NACU_MODES:
            self.settled = self.last_operand + 1

    def _pulsed(self, one: Placed) -> None:
        """A product whose results leave in Q4.11 by a BW_CONFIG each (inner loop)."""
        line = self.line
        assert one.b is not None
        line.wait_until(max(line.now, self.earliest))
        line.put(Dpu(mode=int(one.mode)))
        self.last_operand = line.now + self.width + 3
        self.last_write = self.earliest = self.last_operand + 1
        line.put(self._access(Port.R0, one.a, delay=3), self._access(Port.R1, one.b, delay=2))
        line.put(self._access(Port.W1, one.result, delay=2))
        # Two in the body: loops over one instruction were never measured.
        last = sum(i.words for i in line.items) + 2
        loop = Loop(loopid=1, endpc=last, iter=self.width // 2)
        line.put(loop, *[BwConfig(int(Bw.Q4_11))] * 2)
        line.now += self.width - 2

    def _format(self, one: Placed) -> None:
        """Products in Q4.11, the NACU's functions in int16; the rest does not care."""
        wanted = self.product
        if one.mode in PRODUCT_MODES:
            wanted = True
        elif one.mode in NACU_MODES:
            wanted = False
        if wanted == self.product:
            return
        self._change(product=wanted)

    def _change(self, *, product: bool) -> None:
        self.line.wait_until(max(self.line.now, self.settled))
        self.line.put(BwConfig(int(Bw.Q4_11 if product else Bw.INT16)))
        self.product = product

    def close(self) -> None:
        """Back to int16 for the next chunk."""
        if self.product:
            self._change(product=False)

    def _access(self, port: Port, slot: int, delay: int = 0) -> Refi:
        at, last = self.width * slot, self.width - 1
        return Refi(port_no=int(port), init_addr=at, l1_iter=last, init_delay=delay)
