"""A packed product of a matrix with one vector, or with two at once, on all cells.

Lane = output row (docs/targets/silago.md). A cell multiplies groups of L rows, one after the
other; a group takes ceil(K/16) chunks of 16 multiply-accumulates without a gap between them. Every
16 edges its tile sends a row of weights to block 0 and a row of the input to block 1.

Two vectors: the cells of a column work as a pair. NACU 0 of both takes the vector of row 0, NACU 1
that of row 1; each multiplies its own weights, which are fetched once for both vectors. A cell
still reads two words a cycle and now makes two products of them.

Both cells of a column read at the same edges, but share the bus that rows arrive over. So rows
arrive 0, 1, 6, 7 edges late (weights and input of row 0, then of row 1), and as many words at the
front of a row belong to the next chunk: `late`.

Edges of a group, from its first operand s to its last one e: the stream is decoded at s - 12, r0 at
s - 3, the DPU instruction that clears at s - 2, r1 at s - 1. A sum is stored at e + 1. Sums that
are shown one by one (wide_acc) are stored from e + 2 on, the mode that shows them is decoded at
e - 1. Without it, the second sum of a pair comes to w1 by an SWB at e, and is stored at e + 2.
Where a format acts for one result, each needs a BW_CONFIG one edge before its store: at e for the
first sum; then the SWB follows at e + 1, the store's REFI at e + 2, the second BW_CONFIG at e + 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from mohaq.backends.silago.isa.instructions import (
    Bw,
    BwConfig,
    Dpu,
    Instruction,
    Mode,
    Port,
    Refi,
    Sink,
    Sram,
)
from mohaq.backends.silago.schedule.layout import CHUNK, TURN_GAP, MatrixRun, late
from mohaq.backends.silago.schedule.line import (
    READ_DELAY,
    SLACK,
    Line,
    block_write,
)

W_BLOCK, X_BLOCK, OUT_BLOCK = 0, 1, 2
W_REGISTER, X_REGISTER, OUT_REGISTER = 0, 1, 2
"""Address of the weights, distance from there to the input, result word."""

FIRST_ROWS = 4
"""Rows that a run fetches before its groups."""

AHEAD = 12
"""Edges from the stream of a group to its first operand."""

DRAIN = Mode.MODE_6
"""Our extension: shows the accumulators one by one, shifted and clamped to 16 bits."""


@dataclass(frozen=True)
class Made:
    """A program, the decode edge of its HALT without skew, and its turns.

    turns: edges by which column 0 needs the second, third, ... half group of weights.
    """

    program: tuple[Instruction, ...]
    halt: int
    turns: tuple[int, ...] = ()


@cache
def matrix_program(run: MatrixRun, row: int) -> Made:
    """The program of the cells in a row."""
    place, (first, chunks) = run.place, run.place.parts[run.part]
    registers = run.many and not place.turn
    line = Line(row)
    _begin(line, run)
    # The tile is free 12 edges after the first fetch. Row 1 fetches 4 edges later, and lags by one
    # edge, so that it is one ahead here.
    loop, ahead = int(run.many), 0 if row or run.alone else 1
    line.wait_until(max(13 if run.alone else 17 - row, line.now + ahead + loop) - loop)
    if run.many:
        line.loop(place.groups)
    start = line.now + AHEAD
    half = place.turn or chunks
    end = start + CHUNK * half - 1
    _stream(line, half, 0 if registers else place.input_row + first)
    if run.many:
        # The sums of the group before; the first time nothing is shown yet.
        _tail(line, run, start - 1 - run.gap)
    line.wait_until(start - 3)
    line.put(_operand(Port.R0, W_BLOCK, half, 2))
    if run.begins:
        line.put(Dpu(mode=int(Mode.MAC), shift=_field(run.shift)))
    else:
        line.wait_until(start - 1)
    line.put(_operand(Port.R1, X_BLOCK, half, 0))
    if run.many and run.switched:
        line.connect_result(0)
        line.step_register(OUT_REGISTER, 1)
    if registers:
        line.step_register(W_REGISTER, chunks)
        line.step_register(X_REGISTER, -chunks)
    turn = end + 1 + TURN_GAP
    if place.turn:
        line.wait_until(turn - AHEAD)
        _stream(line, chunks - half, place.input_row + half)
        line.wait_until(end)
        line.put(_operand(Port.R0, W_BLOCK, chunks - half, TURN_GAP))
        line.put(_operand(Port.R1, X_BLOCK, chunks - half, TURN_GAP - 1))
        end = turn + CHUNK * (chunks - half) - 1
    after = end + 1 + run.gap - AHEAD
    if run.ends:
        line.wait_until(after - (2 if run.many else 1))
        delay = end - line.now + (1 if run.drained else 0)
        line.put(_store(run, delay, run.stores if run.drained else 1))
        if run.many:
            line.step_register(OUT_REGISTER, 1 if run.switched else run.stores)
    line.wait_until(after)
    # A row is read 3 edges before its first operand; column 0 lags by one edge.
    period = after + AHEAD - start
    turns = [at + g * period - 2 for g in range(place.groups) for at in (start, turn)][1:]
    if run.many:
        end += line.end_loop()
    if run.ends:
        _tail(line, run, end)
    if run.vectors == 2:
        # Else later programs would go on to feed the second lane.
        line.wait_until(max(line.now, end))
        line.connect_operand(Sink.IN3, line.row, 1, dpu=True)
    if run.ends:
        _results(line, run, end)
    else:
        line.wait_until(max(line.now, end + 1))
    return Made(line.finish(), line.now - 1, tuple(turns) if place.turn else ())


def _begin(line: Line, run: MatrixRun) -> None:
    """Rows before the first ones, connections, registers."""
    place, (first, count) = run.place, run.place.parts[run.part]
    row, registers = line.row, run.many and not place.turn
    line.route(write=False)
    # Both cells of a column would receive their first rows at one edge.
    early: list[Callable[[], None]] = [
        lambda: line.connect_operand(Sink.IN1, 0 if run.vectors == 2 else row, 1),
        lambda: line.connect_result(0),
        lambda: line.put(BwConfig(int(run.standing))),
        lambda: line.connect_operand(Sink.IN0, row, 0),
    ]
    if row:
        for one in early:
            one()
    # The rows before the first ones, twice: what no group writes is stored with the rest.
    weights = place.row_before if len(place.parts) == 1 else count - 1
    given = place.input_row + (first - 1) % place.chunks
    line.put(
        Sram(
            init_addr=weights,
            init_delay=line.delay,
            l1_iter=1,
            l1_step=given - weights,
            l2_iter=1,
            l2_step=0,
            hops=line.hops,
        ),
        block_write(W_BLOCK, FIRST_ROWS, READ_DELAY + SLACK),
    )
    if not row:
        for one in early:
            one()
    if run.vectors == 2:
        line.connect_operand(Sink.IN2, row, 0)
        line.connect_operand(Sink.IN3, 1, 1)
    if registers:
        line.set_register(W_REGISTER, 0)
        line.set_register(X_REGISTER, place.input_row + first)
    if run.many:
        # The first switched store belongs to no group.
        line.set_register(OUT_REGISTER, CHUNK * OUT_BLOCK - int(run.switched))
    if run.switched and run.many:
        line.put(Dpu(mode=int(Mode.MAC)))


def _stream(line: Line, chunks: int, distance: int) -> None:
    """Weights and input of one group: two rows every 16 edges.

    distance: from the weights at row 0 to the input, or 0 when registers hold the addresses.
    """
    registers = not distance
    # Weights are stored 9 edges after an SRAM with line.delay, one edge before the first operand
    # in row 0 and two edges later in row 1.
    wait = AHEAD - 10 + late(line.row, weights=True)
    line.put(
        Sram(
            init_addr=W_REGISTER if registers else 0,
            init_addr_sd=int(registers),
            init_delay=line.delay + wait,
            l1_iter=1,
            l1_step=X_REGISTER if registers else distance,
            l1_step_sd=int(registers),
            l2_iter=chunks - 1,
            l2_step=1,
            l2_delay=CHUNK - 2,
            hops=line.hops,
        )
    )
    count = chunks - 1
    line.put(
        Refi(
            port_no=int(Port.W0),
            extra=2,
            init_addr=W_BLOCK,
            init_delay=READ_DELAY + SLACK + wait,
            l1_iter=1,
            l2_iter=count & 31,
            l2_iter_ext=count >> 5,
            l2_step=0,
            l2_delay=CHUNK - 2,
            dimarch=1,
        )
    )


def _operand(port: Port, block: int, chunks: int, delay: int) -> Refi:
    """16 words of a block, again for every chunk."""
    count = chunks - 1
    return Refi(
        port_no=int(port),
        extra=2,
        init_addr=CHUNK * block,
        init_delay=delay,
        l1_iter=CHUNK - 1,
        l2_iter=count & 31,
        l2_iter_ext=count >> 5,
        l2_step=0,
    )


def _store(run: MatrixRun, delay: int, count: int) -> Refi:
    return Refi(
        port_no=int(Port.W1),
        init_addr=OUT_REGISTER if run.many else CHUNK * OUT_BLOCK,
        init_addr_sd=int(run.many),
        l1_iter=count - 1,
        init_delay=delay,
    )


def _tail(line: Line, run: MatrixRun, end: int) -> None:
    """What shows the sums of a group after its last operand."""
    if run.drained:
        line.wait_until(end - 1)
        line.put(Dpu(mode=int(DRAIN), shift=_field(run.shift)))
        return
    if run.pulsed:
        line.wait_until(end)
        line.put(BwConfig(int(Bw.Q4_11)))
    if run.switched:
        line.wait_until(max(line.now, end))
        line.connect_result(1)
        one, delay = _store(run, 0, 1), int(run.pulsed)
        at = {} if run.many else {"init_addr": one.init_addr + 1}
        line.put(replace(one, init_delay=delay, **at))
        if run.pulsed:
            line.put(BwConfig(int(Bw.Q4_11)))


def _results(line: Line, run: MatrixRun, end: int) -> None:
    """Blocks of results to the near tile: row 0, then row 1."""
    rows = run.place.out_rows(run.vectors)
    # A block is read 3 edges after its SRAM; the tile is free 6 edges after the last one.
    turn = (2 * rows + 4) * line.row
    line.wait_until(max(line.now, end + run.last_store - 3) + turn)
    line.route(write=True)
    at = run.place.result_row + line.row * rows
    line.write_rows(at, rows, OUT_BLOCK, register=False)
    line.wait_until(line.now + 2 * rows)


def _field(shift: int) -> int:
    """The instruction's six bits of a signed shift."""
    return shift & 63
