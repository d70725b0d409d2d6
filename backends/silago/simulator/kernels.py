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
Geometry = tuple[int, int, int, bool, int, int, bool, bool]
"""Columns, tile depth, q_shift, latched, read base, write base, wide accumulators, lane repair."""

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
PC, NEXT_DECODE, RUNNING, FINAL, KEPT, KEPT_AT = range(6)
# Columns of a loop unit.
L_ACTIVE, L_START, L_END, L_ITER, L_STEP, L_COUNT = range(6)

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
    return mode in (7, 8, 9, 10, 12, 30)


@njit(cache=True)
def _field(value: Int, lane: Int, width: Int) -> Int:
    """Signed field `lane` of a number."""
    half = np.int64(1) << (width - 1)
    return (((value >> min(lane * width, 63)) & (2 * half - 1)) ^ half) - half


@njit(cache=True)
def _moved(value: Int, amount: Int) -> Int:
    """Shifted right, or left when negative; beyond 31 to the left every value saturates anyway."""
    if amount >= 0:
        return value >> amount
    return value << min(-amount, 31)


@njit(cache=True)
def _pattern(raw: Ints, made: Int) -> Int:
    """The 32 bits of a register with lanes of operand width `made`."""
    mask = (np.int64(1) << (2 * made)) - 1
    found = np.int64(0)
    for lane in range(16 // made):
        found |= (raw[lane] & mask) << (2 * made * lane)
    return found


@njit(cache=True)
def _output(
    raw: Ints, made: Int, mode: Int, change: Int, shift: Int, bw: Int, q_shift: Int, wide: Int,
    lane_slice: Int,
) -> Int:  # fmt: skip
    """The word that the output stage shows for the register of one NACU."""
    if mode in (0, 6, 11):
        return np.int64(0)
    amount = shift if _product(mode) or mode == 2 else 0
    if bw == 2 and _product(mode):
        amount += q_shift
    word = np.int64(0)
    if wide:
        for lane in range(16 // made):
            part = _clamp(_moved(raw[lane], amount), made)
            word |= (part & ((1 << made) - 1)) << (made * lane)
    else:
        bits = _bits(bw)
        whole = _pattern(raw, made)
        for lane in range(16 // bits):
            value = _field(whole, lane, 2 * bits)
            part = _clamp(value >> amount, bits)
            if part == value and not lane_slice:
                part = whole >> (bits * lane)
            word |= (part & ((1 << bits) - 1)) << (bits * lane)
    word = (word ^ 0x8000) - 0x8000
    if (change == 3 or mode == 5) and -32768 < word < 0:
        word = -word
    return word


@njit(cache=True)
def _negated(word: Int) -> Int:
    return np.int64(32767) if word == -32768 else -word


@njit(cache=True)
def _extreme_partner(mode: Int, second: Int, constant: Int, shown: Int) -> Int:
    """What a comparing mode compares in0 with."""
    if mode == 16:
        return second
    if mode == 14:
        return constant
    if mode == 13:
        return shown
    return np.int64(0)


@njit(cache=True)
def _shift_left(word: Int, amount: Int) -> Int:
    return _field(word << min(max(amount, 0), 32), 0, 32)


@njit(cache=True)
def _word(mode: Int, x: Int, y: Int, partner: Int, second: Int, sigmoid: Words, tanh: Words) -> Int:
    """Result of the modes that work on whole words, for NACU 0 or the second one."""
    if mode in (13, 14, 16):
        return min(x, partner) if second else max(x, partner)
    if mode == 23:
        return max(x, np.int64(0))
    if mode == 17:
        return _shift_left(x, y)
    if mode == 18:
        return x >> min(max(y, 0), 31)
    if mode == 19 and not second:
        return np.int64(sigmoid[x + 32768])
    if mode == 20 and not second:
        return np.int64(tanh[x + 32768])
    return np.int64(0)


@njit(cache=True)
def _nacu(
    raw: Ints, mode: Int, x: Int, y: Int, addend: Int, word: Int, bits: Int, wide: Int
) -> None:
    """New lanes of a register; x, y: the operands of the mode, constants already chosen."""
    lane_bits = 32 if wide else 2 * bits
    for lane in range(16 // bits):
        if _product(mode):
            value = _lane(x, lane, bits) * _lane(y, lane, bits)
            if mode in (10, 30):
                value = _clamp(value + raw[lane], lane_bits)
            elif mode in (8, 12):
                value = _clamp(value + _field(addend, lane, lane_bits), lane_bits)
        elif mode in (1, 3, 4, 5):
            value = _clamp(_field(x, lane, lane_bits) + _field(y, lane, lane_bits), lane_bits)
        elif mode == 2:
            value = _clamp(_field(x, lane, lane_bits) + raw[lane], lane_bits)
        else:
            value = _field(word, lane, lane_bits)
        raw[lane] = value
    for lane in range(16 // bits, 4):
        raw[lane] = 0


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
        mask = 63
        if line[OP] == SRAM and k not in (4, 7):
            mask = 15 if k == 1 else 127
        return regs[register] & mask
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
def _raccu(line: Ints, regs: Ints, seq: Ints, edge: Int) -> None:
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
        result = (a - 128 if a & 64 else a) >> min(b, 63)
    elif mode == 4:
        result = a << b if b < 8 else 0
    regs[line[F]] = result & MASK
    seq[KEPT] = line[F]
    seq[KEPT_AT] = edge


@njit(cache=True)
def _six(value: Int, dynamic: Int) -> Int:
    if dynamic:
        return (value & 31) - (32 if value & 64 else 0)
    return value - 64 if value & 32 else value


@njit(cache=True)
def _idle_iterators(seq: Ints, loops: Ints, regs: Ints, edge: Int) -> None:
    """Registers of loops that do not run are 0, but for a RACCU result of the edge before."""
    for n in range(4):
        if not loops[n, L_ACTIVE] and not (seq[KEPT] == 15 - n and seq[KEPT_AT] == edge - 1):
            regs[15 - n] = 0


@njit(cache=True)
def _control(line: Ints, seq: Ints, loops: Ints, regs: Ints, edge: Int, status: Int) -> None:
    """Where the sequencer goes after the instruction of `line`."""
    op = line[OP]
    here = seq[PC]
    seq[PC] = here + line[WORDS]
    seq[NEXT_DECODE] = edge + 1
    target: Int = np.int64(-1)
    if op == WAIT:
        seq[NEXT_DECODE] += regs[line[B] % 16] if line[A] else line[B]
    elif op == JUMP:
        target = line[A]
    elif op == BRANCH:
        if line[A] & status == 0:
            target = line[B]
    elif op == RACCU:
        _raccu(line, regs, seq, edge)
    back: Int = np.int64(-1)
    inner_over = True
    next_active = False
    for k in range(4):
        n = 3 - k
        active = loops[n, L_ACTIVE] != 0
        ends = active and here == loops[n, L_END] and (inner_over or not next_active)
        last = ends and loops[n, L_COUNT] == loops[n, L_ITER] - 1
        over = not active or last or here + 1 == loops[n, L_END]
        inner_over = inner_over and over
        next_active = active
        if last:
            loops[n] = 0
            regs[15 - n] = 0
        elif ends:
            loops[n, L_COUNT] += 1
            regs[15 - n] = (regs[15 - n] + loops[n, L_STEP]) & MASK
            if back < 0:
                back = loops[n, L_START]
    if op == LOOP:
        n = line[A]
        start = regs[line[D]] if line[D] >= 0 else line[PARAMETERS]
        step = regs[line[E]] if line[E] >= 0 else line[PARAMETERS + 1]
        loops[n, L_ACTIVE] = 1
        loops[n, L_START] = here + line[WORDS]
        loops[n, L_END] = line[B]
        loops[n, L_ITER] = line[C]
        loops[n, L_STEP] = _six(step, line[E] >= 0)
        loops[n, L_COUNT] = 0
        regs[15 - n] = _six(start, line[D] >= 0) & MASK
    if target >= 0 or back >= 0:
        goes: Int = max(0, target)
        also: Int = max(0, back)
        seq[PC] = goes | also
    if op == HALT or here >= seq[FINAL]:
        seq[RUNNING] = 0


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
    raw: Ints,
    raw_bits: Ints,
    ir: Ints,
    status: Ints,
    draining: Ints,
    drained: Ints,
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
    cols, depth, q_shift, latched, read_base, write_base, wide, lane_slice = geometry
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
                if draining[cell]:
                    wires[cell, 2 + port] = drained[cell] if port == 0 else 0
                else:
                    wires[cell, 2 + port] = _output(
                        raw[cell, port], raw_bits[cell], mode[cell], change[cell], shift[cell],
                        bw_out[cell], q_shift, wide, lane_slice,
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
            bits = _bits(bw[cell])
            if m == 6:
                lanes = 16 // raw_bits[cell]
                at = (change[cell] + draining[cell]) % (2 * lanes)
                drained[cell] = _clamp(_moved(raw[cell, at // lanes, at % lanes], shift[cell]), 16)
                draining[cell] += 1
                if clear_at[cell] == edge:
                    raw[cell] = 0
                out_driven[cell, 0] = False
                out_driven[cell, 1] = False
                continue
            draining[cell] = 0
            if m == 0:
                raw[cell] = 0
                raw_bits[cell] = bits
                out_driven[cell, 0] = False
                out_driven[cell, 1] = False
                continue
            for k in range(4):
                code = source[cell, 2 + k]
                sinks[k] = wires[code // 4, code % 4] if code >= 0 else 0
                drive[k] = code >= 0 and live[code // 4, code % 4]
            in0, in1, in2, in3 = sinks[0], sinks[1], sinks[2], sinks[3]
            if change[cell] == 1:
                in0, in2 = _negated(in0), _negated(in2)
            elif change[cell] == 2:
                in1, in3 = _negated(in1), _negated(in3)
            in_q = bw_out[cell] == 2
            first_y, second_y = in1, in3
            if m in (3, 9, 12, 30):
                first_y, second_y = ir[cell, 0], ir[cell, 1]
            elif m in (4, 5):
                first_y, second_y = _negated(sinks[1]), _negated(sinks[3])
            first_addend, second_addend = sinks[2], np.int64(0)
            if m == 12:
                first_addend, second_addend = sinks[1], sinks[3]
                if in_q:
                    first_addend, second_addend = sinks[3], np.int64(0)
            if in_q:
                first_addend <<= 11
            extreme = m in (13, 14, 16)
            partner = _extreme_partner(m, in1, ir[cell, 0], wires[cell, 2])
            if extreme or m == 23:
                status[cell] = int(in0 > partner) | int(in0 == partner) << 1
            second_partner = wires[cell, 3] if m == 13 else partner
            if clear_at[cell] == edge:
                raw[cell] = 0
            else:
                if raw_bits[cell] != bits and not wide:
                    for k in range(2):
                        whole = _pattern(raw[cell, k], raw_bits[cell])
                        for lane in range(16 // bits):
                            raw[cell, k, lane] = _field(whole, lane, 2 * bits)
                word = _word(m, in0, in1, partner, False, sigmoid, tanh)
                _nacu(raw[cell, 0], m, in0, first_y, first_addend, word, bits, wide)
                if m == 8:
                    raw[cell, 1] = 0
                else:
                    word = _word(
                        m, in0 if extreme else in2, in3, second_partner, True, sigmoid, tanh
                    )
                    _nacu(raw[cell, 1], m, in2, second_y, second_addend, word, bits, wide)
            raw_bits[cell] = bits
            if m == 11:
                ir[cell, 0] = in0
                ir[cell, 1] = in2
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
            if busy[tile, 2] == edge:
                problem[0], problem[1], problem[2] = cell, edge, 0
                return -1 - F_TWICE
            busy[tile, 2] = edge
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
            _idle_iterators(seq[cell], loops[cell], regs[cell], edge)
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
                if edge + hops < busy[tile, line[A]]:
                    counters[N_LOST] += 1
                    stream[ACTIVE] = 0
                else:
                    busy[tile, line[A]] = stream[NEXT] - write_base + _span(stream) + 2
            _control(line, seq[cell], loops[cell], regs[cell], edge, compared[cell])
    return last
