"""Numbers of the quantizer: float to grid, and dyadic multipliers (clips: `compiler/clips`).

This is the only place where real numbers become integers; everything after it is `qnn`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr

MAX_SHIFT = 62
MULTIPLIER_BITS = 31

SMALLEST_CLIP = 1e-8
"""Smaller values count as nothing: a clip is never below this."""


def quantize(
    values: npt.ArrayLike, grid: GridAttr, steps: npt.NDArray[Any] | None = None
) -> npt.NDArray[np.int64]:
    """Round half up to the grid and clamp: floor(x / scale + 1/2) + zero point.

    Args:
        values: any shape; rows [N, K] when every row has its own step.
        grid: of the result.
        steps: [N], for a grid of rows.

    Raises:
        MohaqError: NaN among the values.
    """
    real = np.asarray(values, dtype=np.float64)
    if np.isnan(real).any():
        raise MohaqError("cannot quantize NaN")
    if bool(grid.rows) != (steps is not None):
        raise ValueError("a grid of rows, and no other, needs their steps")
    step = grid.step if steps is None else np.asarray(steps, dtype=np.float64)[:, None]
    whole = np.floor(real / step + 0.5) + grid.zero
    clamped: npt.NDArray[np.int64] = np.clip(whole, grid.low, grid.high).astype(np.int64)
    return clamped


def dequantize(integers: npt.ArrayLike, grid: GridAttr) -> npt.NDArray[np.float64]:
    """(q - zero point) * scale."""
    whole = np.asarray(integers, dtype=np.float64)
    return (whole - grid.zero if grid.zero else whole) * grid.step


def derive_multiplier(
    ratio: float | Fraction, operand_bits: int, *, max_bits: int = MULTIPLIER_BITS
) -> tuple[int, int]:
    """(m, s) with m / 2^s closest to `ratio`: the one written algorithm (docs/semantics.md).

    m takes as many bits as fit: min(max_bits, 63 - operand_bits), so that the product stays
    within 63 bits. s is at most 62; m is at least 1.

    Args:
        ratio: scale of the operand divided by scale of the result.
        operand_bits: width of the operand as a signed integer.
        max_bits: largest width of m.

    Raises:
        MohaqError: the ratio is not positive and finite, or too large for the multiplier.
    """
    if not isinstance(ratio, Fraction):
        if not (math.isfinite(ratio) and ratio > 0):
            raise MohaqError(f"a scale ratio must be positive and finite, got {ratio}")
        ratio = Fraction(ratio)
    bits = min(max_bits, 63 - operand_bits)
    if bits < 1:
        raise MohaqError(f"no multiplier fits beside a {operand_bits}-bit operand")
    # Largest s with round(ratio * 2^s) < 2^bits, by exact integer arithmetic.
    exponent = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    shift = min(MAX_SHIFT, bits - exponent + 1)
    while shift >= 0:
        m = math.floor(ratio * (1 << shift) + Fraction(1, 2))
        if m < (1 << bits):
            return max(1, m), shift
        shift -= 1
    raise MohaqError(
        f"scale ratio {float(ratio):g} is too large for a {bits}-bit multiplier",
        hint="are two scales of the model many orders of magnitude apart?",
    )


def peak_magnitude(values: npt.ArrayLike) -> float:
    """max|x|.

    Raises:
        MohaqError: NaN or infinity, or nothing at all.
    """
    real = np.asarray(values, dtype=np.float64)
    if real.size == 0:
        raise MohaqError("cannot take the range of an empty tensor")
    top = float(np.abs(real).max())
    if not math.isfinite(top):
        raise MohaqError("the values hold NaN or infinity")
    return top


def largest_magnitude(values: npt.ArrayLike) -> float:
    """max|x| as a clip; 1 when all values are zero, which says nothing about their scale.

    Raises:
        MohaqError: NaN or infinity, or nothing at all.
    """
    top = peak_magnitude(values)
    return max(top, SMALLEST_CLIP) if top else 1.0
