"""Arithmetic for simulators, against slow definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohaq.backends.arithmetic import clamp, lookup, pack, packed_size, requantize, unpack


@given(st.integers(2, 33), st.lists(st.integers(-(2**40), 2**40), max_size=9))
def test_packing(bits: int, values: list[int]) -> None:
    held = clamp(np.array(values, dtype=np.int64), bits)
    data = pack(held, bits)
    assert len(data) == packed_size(bits, held.shape) == math.ceil(len(values) * bits / 8)
    np.testing.assert_array_equal(unpack(data + b"more", bits, held.shape), held)
    if values:
        with pytest.raises(ValueError, match="hold no"):
            unpack(data[:-1], bits, held.shape)


@given(st.integers(-(2**31), 2**31), st.integers(1, 2**30), st.integers(0, 40))
def test_requantize(x: int, m: int, s: int) -> None:
    exact = math.floor(x * m / 2**s + 0.5) if s == 0 else (x * m + (1 << (s - 1))) >> s
    found = requantize(np.array([[x, 0]]), [m, 1], [s, 0], 16)
    assert found.tolist() == [[min(max(exact, -(2**15)), 2**15 - 1), 0]]


@given(st.integers(-(2**15), 2**15 - 1), st.integers(2, 8), st.booleans())
def test_lookup(x: int, k: int, lines: bool) -> None:
    points = np.random.default_rng(k).integers(-(2**15), 2**15, size=(1 << k) + lines)
    width = 2 ** (16 - k)
    segment, inside = divmod(x + 2**15, width)
    expected = int(points[segment])
    if lines:
        rise = int(points[segment + 1]) - expected
        expected += math.floor(rise * inside / width + 0.5)
    assert int(lookup(np.array([x]), points)[0]) == expected
