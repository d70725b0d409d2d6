"""Layers exported in the form `qdq` come back with the grids that they had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import one_cell, sequences, tensor

import mohaq
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.driver.prepare import prepare
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import CalibrationSettings, calibrate

FEATURES = 4


def network(kind: str, direction: str) -> Program:
    if kind != "linear":
        return one_cell(kind, 0, direction=direction)
    rng = np.random.default_rng(0)
    net = Network()
    weight, bias = tensor(rng, 3, FEATURES), tensor(rng, 3)
    return net.finish([net.linear("l0", net.sequence(FEATURES), weight, bias)])


def integers(program: Program, op: LayerOp, slot: str, grid: Any) -> np.ndarray:
    data = program.parameters[getattr(op, slot).owner.symbol]
    steps = program.parameters[grid.rows] if grid.rows else None
    count = data.size // data.shape[-1] if steps is None else steps.size
    return quantize(data.reshape(count, -1), grid, steps)


@pytest.mark.parametrize("granularity", ["per-tensor", "per-channel"])
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        ("linear", "forward"),
        ("lstm", "bidirectional"),
        ("lstm", "forward"),
        ("gru", "reverse"),
        ("rnn", "bidirectional"),
    ],
)
def test_grids_come_back(kind: str, direction: str, bits: int, granularity: Any) -> None:
    program = network(kind, direction)
    calibrate(
        program, sequences(0, features=FEATURES), CalibrationSettings(granularity=granularity)
    )
    slots = calibrated_table(program).searched()
    apply_assignment(program, dict.fromkeys(slots, bits))
    model = program.to_onnx("qdq")
    if granularity == "per-channel" and direction == "bidirectional":
        with pytest.raises(MohaqError, match="weight W is not constant"):
            mohaq.load(model)  # a step for each row of each direction: no single axis
        return
    back = mohaq.load(model)
    x = sequences(1, features=FEATURES)[0][:, None]
    session = mohaq.onnx_session(model, threads=1)
    expected = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(run_float(back, [x])[0], expected[0], rtol=1e-5, atol=1e-5)
    prepare(back)
    (theirs,), (ours,) = program.layers(), back.layers()
    assert ours.name == theirs.name
    for slot in {"weight", "recurrent", "input"} & set(ours.SEARCHED_SLOTS):
        old, new = theirs.grid(slot), ours.given_grid(slot)
        assert old is not None
        assert new is not None, slot
        assert new.bits == bits
        if not old.rows:
            assert new.step == pytest.approx(old.step, rel=1e-6)
        if slot == "input":
            continue
        assert bool(new.rows) == (granularity == "per-channel")
        if old.rows:
            steps = program.parameters[old.rows], back.parameters[new.rows]
            np.testing.assert_allclose(*steps, rtol=1e-6)
        same = integers(program, theirs, slot, old) == integers(back, ours, slot, new)
        assert same.all()
