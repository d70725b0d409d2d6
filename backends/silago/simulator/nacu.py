"""Sigmoid and tanh of the datapath, exact for all 65,536 inputs of Q4.11.

Piecewise linear: a = |x|, segment k = a >> 9, value = ((slope * a) >> 11) + offset with floor
shifts. The segments were fitted to the outputs of the public RTL, not taken from its source.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

ONE = 2048
"""1.0 in Q4.11."""

FRACTION = 11
SEGMENT = 9
LARGEST = 32767

SLOPES = (
    512, 495, 465, 424, 381, 329, 281, 238, 193, 161, 127, 102, 84, 64, 54, 39, 34, 25, 21, 13,
    14, 12, 9,
)  # fmt: skip
"""Slope of segment k; 0 from `FLAT` on."""

OFFSETS = (
    1024, 1028, 1043, 1074, 1117, 1182, 1254, 1329, 1419, 1491, 1576, 1645, 1699, 1764, 1799,
    1855, 1875, 1913, 1931, 1969, 1964, 1974, 1990,
)  # fmt: skip
"""Offset of segment k below `FLAT`."""

FLAT = (
    (11776, 2042), (12288, 2044), (12800, 2045), (13824, 2046), (14848, 2047), (16896, 2048),
)  # fmt: skip
"""(first a, constant value) of the steps after the sloped segments."""


def _segment(a: int) -> tuple[int, int]:
    """Slope and offset at a >= 0."""
    offset = None
    for first, value in FLAT:
        if a >= first:
            offset = value
    if offset is not None:
        return 0, offset
    return SLOPES[a >> SEGMENT], OFFSETS[a >> SEGMENT]


def sigmoid(x: int) -> int:
    """Sigmoid of a 16-bit value in Q4.11."""
    a = abs(x)
    slope, offset = _segment(a)
    if x >= 0:
        return ((slope * a) >> FRACTION) + offset
    return ((-slope * a) >> FRACTION) + ONE - offset


def tanh(x: int) -> int:
    """Tanh of a 16-bit value in Q4.11: the same segments at 2a."""
    a = abs(x)
    slope, offset = _segment(min(2 * a, LARGEST))
    slope, offset = 4 * slope, 2 * offset - ONE
    if x >= 0:
        return ((slope * a) >> FRACTION) + offset
    return ((-slope * a) >> FRACTION) - offset


@cache
def table(function: str) -> npt.NDArray[np.int16]:
    """Values of `sigmoid` or `tanh` [65536] at -32768 .. 32767."""
    of = {"sigmoid": sigmoid, "tanh": tanh}[function]
    made = np.array([of(x) for x in range(-32768, 32768)], dtype=np.int16)
    made.setflags(write=False)
    return made
