"""A packed matrix-vector product on all cells (docs/design/004-silago.md).

Lane = output row (docs/targets/silago.md). A cell multiplies groups of L rows, one after
the other; a group takes ceil(K/16) chunks of 16 multiply-accumulates without a gap between
them. Every 16 edges its tile sends a row of weights to block 0 and a row of the input to block 1.

The input row arrives at the edge at which word 0 of block 1 is read, one edge after the weights.
So word 0 of an input row belongs to the next chunk: row i holds x[16i+16], x[16i+1..16i+15].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from mohaq.backends.silago.isa.instructions import (
    Bw,
    BwConfig,
    Dpu,
    Instruction,
    Mode,
    Port,
    Refi,
    Sram,
)
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.line import (
    MOST_TRIPS,
    READ_DELAY,
    SLACK,
    Line,
    block_write,
)
from mohaq.compiler.diagnostics import MohaqError

CHUNK = 16
W_BLOCK, X_BLOCK, OUT_BLOCK = 0, 1, 2
OUT_WORDS = 32
"""Results that a run can hold: blocks 2 and 3."""

W_REGISTER, X_REGISTER, OUT_REGISTER = 0, 1, 2
"""Address of the weights, distance from there to the input, result word."""

LONGEST_PATTERN = 64

RUN_EDGES = 48
"""Edges that a run takes beside its groups, about; decides how many groups a run has."""

FORMATS = {16: Bw.INT16, 8: Bw.INT8X2, 4: Bw.INT4X4}
DRAIN = Mode.MODE_6
"""Our extension: shows one lane's accumulator, shifted and clamped to 16 bits; clears nothing."""


@dataclass(frozen=True)
class Layout:
    """Rows of a tile during a product: weights from 0, then the input, then results.

    parts: (first, chunks) of the runs that one group takes; more than one when the rows of a
    group do not fit beside the input. groups: of a run.
    """

    chunks: int
    parts: tuple[tuple[int, int], ...]
    groups: int
    out_rows: int

    @property
    def weight_rows(self) -> int:
        """Rows for the weights of a run."""
        return self.groups * max(count for _, count in self.parts)

    @property
    def input_row(self) -> int:
        """First row of the input."""
        return self.weight_rows

    @property
    def result_row(self) -> int:
        """First row of the results, in near tiles: out_rows of row 0, then of row 1."""
        return self.weight_rows + self.chunks


