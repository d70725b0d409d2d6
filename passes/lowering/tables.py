"""Function tables as constants of the program (DESIGN D5)."""

from __future__ import annotations

import math

from mohaq.compiler.dialects.qnn.elementwise import TABLE_SIZE

SIGMOID = "sigmoid"

ONE = 1 << 15
"""1.0 of the table results (Q0.15); the largest result is 32767."""


def sigmoid_points() -> list[int]:
    """sigmoid at -16, -15.875, ..., 16 (inputs Q4.11), rounded half up to Q0.15.

    With linear interpolation the error against sigmoid is below 2.2e-4, of which (1/8)^2 / 8
    times max|sigmoid''| = 1.9e-4 is the interpolation's.
    """
    step = 16.0 / ((TABLE_SIZE - 1) / 2)
    return [
        min(ONE - 1, math.floor(ONE / (1.0 + math.exp(16.0 - i * step)) + 0.5))
        for i in range(TABLE_SIZE)
    ]
