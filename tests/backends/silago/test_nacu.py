"""Sigmoid and tanh of all 65,536 inputs against the measured sweep (by its hash)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from mohaq.backends.silago.simulator.nacu import sigmoid, table, tanh

MEASURED = {
    "sigmoid": "356041a2cb6b4e4cb772e1b6ce5afb9119c38ec25628037c43b9bb935d1329d1",
    "tanh": "dbdb028f336d6249ce7555d19cbd13440a89c63d04bf532a6193f0b62aa85530",
}
"""SHA-256 of the values at -32768 .. 32767 as little-endian 16-bit words, swept on the RTL."""


@pytest.mark.parametrize("function", MEASURED)
def test_every_input(function: str) -> None:
    words = table(function).astype("<i2").tobytes()
    assert hashlib.sha256(words).hexdigest() == MEASURED[function]


def test_points_that_the_facts_name() -> None:
    assert [sigmoid(x) for x in (0, 2048, -2048, 4096)] == [1024, 1498, 550, 1805]
    assert [tanh(x) for x in (2048, 1024, 16384, -16384)] == [1562, 948, 2048, -2048]


@pytest.mark.parametrize(("function", "exact", "error"), [
    ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), 0.0011), ("tanh", np.tanh, 0.0017),
])  # fmt: skip
def test_distance_from_the_exact_function(function: str, exact: Any, error: float) -> None:
    x = np.arange(-32768, 32768) / 2048
    assert np.abs(table(function) / 2048 - exact(x)).max() < error + 0.0001
