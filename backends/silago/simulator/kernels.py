"""The compiled engine's loop over edges; semantics as in cycle.py, written a second time.

Arrays are those of `State`, with cells numbered row * C + col, plus the run-time ones of fast.py.
All of it is in one file: numba's cache does not notice changes of functions in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from mohaq.backends.silago.simulator.state import Ints, Words

Int = Any
"""A compiled integer; outside numba these are a mix of Python's and numpy's."""

Flags = npt.NDArray[np.bool_]
Geometry = tuple[int, int, int, bool, int, int, bool]
"""Columns, tile depth, q_shift, latched, read base, write base, wide accumulators."""

MASK = 127
RING = 64
"""Edges that the rings of coming settings and of memory rows on their way reach ahead."""

# Columns of a pattern slot and of a stream.
ACTIVE, NEXT, REP, ELEMENT, COUNT1, STEP1, DELAY1, COUNT2, STEP2, DELAY2, INIT = range(11)
S_CELL, S_TILE, S_HOPS, S_WRITE = range(11, 15)
SLOT_COLUMNS = 15

# Columns of the table (tables.py).
OP, WORDS, FAULT, VALUE, A, B, C, D, E, F, PARAMETERS = range(11)
HALT, REFI, DPU, SWB, JUMP, WAIT, LOOP, BW, RACCU, BRANCH, ROUTE, SRAM = range(12)

# Columns of a sequencer.
PC, NEXT_DECODE, RUNNING, DEPTH, HAS = range(5)
# Columns of a loop on a sequencer's stack.
L_ID, L_START, L_END, L_LEFT, L_STEP = range(5)

# Counters.
(
    N_MAC16, N_MAC8, N_MAC4, N_READ_BITS, N_WRITE_BITS, N_DECODES, N_RF_READ, N_RF_WRITE, N_LOST,
    N_LAST_ACCESS, N_LAST_DECODE, N_MODES,
) = range(12)  # fmt: skip
COUNTERS = N_MODES + 32

F_NO_ROUTE, F_HOPS, F_TWICE, F_TILE_ROW, F_STREAMS = 12, 13, 14, 15, 16


@njit(cache=True)
def _clamp(value: Int, bits: Int) -> Int:
    top = (np.int64(1) << (bits - 1)) - 1
    if value > top:
        return top
    if value < -top - 1:
        return -top - 1
    return value


@njit(cache=True)
def _lane(word: Int, lane: Int, bits: Int) -> Int:
    half = np.int64(1) << (bits - 1)
    return (((word >> (lane * bits)) & (2 * half - 1)) ^ half) - half


@njit(cache=True)
def _bits(bw: Int) -> Int:
    if bw == 1:
        return 8
    if bw == 3:
        return 4
    return 16


@njit(cache=True)
def _product(mode: Int) -> Int:
    return mode in (7, 9, 10, 30)


@njit(cache=True)
def _wide(mode: Int) -> Int:
    return mode in (2, 6, 7, 8, 9, 10, 12, 30)


@njit(cache=True)
def _output(raw: Ints, mode: Int, change: Int, shift: Int, bits: Int, bw: Int, q_shift: Int) -> Int:
    """The word that the output stage shows for the raw lanes of one NACU."""
    amount = shift if _wide(mode) else 0
    if bw == 2 and _product(mode):
        amount += q_shift
    word = np.int64(0)
    for lane in range(16 // bits):
        moved = raw[lane] >> amount if amount >= 0 else raw[lane] << -amount
        value = _clamp(moved, bits)
        if (change == 3 or mode == 5) and value < 0 and value > -(1 << (bits - 1)):
            value = -value
        word |= (value & ((1 << bits) - 1)) << (bits * lane)
    return (word ^ 0x8000) - 0x8000


@njit(cache=True)
def _both(mode: Int, x: Int, y: Int, bits: Int, acc: Int, acc_bits: Int) -> tuple[Int, Int, Int]:
    """Raw result and accumulator of the modes that both NACUs have; flag: whether it is one."""
    if mode == 10:
        acc = _clamp(acc + x * y, acc_bits)
        return True, acc, acc
    if mode == 7:
        return True, x * y, acc
    if mode == 1:
        return True, x + y, acc
    if mode in (4, 5):
        return True, x + _clamp(-y, bits), acc
    if mode == 2:
        acc = _clamp(acc + x, acc_bits)
        return True, acc, acc
    return False, np.int64(0), acc


@njit(cache=True)
def _nacu0(
    mode: Int,
    x: Int,
    y: Int,
    z: Int,
    constant: Int,
    bits: Int,
    acc: Int,
    acc_bits: Int,
    sigmoid: Words,
    tanh: Words,
) -> tuple[Int, Int]:
    known, raw, acc = _both(mode, x, y, bits, acc, acc_bits)
    if known:
        return raw, acc
    if mode == 13:
        acc = max(acc, x)
        raw = acc
    elif mode == 30:
        acc = _clamp(acc + x * constant, acc_bits)
        raw = acc
    elif mode == 3:
        raw = x + constant
    elif mode == 8:
        raw = x * y + z
    elif mode == 9:
        raw = x * constant
    elif mode == 12:
        raw = x * constant + y
    elif mode == 14:
        raw = max(x, constant)
    elif mode == 16:
        raw = max(x, y)
    elif mode == 17:
        raw = x << (y & 15)
    elif mode == 18:
        raw = x >> (y & 15)
    elif mode == 19:
        raw = np.int64(sigmoid[x + 32768])
    elif mode == 20:
        raw = np.int64(tanh[x + 32768])
    elif mode == 23:
        raw = max(x, np.int64(0))
    return raw, acc


@njit(cache=True)
def _nacu1(
    mode: Int, x: Int, y: Int, constant: Int, bits: Int, acc: Int, acc_bits: Int
) -> tuple[Int, Int]:
    known, raw, acc = _both(mode, x, y, bits, acc, acc_bits)
    if known:
        return raw, acc
    if mode == 13:
        acc = min(acc, x)
        raw = acc
    elif mode == 14:
        raw = min(x, constant)
    elif mode == 16:
        raw = min(x, y)
    return raw, acc


@njit(cache=True)
def _advance(slot: Ints) -> None:
    """After an access: the next one of a pattern, or its end."""
    slot[ELEMENT] += 1
    if slot[ELEMENT] < slot[COUNT1]:
        slot[NEXT] += 1 + slot[DELAY1]
        return
    slot[ELEMENT] = 0
    slot[REP] += 1
    if slot[REP] < slot[COUNT2]:
        slot[NEXT] += 1 + slot[DELAY2]
        return
    slot[ACTIVE] = 0


@njit(cache=True)
def _address(slot: Ints) -> Int:
    return slot[INIT] + slot[REP] * slot[STEP2] + slot[ELEMENT] * slot[STEP1]


@njit(cache=True)
def _value(line: Ints, k: Int, regs: Ints) -> Int:
    register = line[PARAMETERS + 2 * k]
    if register >= 0:
        return regs[register]
    return line[PARAMETERS + 2 * k + 1]


@njit(cache=True)
def _start(slot: Ints, line: Ints, regs: Ints, first: Int) -> None:
    slot[ACTIVE] = 1
    slot[NEXT] = first + _value(line, 1, regs)
    slot[REP] = 0
    slot[ELEMENT] = 0
    slot[INIT] = _value(line, 0, regs)
    slot[COUNT1] = 1 + _value(line, 2, regs)
    slot[STEP1] = line[B] * _value(line, 3, regs)
    slot[DELAY1] = _value(line, 4, regs)
    slot[COUNT2] = 1 + _value(line, 5, regs)
    slot[STEP2] = _value(line, 6, regs)
    slot[DELAY2] = _value(line, 7, regs)


@njit(cache=True)
def _span(slot: Ints) -> Int:
    level1 = (slot[COUNT1] - 1) * (1 + slot[DELAY1])
    return slot[COUNT2] * level1 + (slot[COUNT2] - 1) * (1 + slot[DELAY2])


@njit(cache=True)
def _raccu(line: Ints, regs: Ints) -> None:
    a = regs[line[C] % 16] if line[B] else line[C]
    b = regs[line[E] % 16] if line[D] else line[E]
    mode = line[A]
    result: Int = np.int64(0)
    if mode == 0:
        return
    if mode == 1:
        result = a + b
    elif mode == 2:
        result = a - b
    elif mode == 3:
        result = a >> b if b < 63 else 0
    elif mode == 4:
        result = a << b if b < 8 else 0
    regs[line[F]] = result & MASK


@njit(cache=True)
def _control(line: Ints, seq: Ints, loops: Ints, regs: Ints, edge: Int, status: Int) -> None:
    """Where the sequencer goes after the instruction of `line`."""
    op = line[OP]
    here = seq[PC]
    seq[PC] = here + line[WORDS]
    seq[NEXT_DECODE] = edge + 1
    if op == HALT:
        seq[RUNNING] = 0
    elif op == WAIT:
        seq[NEXT_DECODE] += regs[line[B] % 16] if line[A] else line[B]
    elif op == JUMP:
        seq[PC] = line[A]
        return
    elif op == BRANCH:
        if line[A] & status == 0:
            seq[PC] = line[B]
            return
    elif op == RACCU:
        _raccu(line, regs)
    elif op == LOOP:
        depth = 0
        for k in range(seq[DEPTH]):
            if loops[k, L_ID] != line[A]:
                loops[depth] = loops[k]
                depth += 1
        loops[depth, L_ID] = line[A]
        loops[depth, L_START] = seq[PC]
        loops[depth, L_END] = line[B]
        loops[depth, L_LEFT] = line[C]
        start = regs[line[D]] if line[D] >= 0 else line[PARAMETERS]
        loops[depth, L_STEP] = regs[line[E]] if line[E] >= 0 else line[PARAMETERS + 1]
        seq[DEPTH] = depth + 1
        regs[15 - line[A]] = start & MASK
    while seq[DEPTH] > 0 and loops[seq[DEPTH] - 1, L_END] == here:
        top = seq[DEPTH] - 1
        loops[top, L_LEFT] -= 1
        if loops[top, L_LEFT] > 0:
            register = 15 - loops[top, L_ID]
            regs[register] = (regs[register] + loops[top, L_STEP]) & MASK
            seq[PC] = loops[top, L_START]
            return
        seq[DEPTH] = top


@njit(cache=True)
def _quiet(edge: Int, seq: Ints, slots: Ints, streams: Ints, counters: Ints) -> Int:
    if edge <= counters[N_LAST_DECODE] + 2:
        return False
    for cell in range(seq.shape[0]):
        if seq[cell, RUNNING]:
            return False
        for s in range(6):
            if slots[cell, s, ACTIVE]:
                return False
    return not np.any(streams[:, ACTIVE] != 0)


@njit(cache=True)
def _driven(mode: Int, drive: Flags, second: bool) -> Int:
    """Whether a NACU has all operands of an operation."""
    if mode == 0:
        return False
    if second:
        if mode == 2:
            return drive[2]
        return mode in (1, 4, 5, 7, 10) and drive[2] and drive[3]
    if mode == 8:
        return drive[0] and drive[1] and drive[2]
    if mode in (1, 4, 5, 7, 10, 12, 16, 17, 18):
        return drive[0] and drive[1]
    return drive[0]


@njit(cache=True)
def advance(
    first: Int,
    last: Int,
    stop_when_quiet: bool,
    geometry: Geometry,
    programs: Ints,
    seq: Ints,
    loops: Ints,
    regs: Ints,
    slots: Ints,
    streams: Ints,
    busy: Ints,
    due_out: Ints,
    due: Ints,
    clear_at: Ints,
    bus: Words,
    bus_edge: Ints,
    blocks: Words,
    blocks_edge: Ints,
    bw_out: Ints,
    out_driven: Flags,
    rf: Words,
    sram: Words,
    source: Ints,
    route: Ints,
    mode: Ints,
    change: Ints,
    shift: Ints,
    bw: Ints,
    acc: Ints,
    raw: Ints,
    raw_mode: Ints,
    raw_change: Ints,
    raw_shift: Ints,
    raw_bits: Ints,
    ir: Ints,
    status: Ints,
    sigmoid: Words,
    tanh: Words,
    counters: Ints,
    keep_log: bool,
    log: Ints,
    sram_log: Ints,
    written: Ints,
    problem: Ints,
) -> Int:
    """Edges first .. last-1; returns the next edge to run, or -1 - fault code.

    `written` gets the number of log lines; `problem` cell, edge and value of a fault.
    """
    cols, depth, q_shift, latched, read_base, write_base, wide = geometry
    cells = rf.shape[0]
    wires = np.zeros((cells, 4), dtype=np.int64)
    live = np.zeros((cells, 4), dtype=np.bool_)
    sinks = np.zeros(6, dtype=np.int64)
    drive = np.zeros(4, dtype=np.bool_)
    compared = np.zeros(cells, dtype=np.int64)
    written[0] = 0
    written[1] = 0
    for edge in range(first, last):
        if stop_when_quiet and _quiet(edge, seq, slots, streams, counters):
            return edge
        now = edge % RING
        # Settings that become live, and the sources of this cycle.
        for cell in range(cells):
            if not latched:
                bw_out[cell] = 0
                bw[cell] = 0
            if due_out[cell, now] >= 0:
                bw_out[cell] = due_out[cell, now]
                due_out[cell, now] = -1
            kind = due[cell, now, 0]
            if kind == SWB:
                source[cell, due[cell, now, 1]] = due[cell, now, 2]
            elif kind == DPU:
                mode[cell] = due[cell, now, 1]
                change[cell] = due[cell, now, 2]
                shift[cell] = due[cell, now, 3]
            elif kind == BW:
                bw[cell] = due[cell, now, 1]
            due[cell, now, 0] = -1
            for port in range(2):
                slot = slots[cell, 2 + port]
                if slot[ACTIVE] and slot[NEXT] == edge:
                    wires[cell, port] = rf[cell, _address(slot) & 63]
                    live[cell, port] = True
                    _advance(slot)
                    counters[N_RF_READ] += 1
                    counters[N_LAST_ACCESS] = edge
                else:
                    wires[cell, port] = 0
                    live[cell, port] = False
                if raw_mode[cell] == 0:
                    wires[cell, 2 + port] = 0
                else:
                    wires[cell, 2 + port] = _output(
                        raw[cell, port], raw_mode[cell], raw_change[cell], raw_shift[cell],
                        raw_bits[cell], bw_out[cell], q_shift,
                    )  # fmt: skip
                live[cell, 2 + port] = out_driven[cell, port]
            slot = slots[cell, 5]
            if slot[ACTIVE] and slot[NEXT] == edge:
                block = (_address(slot) & 3) * 16
                blocks[cell, now] = rf[cell, block : block + 16]
                blocks_edge[cell, now] = edge
                _advance(slot)
                counters[N_RF_READ] += 16
                counters[N_LAST_ACCESS] = edge
        # The switchbox, register-file writes and datapaths.
        for cell in range(cells):
            compared[cell] = status[cell]
            block_at = -1
            slot = slots[cell, 4]
            if slot[ACTIVE] and slot[NEXT] == edge:
                block_at = (_address(slot) & 3) * 16
                _advance(slot)
                arrived = -1
                if bus_edge[cell, now] == edge:
                    arrived = cell
                else:
                    for other in range(cell % cols, cells, cols):
                        if arrived < 0 and bus_edge[other, now] == edge:
                            arrived = other
                for k in range(16):
                    rf[cell, block_at + k] = bus[arrived, now, k] if arrived >= 0 else 0
                    if keep_log:
                        log[written[0], 0] = edge
                        log[written[0], 1] = cell
                        log[written[0], 2] = block_at + k
                        log[written[0], 3] = rf[cell, block_at + k]
                        written[0] += 1
                counters[N_RF_WRITE] += 16
                counters[N_LAST_ACCESS] = edge
            word_at = -1
            for port in range(2):
                slot = slots[cell, port]
                if not (slot[ACTIVE] and slot[NEXT] == edge):
                    continue
                at = _address(slot) & 63
                _advance(slot)
                counters[N_LAST_ACCESS] = edge
                if block_at >= 0 and block_at <= at < block_at + 16:
                    continue
                if at == word_at:
                    continue
                word_at = at
                code = source[cell, port]
                rf[cell, at] = wires[code // 4, code % 4] if code >= 0 else 0
                counters[N_RF_WRITE] += 1
                if keep_log:
                    log[written[0], 0] = edge
                    log[written[0], 1] = cell
                    log[written[0], 2] = at
                    log[written[0], 3] = rf[cell, at]
                    written[0] += 1
            m = mode[cell]
            clear = clear_at[cell] == edge
            if m == 0:
                if raw_mode[cell] != 0:
                    raw[cell] = 0
                raw_mode[cell] = 0
                raw_change[cell] = change[cell]
                raw_shift[cell] = shift[cell]
                raw_bits[cell] = _bits(bw[cell])
                status[cell] = 0
                out_driven[cell, 0] = False
                out_driven[cell, 1] = False
                if clear:
                    acc[cell] = 0
                continue
            if m == 6:
                raw[cell, 0, 0] = acc[cell, 0, change[cell]]
                raw[cell, 1, 0] = 0
                if clear:
                    acc[cell] = 0
                raw_mode[cell] = m
                raw_change[cell] = 0
                raw_shift[cell] = shift[cell]
                raw_bits[cell] = 16
                status[cell] = 0
                out_driven[cell, 0] = False
                out_driven[cell, 1] = False
                continue
            for k in range(4):
                code = source[cell, 2 + k]
                sinks[k] = wires[code // 4, code % 4] if code >= 0 else 0
                drive[k] = code >= 0 and live[code // 4, code % 4]
            bits = _bits(bw[cell])
            acc_bits = 32 if wide or bits == 16 else 2 * bits
            extreme = m in (13, 14, 16)
            ir_next = np.int64(0)
            for lane in range(16 // bits, 4):
                raw[cell, 0, lane] = 0
                raw[cell, 1, lane] = 0
            for lane in range(16 // bits):
                x = _lane(sinks[0], lane, bits)
                y = _lane(sinks[1], lane, bits)
                z = _lane(sinks[2], lane, bits)
                t = _lane(sinks[3], lane, bits)
                if change[cell] == 1:
                    x = _clamp(-x, bits)
                    z = _clamp(-z, bits)
                elif change[cell] == 2:
                    y = _clamp(-y, bits)
                    t = _clamp(-t, bits)
                constant = _lane(ir[cell], lane, bits)
                raw[cell, 0, lane], acc[cell, 0, lane] = _nacu0(
                    m, x, y, z, constant, bits, acc[cell, 0, lane], acc_bits, sigmoid, tanh
                )
                raw[cell, 1, lane], acc[cell, 1, lane] = _nacu1(
                    m, x if extreme else z, y if extreme else t, constant, bits,
                    acc[cell, 1, lane], acc_bits,
                )  # fmt: skip
                ir_next |= (x & ((1 << bits) - 1)) << (bits * lane)
            status[cell] = 0
            if extreme:
                other = ir[cell] if m == 14 else sinks[1]
                status[cell] = int(sinks[0] > other) | int(sinks[0] == other) << 1
            if m == 11:
                ir[cell] = (ir_next ^ 0x8000) - 0x8000
            if clear:
                acc[cell] = 0
                if m in (2, 10, 13, 30):
                    raw[cell] = 0
            raw_mode[cell] = m
            raw_change[cell] = change[cell]
            raw_shift[cell] = shift[cell]
            raw_bits[cell] = bits
            for k in range(2):
                done = _driven(m, drive, k == 1)
                out_driven[cell, k] = done
                if done:
                    counters[N_MODES + m] += 1
                    if m in (10, 30):
                        counters[N_MAC16 if bits == 16 else N_MAC8 if bits == 8 else N_MAC4] += (
                            16 // bits
                        )
        # Memory tiles.
        for k in range(streams.shape[0]):
            stream = streams[k]
            if not stream[ACTIVE] or stream[NEXT] != edge:
                continue
            cell = stream[S_CELL]
            tile = stream[S_TILE]
            if busy[tile, 1] == edge:
                problem[0], problem[1], problem[2] = cell, edge, 0
                return -1 - F_TWICE
            busy[tile, 1] = edge
            counters[N_LAST_ACCESS] = edge
            at = _address(stream) & MASK
            if at >= depth:
                problem[0], problem[1], problem[2] = cell, edge, at
                return -1 - F_TILE_ROW
            if stream[S_WRITE]:
                read_at = edge - 1 - stream[S_HOPS]
                if blocks_edge[cell, read_at % RING] == read_at:
                    sram[tile, at] = blocks[cell, read_at % RING]
                else:
                    sram[tile, at] = 0
                counters[N_WRITE_BITS] += 256
                if keep_log:
                    sram_log[written[1], 0] = edge
                    sram_log[written[1], 1] = tile
                    sram_log[written[1], 2] = at
                    written[1] += 1
            else:
                arrival = edge + read_base - 4 + stream[S_HOPS] + cell // cols
                bus[cell, arrival % RING] = sram[tile, at]
                bus_edge[cell, arrival % RING] = arrival
                counters[N_READ_BITS] += 256
            _advance(stream)
        # Decode.
        for cell in range(cells):
            if not seq[cell, RUNNING] or seq[cell, NEXT_DECODE] != edge:
                continue
            line = programs[cell, min(seq[cell, PC], programs.shape[1] - 1)]
            if line[FAULT]:
                problem[0], problem[1], problem[2] = cell, edge, line[VALUE]
                return -1 - line[FAULT]
            counters[N_DECODES] += 1
            counters[N_LAST_DECODE] = edge
            op = line[OP]
            ahead = (edge + 2) % RING
            if op == REFI:
                _start(slots[cell, line[A]], line, regs[cell], edge + 1)
            elif op == SWB:
                due[cell, ahead, 0] = SWB
                due[cell, ahead, 1] = line[A]
                due[cell, ahead, 2] = line[B]
            elif op == DPU:
                if line[A] != 6:
                    clear_at[cell] = edge + 1
                due[cell, ahead, 0] = DPU
                due[cell, ahead, 1] = line[A]
                due[cell, ahead, 2] = line[B]
                due[cell, ahead, 3] = line[C]
            elif op == BW:
                due_out[cell, (edge + 1) % RING] = line[A]
                due[cell, ahead, 0] = BW
                due[cell, ahead, 1] = line[A]
            elif op == ROUTE:
                route[cell, line[A], 0] = line[B]
                route[cell, line[A], 1] = line[C]
            elif op == SRAM:
                tile = route[cell, line[A], 0]
                hops = route[cell, line[A], 1]
                if tile < 0 or hops != line[C]:
                    problem[0], problem[1], problem[2] = cell, edge, max(hops, 0)
                    return -1 - (F_NO_ROUTE if tile < 0 else F_HOPS)
                free = -1
                for k in range(streams.shape[0]):
                    if not streams[k, ACTIVE]:
                        free = k
                        break
                if free < 0:
                    problem[0], problem[1], problem[2] = cell, edge, streams.shape[0]
                    return -1 - F_STREAMS
                stream = streams[free]
                _start(stream, line, regs[cell], edge + write_base + hops)
                stream[S_CELL] = cell
                stream[S_TILE] = tile
                stream[S_HOPS] = hops
                stream[S_WRITE] = line[A]
                if not line[A]:
                    if edge + hops <= busy[tile, 0]:
                        counters[N_LOST] += 1
                        stream[ACTIVE] = 0
                    else:
                        busy[tile, 0] = stream[NEXT] - write_base + _span(stream)
            _control(line, seq[cell], loops[cell], regs[cell], edge, compared[cell])
    return last
