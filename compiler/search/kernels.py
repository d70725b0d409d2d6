"""Compiled kernels of the fast evaluator. Integers throughout; equal to the reference bit for bit.

The scan kernel interprets a short tape over a buffer of units, one time step after the other;
its inner loops run over units, so the compiler turns them into vector instructions.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

COPY, ADD, MUL, RSUB, SHL, SATURATE, REQUANTIZE, LOOKUP, BIAS = range(9)
PRODUCT, BLEND, LOOKED_UP_SUM = range(9, 12)
MATRIX = 12
SHIFT, SATURATING_MATRIX = 13, 14
"""Opcodes. A tape row is (opcode, destination, a, b, c, length, i0, ..., i4): offsets into the
buffer and immediates. Those of the second line are groups of operations (`fusion`). `MATRIX` is
a product with the matrix at b, row by row, of the i0 numbers at a; `SATURATING_MATRIX` clamps
to i1..i2 after every addition. `SHIFT` clamps floor(a / 2^i0) to i1..i2."""

OPERANDS, IMMEDIATES = 3, 5
ROW = 3 + OPERANDS + IMMEDIATES


@numba.njit(cache=True, nogil=True)
def requantize_rows(
    x: npt.NDArray[Any],
    multipliers: Ints,
    halves: Ints,
    shifts: Ints,
    low: int,
    high: int,
    out: npt.NDArray[Any],
) -> None:
    """out[n, c] = clamp((x[n, c] * m[c] + half[c]) >> s[c]); x holds whole numbers."""
    for n in range(x.shape[0]):
        row, to = x[n], out[n]
        for c in range(row.shape[0]):
            y = (np.int64(row[c]) * multipliers[c] + halves[c]) >> shifts[c]
            to[c] = min(max(y, low), high)


@numba.njit(cache=True, nogil=True)
def bias_requantize_rows(
    x: npt.NDArray[Any],
    acc_shift: int,
    bias: Ints,
    multipliers: Ints,
    halves: Ints,
    shifts: Ints,
    low: int,
    high: int,
    out: npt.NDArray[Any],
) -> None:
    """The same after x * 2^acc_shift + bias[c] (the bias is already shifted)."""
    for n in range(x.shape[0]):
        row, to = x[n], out[n]
        for c in range(row.shape[0]):
            total = (np.int64(row[c]) << acc_shift) + bias[c]
            y = (total * multipliers[c] + halves[c]) >> shifts[c]
            to[c] = min(max(y, low), high)


@numba.njit(cache=True, nogil=True)
def shift_rows(
    x: npt.NDArray[Any],
    left: Ints,
    right: Ints,
    low: int,
    high: int,
    out: npt.NDArray[Any],
) -> None:
    """out[n, c] = clamp((x[n, c] << left[c]) >> right[c]); x holds whole numbers."""
    for n in range(x.shape[0]):
        row, to = x[n], out[n]
        for c in range(row.shape[0]):
            y = (np.int64(row[c]) << left[c]) >> right[c]
            to[c] = min(max(y, low), high)


@numba.njit(cache=True, nogil=True)
def join_values(high: npt.NDArray[Any], low: npt.NDArray[Any], out: Ints) -> None:
    """out = 256 high + low: products of the bytes of x."""
    for n in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[n, c] = (np.int64(high[n, c]) << 8) + np.int64(low[n, c])


@numba.njit(cache=True, nogil=True)
def join_weights(parts: npt.NDArray[Any], rows: Ints, out: Ints) -> None:
    """out[n, c] = 256 parts[n, c] + parts[n, N + c] + 128 rows[n]: products with bytes of w."""
    count = out.shape[1]
    for n in range(out.shape[0]):
        rest = rows[n] << 7
        for c in range(count):
            out[n, c] = (np.int64(parts[n, c]) << 8) + np.int64(parts[n, count + c]) + rest


@numba.njit(cache=True, nogil=True)
def join_both(high: npt.NDArray[Any], low: npt.NDArray[Any], rows: Ints, out: Ints) -> None:
    """The same from the products of both bytes of x."""
    count = out.shape[1]
    for n in range(out.shape[0]):
        rest = rows[n] << 7
        for c in range(count):
            middle = np.int64(high[n, count + c]) + np.int64(low[n, c])
            total = (np.int64(high[n, c]) << 16) + (middle << 8)
            out[n, c] = total + np.int64(low[n, count + c]) + rest


@numba.njit(cache=True, nogil=True)
def saturating_sums(x: Ints, rows: Ints, where: Ints, low: int, high: int, out: Ints) -> None:
    """out[f, n] = sum over k in order of x[f, k] rows[n, k], clamped each time, at where [m, 2]."""
    for i in range(where.shape[0]):
        f, n = where[i, 0], where[i, 1]
        total = 0
        for k in range(rows.shape[1]):
            total = min(max(total + x[f, k] * rows[n, k], low), high)
        out[f, n] = total


@numba.njit(cache=True, nogil=True)
def saturating_rows(
    x: Ints, columns: npt.NDArray[Any], where: Ints, low: int, high: int, out: Ints
) -> None:
    """The same for all n of the rows f at where [m]; columns is [K, N] of 16-bit numbers."""
    for i in range(where.shape[0]):
        total = out[where[i]]
        total[:] = 0
        for k in range(columns.shape[0]):
            held, line = x[where[i], k], columns[k]
            for n in range(total.shape[0]):
                total[n] = min(max(total[n] + held * np.int64(line[n]), low), high)


@numba.njit(cache=True, nogil=True)
def _step(tape: Ints, buffer: Ints, tables: npt.NDArray[np.int16]) -> None:
    for row in range(tape.shape[0]):
        code, n = tape[row, 0], tape[row, 5]
        y = buffer[tape[row, 1] : tape[row, 1] + n]
        a = buffer[tape[row, 2] : tape[row, 2] + n]
        i0, i1, i2, i3, i4 = (
            tape[row, 6],
            tape[row, 7],
            tape[row, 8],
            tape[row, 9],
            tape[row, 10],
        )
        if code == PRODUCT:
            b = buffer[tape[row, 3] : tape[row, 3] + n]
            half = (np.int64(1) << i1) >> 1
            for k in range(n):
                y[k] = min(max((a[k] * b[k] * i0 + half) >> i1, i2), i3)
        elif code == BLEND:
            b = buffer[tape[row, 3] : tape[row, 3] + n]
            c = buffer[tape[row, 4] : tape[row, 4] + n]
            half = (np.int64(1) << i1) >> 1
            for k in range(n):
                total = a[k] * b[k] + (i4 - a[k]) * c[k]
                y[k] = min(max((total * i0 + half) >> i1, i2), i3)
        elif code == LOOKED_UP_SUM:
            b = buffer[tape[row, 3] : tape[row, 3] + n]
            points = tables[i2]
            for k in range(n):
                position = min(max(a[k] + b[k], i0), i1) + 32768
                y[k] = points[np.uint64(position)]
        elif code == MATRIX:
            given = buffer[tape[row, 2] : tape[row, 2] + i0]
            for k in range(n):
                first = tape[row, 3] + k * i0
                line = buffer[first : first + i0]
                total = np.int64(0)
                for j in range(i0):
                    total += line[j] * given[j]
                y[k] = total
        elif code == SHIFT:
            right, left = max(i0, 0), max(-i0, 0)
            for k in range(n):
                y[k] = min(max((a[k] << left) >> right, i1), i2)
        elif code == SATURATING_MATRIX:
            given = buffer[tape[row, 2] : tape[row, 2] + i0]
            for k in range(n):
                first = tape[row, 3] + k * i0
                line = buffer[first : first + i0]
                total = np.int64(0)
                for j in range(i0):
                    total = min(max(total + line[j] * given[j], i1), i2)
                y[k] = total
        elif code == ADD:
            b = buffer[tape[row, 3] : tape[row, 3] + n]
            for k in range(n):
                y[k] = a[k] + b[k]
        elif code == MUL:
            b = buffer[tape[row, 3] : tape[row, 3] + n]
            for k in range(n):
                y[k] = a[k] * b[k]
        elif code == REQUANTIZE:
            half = (np.int64(1) << i1) >> 1
            for k in range(n):
                y[k] = min(max((a[k] * i0 + half) >> i1, i2), i3)
        elif code == SATURATE:
            for k in range(n):
                y[k] = min(max(a[k], i0), i1)
        elif code == RSUB:
            for k in range(n):
                y[k] = i0 - a[k]
        elif code == LOOKUP:
            points = tables[i0]
            for k in range(n):
                y[k] = points[np.uint64(a[k] + 32768)]
        elif code == SHL:
            for k in range(n):
                y[k] = a[k] << i0
        elif code == BIAS:
            b = buffer[tape[row, 3] : tape[row, 3] + n]
            for k in range(n):
                y[k] = (a[k] << i0) + (b[k] << i1)
        else:
            for k in range(n):
                y[k] = a[k]


@numba.njit(cache=True, nogil=True)
def scan(
    tape: Ints,
    buffer: Ints,
    tables: npt.NDArray[np.int16],
    inputs: tuple[npt.NDArray[Any], ...],
    fetch: Ints,
    outputs: tuple[npt.NDArray[Any], ...],
    emit: Ints,
    states: Ints,
    ends: Ints,
    reverse: bool,
) -> None:
    """Run a recurrence over ragged sequences.

    Args:
        tape: [rows, ROW].
        buffer: scratch with the constants in place.
        tables: [tables, 65536], a result for every 16-bit input from -32768 on.
        inputs: arrays [frames, *]; all sequences one after the other.
        fetch: [k, 4] of (input, first channel, offset in the buffer, length).
        outputs: arrays [frames, *], filled.
        emit: [outputs, 2] of (offset in the buffer, length).
        states: [states, 3] of (offset of the state, offset of the next state, length).
        ends: [sequences] index after the last frame of each.
        reverse: walk from the last frame to the first.
    """
    first = 0
    for sequence in range(ends.shape[0]):
        last = ends[sequence]
        for j in range(states.shape[0]):
            buffer[states[j, 0] : states[j, 0] + states[j, 2]] = 0
        for step in range(last - first):
            t = last - 1 - step if reverse else first + step
            for j in range(fetch.shape[0]):
                n = fetch[j, 3]
                source = inputs[fetch[j, 0]][t, fetch[j, 1] : fetch[j, 1] + n]
                target = buffer[fetch[j, 2] : fetch[j, 2] + n]
                for k in range(n):
                    target[k] = source[k]
            _step(tape, buffer, tables)
            for j in range(emit.shape[0]):
                row = outputs[j][t]
                given = buffer[emit[j, 0] : emit[j, 0] + emit[j, 1]]
                for k in range(emit[j, 1]):
                    row[k] = given[k]
            for j in range(states.shape[0]):
                n = states[j, 2]
                state = buffer[states[j, 0] : states[j, 0] + n]
                after = buffer[states[j, 1] : states[j, 1] + n]
                for k in range(n):
                    state[k] = after[k]
        first = last
