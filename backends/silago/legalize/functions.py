"""The NACU's sigmoid and tanh as `qnn.piecewise`.

The segments were fitted from the outputs of the public RTL at all 65,536 inputs, without a
mismatch. Operand and result are Q4.11 (1.0 = 2048); tanh uses the sigmoid's segments at twice the input.
"""

from __future__ import annotations

from mohaq.compiler.dialects import qnn

FRACTION = 11
ONE = 1 << FRACTION
"""1.0 in Q4.11."""

SIGMOID = "nacu_sigmoid"
TANH = "nacu_tanh"

SEGMENT = 512
SLOPES = (
    512, 495, 465, 424, 381, 329, 281, 238, 193, 161, 127, 102,
    84, 64, 54, 39, 34, 25, 21, 13, 14, 12, 9,
)  # fmt: skip
OFFSETS = (
    1024, 1028, 1043, 1074, 1117, 1182, 1254, 1329, 1419, 1491, 1576, 1645,
    1699, 1764, 1799, 1855, 1875, 1913, 1931, 1969, 1964, 1974, 1990,
)  # fmt: skip
FLAT = ((11776, 2042), (12288, 2044), (12800, 2045), (13824, 2046), (14848, 2047), (16896, 2048))
"""(first |x|, value): from there on the slope is 0."""


def nacu(name: str) -> qnn.PiecewiseOp:
    """The function of a symbol, `SIGMOID` or `TANH`."""
    knots = [SEGMENT * k for k in range(len(SLOPES))] + [k for k, _ in FLAT]
    slopes, offsets = [*SLOPES, *(0 for _ in FLAT)], [*OFFSETS, *(v for _, v in FLAT)]
    if name == SIGMOID:
        return qnn.PiecewiseOp(
            name, knots, slopes, offsets, fraction=FRACTION, input_shift=0, mirror=ONE
        )
    return qnn.PiecewiseOp(
        name,
        knots,
        [4 * m for m in slopes],
        [2 * c - ONE for c in offsets],
        # The line is taken at 2|x|, so a slope of 4M there is 2M; the fraction grows by one.
        fraction=FRACTION + 1,
        input_shift=1,
        mirror=0,
    )
