"""Integer arithmetic for simulators whose units compute as `qnn` says (docs/semantics.md).

Plain functions on arrays, without any program: a simulator may use them, the interpreters it is
compared with have their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def clamp(x: IntArray, bits: int) -> IntArray:
    """The nearest signed integers of `bits` bits."""
    made: IntArray = np.clip(x, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return made


def requantize(
    x: IntArray, multipliers: Sequence[int], shifts: Sequence[int], bits: int
) -> IntArray:
    """clamp((x m + 2^(s-1)) >> s); equal runs of channels for each (m, s)."""
    run = x.shape[-1] // len(multipliers)
    m, s = (np.repeat(np.array(v, dtype=np.int64), run) for v in (multipliers, shifts))
    return clamp((x * m + ((np.int64(1) << s) >> 1)) >> s, bits)


def lookup(x: IntArray, points: IntArray) -> IntArray:
    """16-bit values through a table: lines between 2^k + 1 points, or 2^k steps."""
    segments = len(points) - len(points) % 2
    shift, place = 17 - segments.bit_length(), x + (1 << 15)
    left: IntArray = points[place >> shift]
    if len(points) == segments:
        return left
    rest = (points[(place >> shift) + 1] - left) * (place & ((1 << shift) - 1))
    made: IntArray = left + ((rest + (1 << (shift - 1))) >> shift)
    return made


def pack(values: npt.ArrayLike, bits: int) -> bytes:
    """Signed integers of `bits` bits without gaps, first bit first; the last byte is filled up."""
    flat = np.asarray(values, dtype=np.int64).reshape(-1, 1)
    return np.packbits((flat >> np.arange(bits)) & 1, bitorder="little").tobytes()


def unpack(data: bytes, bits: int, shape: Sequence[int]) -> IntArray:
    """The integers that `pack` wrote at the start of `data`.

    Raises:
        ValueError: `data` is too short.
    """
    count = prod(shape)
    held = np.frombuffer(data[: packed_size(bits, shape)], np.uint8)
    if min(shape, default=0) < 0 or held.size < packed_size(bits, shape):
        raise ValueError(f"{len(data)} bytes hold no {count} integers of {bits} bits")
    ones = np.unpackbits(held, count=count * bits, bitorder="little").reshape(count, bits)
    values = ones.astype(np.int64) @ (np.int64(1) << np.arange(bits, dtype=np.int64))
    made: IntArray = (values - (ones[:, -1].astype(np.int64) << bits)).reshape(shape)
    return made


def packed_size(bits: int, shape: Sequence[int]) -> int:
    """Bytes that `pack` takes."""
    return -(-prod(shape) * bits // 8)
