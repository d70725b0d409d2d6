"""The numbers of the quantizer against exact arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohaq.compiler.clips import ClipRule
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.quantizer import (
    dequantize,
    derive_multiplier,
    largest_magnitude,
    quantize,
)

widths = st.integers(2, 16)
positive = st.floats(1e-9, 1e9, allow_nan=False)


@given(widths, st.floats(1e-6, 1e6), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_quantize_is_nearest_point_of_the_grid(
    width: int, clip: float, values: list[float]
) -> None:
    grid = GridAttr.from_clip(width, clip)
    q = quantize(values, grid)
    assert q.min() >= -(2 ** (width - 1))
    assert q.max() <= 2 ** (width - 1) - 1
    inside = [(v, i) for v, i in zip(values, q, strict=True) if grid.low < i < grid.high]
    for value, integer in inside:
        # Half a step, and the rounding of the division beside it.
        assert abs(value - integer * grid.step) <= grid.step * (0.5 + 1e-6)


def test_two_bits_have_four_levels() -> None:
    """MOHAQ's grid: two bits are -2, -1, 0, 1 (arXiv 2108.01192)."""
    grid = GridAttr.from_clip(2, 1.0)
    assert quantize([-9.0, -1.2, 0.4, 9.0], grid).tolist() == [-2, -1, 0, 1]


def test_halves_round_up() -> None:
    grid = GridAttr.of(8, 1.0)
    assert quantize([-1.5, -0.5, 0.5, 1.5], grid).tolist() == [-1, 0, 1, 2]


@given(widths, st.integers(-40000, 40000), st.floats(1e-3, 1e3))
def test_grid_points_survive_the_round_trip(width: int, integer: int, scale: float) -> None:
    grid = GridAttr.of(width, scale)
    inside = int(np.clip(integer, grid.low, grid.high))
    assert quantize(dequantize([inside], grid), grid).tolist() == [inside]


@given(positive, st.integers(2, 48), st.integers(4, 31))
def test_multiplier_is_the_closest_that_fits(ratio: float, bits: int, max_bits: int) -> None:
    limit = min(max_bits, 63 - bits)
    try:
        m, s = derive_multiplier(ratio, bits, max_bits=max_bits)
    except MohaqError:
        assert ratio >= 2**limit - 1
        return
    assert 1 <= m < 2**limit
    assert 0 <= s <= 62
    error = abs(Fraction(m, 1 << s) - Fraction(ratio))
    assert error <= Fraction(1, 1 << (s + 1)) or m == 1
    if s < 62:  # one more bit of shift would not fit
        assert math.floor(Fraction(ratio) * (1 << (s + 1)) + Fraction(1, 2)) >= 2**limit


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.inf, math.nan])
def test_bad_ratios_are_refused(ratio: float) -> None:
    with pytest.raises(MohaqError, match="positive and finite"):
        derive_multiplier(ratio, 16)


def test_a_hopeless_ratio_is_refused_with_its_value() -> None:
    with pytest.raises(MohaqError, match="too large"):
        derive_multiplier(1e30, 16)
    assert derive_multiplier(1e-30, 16) == (1, 62)


@given(st.integers(0, 2**32 - 1))
def test_mmse_clip_is_no_worse_than_the_full_range(seed: int) -> None:
    values = np.random.default_rng(seed).standard_t(3, size=4000)
    for width, clip in ClipRule("mmse").clips(values, (2, 3, 4, 8)).items():
        full = GridAttr.from_clip(width, largest_magnitude(values))
        chosen = GridAttr.from_clip(width, clip)

        def error(grid: GridAttr) -> float:
            return float(np.mean((dequantize(quantize(values, grid), grid) - values) ** 2))

        # The choice is made on a histogram, so allow its resolution.
        assert error(chosen) <= error(full) * 1.02 + 1e-12


def test_sixteen_bits_keep_the_whole_range() -> None:
    assert ClipRule("mmse").clips(np.array([0.25, -3.0]), (16,)) == {16: 3.0}


def test_constant_and_zero_tensors_have_a_usable_clip() -> None:
    assert all(c > 0 for c in ClipRule("mmse").clips(np.zeros(5), (2, 4, 8, 16)).values())
    assert all(c > 0 for c in ClipRule("mmse").clips(np.full(5, -2.0), (2, 4, 8, 16)).values())


@pytest.mark.parametrize("bad", [[math.nan], [math.inf], []])
def test_ranges_of_bad_values_are_refused(bad: list[float]) -> None:
    with pytest.raises(MohaqError):
        largest_magnitude(bad)


def test_quantizing_nan_is_refused() -> None:
    with pytest.raises(MohaqError, match="NaN"):
        quantize([math.nan], GridAttr.of(8, 1.0))
