"""More bits, less error: in expectation over networks and data, for every cell and method."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import one_cell, sequences

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.clips import METHODS
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import CalibrationSettings, calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

WIDTHS = (2, 4, 6, 8, 16)

FORMS: dict[str, dict[str, Any]] = {
    "sru": {"skip": "projected"},
    "lstm": {"projection": 2, "peephole": True},
    "gru": {},
    "rnn": {},
    "ligru": {},
    "qrnn": {"window": 2},
}


def errors(kind: str, seed: int, chosen: CalibrationSettings) -> list[float]:
    """Mean squared error of the integers as a share of the float program's mean square, by width.

    Recurrences without bounds (Li-GRU) may grow: only shares can be compared.
    """
    program = one_cell(kind, seed, direction="bidirectional", gain=1.0, **FORMS[kind])
    x = sequences(seed + 500, features=4, lengths=(12,))[0]
    calibrate(program, [x], chosen)
    expected = run_float(program, [x[:, None]])[0]
    found = []
    for bits in WIDTHS:
        made = program.clone()
        apply_assignment(made, dict.fromkeys(calibrated_table(made).searched(), bits))
        lowered = lower_to_qnn(made)
        before, after = argument_grids(lowered.entry)[0], result_grids(lowered.entry)[0]
        assert before is not None
        assert after is not None
        real = dequantize(run_integer(lowered, [quantize(x[:, None], before)])[0], after)
        found.append(float(np.mean((real - expected) ** 2) / np.mean(expected**2)))
    return found


def means(kind: str, first: int, chosen: CalibrationSettings, networks: int) -> list[float]:
    """Over so many networks."""
    found = [errors(kind, first + n, chosen) for n in range(networks)]
    return [float(m) for m in np.mean(found, axis=0)]


@pytest.mark.parametrize("kind", FORMS)
def test_the_error_falls_with_the_width(kind: str) -> None:
    made = means(kind, 0, CalibrationSettings(WIDTHS), 4)
    assert all(wide < narrow / 2 for narrow, wide in pairwise(made))
    assert made[-1] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMS)
@settings(max_examples=8, deadline=None)
@given(
    first=st.integers(0, 10_000),
    method=st.sampled_from(METHODS),
    granularity=st.sampled_from(("per-tensor", "per-channel")),
)
def test_any_networks_any_method(kind: str, first: int, method: str, granularity: str) -> None:
    """Methods that do not aim at the error itself are held to the ends only."""
    made = means(kind, first, CalibrationSettings(WIDTHS, method, granularity, over="max"), 8)
    if method in {"mmse", "minmax"}:
        assert all(wide < narrow for narrow, wide in pairwise(made))
    assert made[-1] < 1e-5
    assert made[0] > 100 * made[-1]
