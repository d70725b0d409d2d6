"""Cells beyond SRU, LSTM and GRU, and relu: bits, and cost = estimate = counters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import one_cell, sequences
from silago_compiled import emitted, neutral_and_legal, random_inputs

from mohaq.backends.base import Options, Workload
from mohaq.backends.silago import BACKEND
from mohaq.backends.silago.dialect_phases import MatrixOp
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.passes.calibrate import calibrate

FURTHER: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn, relu": ("rnn", {"activations": ("relu",)}),
    "rnn, tanh, two directions": ("rnn", {"direction": "bidirectional"}),
    "gru, relu": ("gru", {"activations": ("sigmoid", "relu")}),
    "gru, relu, reset before": (
        "gru",
        {"activations": ("sigmoid", "relu"), "reset_after": False},
    ),
    "ligru, tanh": ("ligru", {"activations": ("sigmoid", "tanh")}),
    "ligru, relu": ("ligru", {}),
    "lstm, projection": ("lstm", {"projection": 2}),
    "lstm, relu": ("lstm", {"activations": ("sigmoid", "relu", "tanh")}),
    "sru, relu": ("sru", {"activation": "relu"}),
    "qrnn": ("qrnn", {}),
}


@pytest.mark.parametrize(
    ("name", "bits"), [("silago-mohaq", 4), ("silago-mohaq", 8), ("silago1-rtl", 16)]
)
@pytest.mark.parametrize("title", FURTHER)
def test_further_cells(title: str, name: str, bits: int, tmp_path: Path) -> None:
    """Bits of the legalized program, cost = estimate = counters, near to the neutral program."""
    kind, given = FURTHER[title]
    facts = dict(given)
    if "activations" in facts:
        facts["activations"] = [FunctionAttr.of(n) for n in facts["activations"]]
    # Recurrences of unbounded functions stay in their range with small weights only.
    program = one_cell(kind, hidden=5, gain=0.7, **facts)
    calibrate(program, sequences(features=4))
    legal, lowered = emitted(program, name, bits, tmp_path)
    target, load = BACKEND.load_target(name), Workload(4, 2)
    inputs = random_inputs(legal, 4, 2)
    run = BACKEND.simulate(tmp_path, inputs, Options())
    np.testing.assert_array_equal(run.outputs[0], run_integer(legal, inputs)[0])
    estimate = BACKEND.estimate(lowered, target, load, Options())
    assert run.measured == estimate
    table = calibrated_table(program).table
    space = BACKEND.space(table, target)
    genome = space.encode(dict.fromkeys(calibrated_table(program).searched(), bits))
    costs = BACKEND.cost_model(table, space, target).cost([genome], load, Options())
    assert costs["latency"][0] == estimate.total.latency
    assert costs["energy"][0] == estimate.total.joules
    assert costs["size"][0] == estimate.size_bytes
    assert not BACKEND.check_expected(tmp_path).differences
    a, b = neutral_and_legal(program, legal, name, bits)
    off = np.abs(a - b) / np.abs(a).max()
    assert off.mean() < 0.004


@pytest.mark.parametrize("scale", [1, 4])
def test_rows_of_a_relu_are_a_band_whatever_the_scales(scale: int, tmp_path: Path) -> None:
    """At scale 1 their shift is that of the gates by chance; the cost model cannot know."""
    program = one_cell(
        "gru", hidden=5, gain=0.7, activations=[FunctionAttr.of(f) for f in ("sigmoid", "relu")]
    )
    calibrate(program, [scale * x for x in sequences(features=4)])
    _, lowered = emitted(program, "silago-mohaq", 16, tmp_path)
    product = next(op for op in lowered.entry.walk() if isinstance(op, MatrixOp))
    assert (len(set(product.amounts())) == 1) == (scale == 1)
    assert [len(band.runs) for band in product.grouped()] == [2, 1]
    target, load = BACKEND.load_target("silago-mohaq"), Workload(3)
    table = calibrated_table(program).table
    space = BACKEND.space(table, target)
    genome = space.encode(dict.fromkeys(calibrated_table(program).searched(), 16))
    costs = BACKEND.cost_model(table, space, target).cost([genome], load, Options())
    assert costs["latency"] == [BACKEND.estimate(lowered, target, load, Options()).total.latency]