def layout(
    fabric: Fabric, features: int, bits: int, groups: int, *, drained: bool = True
) -> Layout:
    """Place a product of `groups` groups a cell.

    drained: packed lanes leave one by one, a word each; otherwise a word holds all of them.

    Raises:
        MohaqError: the input is too long for a tile.
    """
    chunks = -(-features // CHUNK)
    lanes = fabric.lanes(bits) if drained else 1
    free = fabric.tile_depth - chunks - fabric.rows * OUT_WORDS // CHUNK
    if free < 8:
        raise MohaqError(
            f"products over {features} inputs do not fit a tile of {fabric.tile_depth} rows",
            hint=f"at most {CHUNK * (fabric.tile_depth - 12)} inputs",
        )
    if chunks > min(free, LONGEST_PATTERN):
        count = -(-chunks // min(free, LONGEST_PATTERN))
        edges = [chunks * i // count for i in range(count + 1)]
        parts = tuple((a, b - a) for a, b in pairwise(edges))
        return Layout(chunks, parts, 1, -(-lanes // CHUNK))
    most = min(free // chunks, OUT_WORDS // lanes, MOST_TRIPS)
    period = CHUNK * chunks + lanes + 1
    each = min(range(most, 0, -1), key=lambda g: -(-groups // g) * (g * period + RUN_EDGES))
    return Layout(chunks, ((0, chunks),), each, -(-each * lanes // CHUNK))


@dataclass(frozen=True)
class MatrixRun:
    """What the program of a run depends on."""

    place: Layout
    part: int
    bits: int
    shift: int
    """Right shift of the sums (wide_acc), else 0."""
    wide: bool
    q411: bool = True
    """Whether 16-bit sums of faithful numerics leave in Q4.11 (shifted by 12) or in int16."""
    latched: bool = True
    """Whether a format holds until the next change, or for one result."""

    @property
    def drained(self) -> bool:
        """Whether lanes leave one by one."""
        return self.bits < 16 and self.wide

    @property
    def pulsed(self) -> bool:
        """Whether every result needs a BW_CONFIG of its own, one edge before it is stored."""
        return not self.latched and FORMATS[self.bits] != self.format

    @property
    def format(self) -> Bw:
        """Operand format."""
        whole = self.bits == 16 and self.q411 and not self.wide
        return Bw.Q4_11 if whole else FORMATS[self.bits]


@cache
def matrix_program(run: MatrixRun, row: int) -> tuple[tuple[Instruction, ...], int]:
    """(instructions of a cell in a row, decode edge of HALT without skew)."""
    lanes, place = 16 // run.bits, run.place
    first, chunks = place.parts[run.part]
    last_part = run.part == len(place.parts) - 1
    begins = run.part == 0
    period = CHUNK * chunks + (lanes + 1 if run.drained else 2) + run.pulsed
    line = Line(row)
    line.route(write=False)
    # One group needs no loop and no registers: short programs are loaded faster.
    many = place.groups > 1
    before, results = place.input_row + (first - 1) % place.chunks, place.result_row
    results += row * place.out_rows
    # Fills the result blocks as well: what no group writes is stored with the rest.
    line.read_rows(before, 1 + place.out_rows, X_BLOCK, register=False)
    fetched = line.now + 8 + place.out_rows
    line.connect()
    line.put(BwConfig(int(FORMATS[run.bits] if run.pulsed else run.format)))
    if many:
        line.set_register(W_REGISTER, 0)
        line.set_register(X_REGISTER, place.input_row + first)
        line.set_register(OUT_REGISTER, CHUNK * OUT_BLOCK)
    line.wait_until(max(line.now, fetched))
    if many:
        line.loop(place.groups)
    start = line.now
    _stream(line, chunks, 0 if many else place.input_row + first)
    if begins and run.drained:
        line.wait_until(start + 7 - lanes)
        _drain(line, run, lanes)
    if last_part and run.pulsed:
        _pulse(line, start)
    line.wait_until(start + 7)
    if begins:
        line.put(Dpu(mode=int(Mode.MAC), shift=_field(run.shift)))
    else:
        line.wait_until(start + 8)
    _operands(line, chunks)
    if many:
        line.step_register(W_REGISTER, chunks)
        line.step_register(X_REGISTER, -chunks)
    line.wait_until(start + period - 2)
    if last_part:
        # First store: the last operands' edge + 1, + 2 when a lane has to be shown first.
        delay = 11 - lanes if run.drained else 9 - run.pulsed
        line.put(
            Refi(
                port_no=int(Port.W1),
                init_addr=OUT_REGISTER if many else CHUNK * OUT_BLOCK,
                init_addr_sd=int(many),
                l1_iter=lanes - 1 if run.drained else 0,
                init_delay=delay,
            )
        )
        if many:
            line.step_register(OUT_REGISTER, lanes if run.drained else 1)
    line.wait_until(start + period)
    if many:
        line.end_loop()
    end = line.now
    if last_part and run.drained:
        line.wait_until(end + 7 - lanes)
        _drain(line, run, lanes)
    if last_part and run.pulsed:
        _pulse(line, end)
    # A tile is free for the other cell of the column six edges behind the last row of a write.
    line.wait_until(end + 9 + 2 * row * (place.out_rows - 1))
    if last_part:
        line.route(write=True)
        line.write_rows(results, place.out_rows, OUT_BLOCK, register=False)
        line.wait_until(line.now + 2 + 2 * place.out_rows)
    return line.finish(), line.now - 1


def _field(shift: int) -> int:
    """The instruction's six bits of a signed shift."""
    return shift & 63


def _pulse(line: Line, start: int) -> None:
    """Q4.11 for the result of the group before, which is stored at start + 7."""
    line.wait_until(start + 6)
    line.put(BwConfig(int(Bw.Q4_11)))


def _drain(line: Line, run: MatrixRun, lanes: int) -> None:
    for lane in range(lanes):
        line.put(Dpu(mode=int(DRAIN), io_change=lane, shift=_field(run.shift)))


def _stream(line: Line, chunks: int, distance: int) -> None:
    """Weights and input of one group: two rows every 16 edges.

    distance: from the weights at row 0 to the input, or 0 when registers hold the addresses.
    """
    registers = not distance
    line.put(
        Sram(
            init_addr=W_REGISTER if registers else 0,
            init_addr_sd=int(registers),
            init_delay=line.delay,
            l1_iter=1,
            l1_step=X_REGISTER if registers else distance,
            l1_step_sd=int(registers),
            l2_iter=chunks - 1,
            l2_step=1,
            l2_delay=CHUNK - 2,
            hops=line.hops,
        )
    )
    one = block_write(W_BLOCK, 2, READ_DELAY + SLACK)
    count = chunks - 1
    line.put(
        Refi(
            port_no=one.port_no,
            extra=2,
            init_addr=W_BLOCK,
            init_delay=one.init_delay,
            l1_iter=1,
            l2_iter=count & 31,
            l2_iter_ext=count >> 5,
            l2_step=0,
            l2_delay=CHUNK - 2,
            dimarch=1,
        )
    )


def _operands(line: Line, chunks: int) -> None:
    """r0 over the weights, r1 over the input: 16 words each, again for every chunk."""
    count = chunks - 1
    for port, block, delay in ((Port.R0, W_BLOCK, 1), (Port.R1, X_BLOCK, 0)):
        line.put(
            Refi(
                port_no=int(port),
                extra=2,
                init_addr=CHUNK * block,
                init_delay=delay,
                l1_iter=CHUNK - 1,
                l2_iter=count & 31,
                l2_iter_ext=count >> 5,
                l2_step=0,
            )
        )
