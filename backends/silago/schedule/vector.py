"""The program of an elementwise segment: fetch rows, run the passes, store a row, next chunk.

Edges of a pass (docs/isa/silago.md, timing), decoded at D, with its first operand at A:
two operands: DPU D, r0 D+1, r1 D+2, w1 D+3, A = D+3; one operand: DPU D, r0 D+1, w1 D+2,
A = D+2; the first result is stored at A+1. Where the format is not latched, a product has
DPU D, r0 D+1, r1 D+2, w1 D+3, LOOP D+4, BW_CONFIG D+5..D+8 (one for each result), A = D+5. The next pass is decoded with the last operand at the
earliest, because its DPU instruction clears the accumulator one edge later.
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
    CHUNK,
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


@dataclass(frozen=True)
class Rounds:
    """How elements are dealt to cells: chunk q goes to cell q mod cells.

    runs of `rounds` chunks a cell each.
    """

    cells: int
    rounds: int
    runs: int


def deal(fabric: Fabric, extent: int, rows: int) -> Rounds:
    """Chunks of a vector of `extent` elements; `rows` input rows and one result row a chunk.

    Results of both cells of a column lie in the near tile.
    """
    chunks = -(-extent // CHUNK)
    cells = min(fabric.cells, chunks)
    each = -(-chunks // cells)
    most = min(MOST_TRIPS, fabric.tile_depth // (rows + fabric.rows))
    runs = -(-each // most)
    return Rounds(cells, -(-each // runs), runs)


@cache
def vector_program(
    segment: Segment, rounds: int, row: int, *, wide: bool, latched: bool = True
) -> tuple[tuple[Instruction, ...], int]:
    """(instructions of a cell in a row, decode edge of HALT without skew)."""
    line = Line(row)
    line.connect()
    line.set_register(IN_REGISTER, 0)
    line.set_register(OUT_REGISTER, rounds * (segment.rows + row))
    line.put(BwConfig(int(Bw.INT16)))
    line.loop(rounds)
    start = line.now
    line.route(write=False)
    line.read_rows(IN_REGISTER, segment.fetched, 0)
    line.step_register(IN_REGISTER, segment.rows)
    last_block = start + 10 + segment.fetched - 1
    code = _Passes(line, last_block - 1, wide=wide, latched=latched)
    for one in segment.passes:
        code.emit(one)
    code.close()
    line.wait_until(max(line.now, code.last_write - 3))
    stored = line.now
    line.route(write=True)
    line.write_rows(OUT_REGISTER, 1, OUT_BLOCK)
    line.step_register(OUT_REGISTER, 1)
    if rounds > 1:
        # The other row of cells writes to the near tile 6 edges later; a tile that is still
        # busy would lose the next read.
        line.wait_until(stored + LATER + 7)
    line.end_loop()
    line.wait_until(line.now + 2)
    return line.finish(), line.now - 1


class _Passes:
    """Emits passes at their earliest edges."""

    def __init__(self, line: Line, first: int, *, wide: bool, latched: bool) -> None:
        self.line = line
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
        line.put(_access(Port.R0, one.a, delay=int(two)))
        if one.b is not None:
            line.put(_access(Port.R1, one.b))
        line.put(_access(Port.W1, one.result))
        self.last_operand = first + CHUNK - 1
        self.last_write = first + CHUNK
        self.earliest = self.last_operand
        if one.mode in PRODUCT_MODES | NACU_MODES:
            self.settled = self.last_operand + 1

    def _pulsed(self, one: Placed) -> None:
        """A product whose results leave in Q4.11 by a BW_CONFIG each (inner loop)."""
        line = self.line
        assert one.b is not None
        line.wait_until(max(line.now, self.earliest))
        line.put(Dpu(mode=int(one.mode)))
        self.last_operand = line.now + CHUNK + 3
        self.last_write = self.earliest = self.last_operand + 1
        line.put(_access(Port.R0, one.a, delay=3), _access(Port.R1, one.b, delay=2))
        line.put(_access(Port.W1, one.result, delay=2))
        # Two in the body: loops over one instruction were never measured.
        last = sum(i.words for i in line.items) + 2
        line.put(Loop(loopid=1, endpc=last, iter=CHUNK // 2), *[BwConfig(int(Bw.Q4_11))] * 2)
        line.now += CHUNK - 2

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


def _access(port: Port, slot: int, delay: int = 0) -> Refi:
    return Refi(port_no=int(port), init_addr=CHUNK * slot, l1_iter=CHUNK - 1, init_delay=delay)
