"""Products from 2-bit bricks equal integer products; accumulators do not wrap."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from mohaq.backends.bitfusion.machine import Machine, load_target, machine_of
from mohaq.backends.bitfusion.simulator.array import accumulate, brick_products
from mohaq.compiler.diagnostics import MohaqError

PAIRS = list(itertools.product((2, 4, 8), (2, 4, 8), (False, True), (False, True)))


def small(rows: int, columns: int) -> Machine:
    constants = dict(machine_of(load_target("bitfusion-e")).constants)
    return Machine({**constants, "array_rows": rows, "array_columns": columns})


def operands(
    rng: np.random.Generator, shape: tuple[int, int], bits: int, *, signed: bool
) -> npt.NDArray[np.int64]:
    low = -(1 << (bits - 1)) if signed else 0
    return rng.integers(low, low + (1 << bits), shape)


@pytest.mark.parametrize(("a", "w", "a_signed", "w_signed"), PAIRS)
@pytest.mark.parametrize("shape", [(2, 2), (3, 5)])
def test_bricks_equal_integer_products(
    a: int, w: int, a_signed: bool, w_signed: bool, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(a * 100 + w)
    machine = small(*shape)
    x = operands(rng, (4, 37), a, signed=a_signed)
    y = operands(rng, (7, 37), w, signed=w_signed)
    start = rng.integers(-1000, 1000, (4, 7))
    kinds = (a, a_signed), (w, w_signed)
    np.testing.assert_array_equal(brick_products(x, y, *kinds), x @ y.T)
    for bricks in (False, True):
        got = accumulate(start, x, y, *kinds, machine, bricks=bricks)
        np.testing.assert_array_equal(got, start + x @ y.T)


@pytest.mark.parametrize(("a", "w", "a_signed", "w_signed"), PAIRS)
def test_every_single_product(a: int, w: int, a_signed: bool, w_signed: bool) -> None:
    step = 5 if a == w == 8 else 1
    x = np.arange(-(1 << (a - 1)) if a_signed else 0, (1 << (a - 1)) if a_signed else 1 << a, step)
    y = np.arange(-(1 << (w - 1)) if w_signed else 0, (1 << (w - 1)) if w_signed else 1 << w)
    got = brick_products(x[:, None], y[:, None], (a, a_signed), (w, w_signed))
    np.testing.assert_array_equal(got, np.outer(x, y))


@pytest.mark.parametrize("bricks", [False, True])
def test_an_accumulator_that_leaves_32_bits_raises(bricks: bool) -> None:
    x = np.full((1, 8), 127)
    y = np.full((1, 8), 127)
    start = np.array([[(1 << 31) - 1 - 127 * 127 * 8]])
    machine = small(2, 2)
    kinds = (8, True), (8, True)
    assert accumulate(start, x, y, *kinds, machine, bricks=bricks)[0, 0] == (1 << 31) - 1
    with pytest.raises(MohaqError, match="overflows 32 bits"):
        accumulate(start + 1, x, y, *kinds, machine, bricks=bricks)
