"""Products of bytes, sums in order and compiled scans have the bits of int64 arithmetic."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.compiler.interpreters.integer import saturating_product
from mohaq.compiler.search.frames import SaturatingMatmul
from mohaq.compiler.search.gemm import LONGEST, available, byte_weights, product

RANGES = ((-2, 1), (-128, 127), (0, 255), (-32768, 32767))


def drawn(rng: np.random.Generator, low: int, high: int, shape: tuple[int, int]) -> np.ndarray:
    """Whole numbers of a range, half of them at its ends."""
    ends = rng.choice([low, high], shape)
    return np.where(rng.random(shape) < 0.5, ends, rng.integers(low, high + 1, shape))


@given(
    seed=st.integers(0, 10_000),
    x_range=st.sampled_from(RANGES),
    w_range=st.sampled_from([r for r in RANGES if r[0] < 0]),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 300), st.integers(1, 40)),
)
@settings(max_examples=60, deadline=None)
def test_products(
    seed: int, x_range: tuple[int, int], w_range: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(seed)
    n, k, m = shape
    x, w = drawn(rng, *x_range, (n, k)), drawn(rng, *w_range, (m, k))
    held = byte_weights(w)
    assert (held is not None) == available()
    if held is not None:
        found = product(x.astype(np.int16), *x_range, held)
        np.testing.assert_array_equal(found, x @ w.T)


def test_what_bytes_cannot_hold_is_left_to_others() -> None:
    assert byte_weights(np.array([[1 << 15]])) is None
    assert byte_weights(np.array([[-(1 << 15) - 1]])) is None
    assert byte_weights(np.ones((1, LONGEST + 1), np.int64)) is None


@given(seed=st.integers(0, 10_000), loud=st.sampled_from([0.0, 0.1, 1.0]))
@settings(max_examples=30, deadline=None)
def test_sums_clamped_in_order(seed: int, loud: float) -> None:
    """Rows that never clamp, that clamp in few channels, and that clamp in most."""
    rng = np.random.default_rng(seed)
    x = drawn(rng, -32768, 32767, (6, 30))
    w = np.where(
        rng.random((20, 1)) < loud,
        drawn(rng, -32768, 32767, (20, 30)),
        rng.integers(-9, 10, (20, 30)),
    )
    columns = np.ascontiguousarray(w.T, dtype=np.float64)
    op = SaturatingMatmul(
        1,
        0,
        columns,
        np.abs(columns),
        w,
        w.T.astype(np.int32),
        -(1 << 31),
        (1 << 31) - 1,
    )
    values: list[np.ndarray | None] = [x.astype(np.int16), None]
    op.run(values, None)
    np.testing.assert_array_equal(values[1], saturating_product(x, w, 32))
