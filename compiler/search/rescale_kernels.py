"""Compiled kernels that join products of bytes and rescale them in one pass.

Sums stay in registers between both, and a run of channels with one scale shares its numbers. Equal
to `qnn.requantize` of the joined sums bit for bit.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Parts = npt.NDArray[np.int32]

FIRST, LAST, MULTIPLIER, HALF, SHIFT = range(5)
"""Columns of `runs`: channels first..last-1 become (total * multiplier + half) >> shift."""


@numba.njit(cache=True, nogil=True)
def rescale_words(
    x: npt.NDArray[Any],
    acc_shift: int,
    bias: npt.NDArray[np.int32],
    runs: Ints,
    low: int,
    high: int,
    out: npt.NDArray[Any],
) -> None:
    """Rescale x * 2^acc_shift + bias, which 32 bits hold, like the multipliers."""
    for n in range(out.shape[0]):
        for r in range(runs.shape[0]):
            first, last = runs[r, FIRST], runs[r, LAST]
            m, half, shift = np.int32(runs[r, MULTIPLIER]), runs[r, HALF], runs[r, SHIFT]
            row, to, rest = x[n, first:last], out[n, first:last], bias[first:last]
            for c in range(last - first):
                total = np.int32((np.int64(row[c]) << acc_shift) + rest[c])
                y = (np.int64(total) * np.int64(m) + half) >> shift
                to[c] = min(max(y, low), high)


@numba.njit(cache=True, nogil=True)
def rescale_values(
    upper: Parts,
    lower: Parts,
    acc_shift: int,
    bias: Ints,
    runs: Ints,
    low: int,
    high: int,
    out: npt.NDArray[Any],
) -> None:
    """The same of 256 upper + lower, the products with the bytes of x, in 64 bits."""
    for n in range(out.shape[0]):
        for r in range(runs.shape[0]):
            first, last = runs[r, FIRST], runs[r, LAST]
            m, half, shift = runs[r, MULTIPLIER], runs[r, HALF], runs[r, SHIFT]
            xh, xl = upper[n, first:last], lower[n, first:last]
            to, rest = out[n, first:last], bias[first:last]
            for c in range(last - first):
                total = (np.int64(xh[c]) << 8) + np.int64(xl[c])
                y = (((total << acc_shift) + rest[c]) * m + half) >> shift
                to[c] = min(max(y, low), high)


@numba.njit(cache=True, nogil=True)
def rescale_weights(
    parts: Parts,
    rows: Ints,
    acc_shift: int,
    bias: Ints,
    runs: Ints,
    low: int,
    high: int,
    out: npt.NDArray[Any],
) -> None:
    """The same of 256 parts[:, c] + parts[:, N + c] + 128 rows, the products with bytes of w."""
    count = out.shape[1]
    for n in range(out.shape[0]):
        offset = rows[n] << 7
        for r in range(runs.shape[0]):
            first, last = runs[r, FIRST], runs[r, LAST]
            m, half, shift = runs[r, MULTIPLIER], runs[r, HALF], runs[r, SHIFT]
            wh, wl = parts[n, first:last], parts[n, count + first : count + last]
            to, rest = out[n, first:last], bias[first:last]
            for c in range(last - first):
                total = (np.int64(wh[c]) << 8) + np.int64(wl[c]) + offset
                y = (((total << acc_shift) + rest[c]) * m + half) >> shift
                to[c] = min(max(y, low), high)


@numba.njit(cache=True, nogil=True)
def rescale_both(
    upper: Parts,
    lower: Parts,
    rows: Ints,
    acc_shift: int,
    bias: Ints,
    runs: Ints,
    low: int,
    high: int,
    out: npt.NDArray[Any],
) -> None:
    """The same from the products of both bytes of x with both of w."""
    count = out.shape[1]
    for n in range(out.shape[0]):
        offset = rows[n] << 7
        for r in range(runs.shape[0]):
            first, last = runs[r, FIRST], runs[r, LAST]
            m, half, shift = runs[r, MULTIPLIER], runs[r, HALF], runs[r, SHIFT]
            hh, hl = upper[n, first:last], upper[n, count + first : count + last]
            lh, ll = lower[n, first:last], lower[n, count + first : count + last]
            to, rest = out[n, first:last], bias[first:last]
            for c in range(last - first):
                middle = np.int64(hl[c]) + np.int64(lh[c])
                total = (np.int64(hh[c]) << 16) + (middle << 8) + np.int64(ll[c]) + offset
                y = (((total << acc_shift) + rest[c]) * m + half) >> shift
                to[c] = min(max(y, low), high)
