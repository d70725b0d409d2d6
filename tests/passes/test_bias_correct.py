"""bias-correct: means are right on the calibration data, nothing else moves, bad data are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from family import Drawn
from family import layers as drawn_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import calibrated, one_cell, one_sru, sequences, tensor

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.bias_correct import bias_correct
from mohaq.passes.calibrate import CalibrationSettings, calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

Frames = list[np.ndarray]


def at(program: Program, bits: int) -> Program:
    """With grids of the same width everywhere."""
    apply_assignment(program, dict.fromkeys(calibrated_table(program).searched(), bits))
    return program


def integer_outputs(program: Program, data: Frames) -> np.ndarray:
    """First result of the integer program, frames of all sequences below each other."""
    lowered = lower_to_qnn(program)
    before, after = argument_grids(lowered.entry)[0], result_grids(lowered.entry)[0]
    assert before is not None
    assert after is not None
    made = [run_integer(lowered, [quantize(x[:, None], before)])[0][:, 0] for x in data]
    return dequantize(np.concatenate(made), after)


def float_outputs(program: Program, data: Frames) -> np.ndarray:
    return np.concatenate([run_float(program, [x[:, None]])[0][:, 0] for x in data])


def stack(
    seed: int,
    *,
    bias: bool,
    granularity: str = "per-tensor",
    widths: tuple[int, ...] = (2, 3, 4, 8),
) -> tuple[Program, Frames]:
    """Two linear layers and frames whose mean is far from zero."""
    rng = np.random.default_rng(seed)
    net = Network()
    x = net.linear("a", net.sequence(5), tensor(rng, 6, 5), tensor(rng, 6) if bias else None)
    y = net.linear("b", x, tensor(rng, 3, 6), tensor(rng, 3) if bias else None)
    program = net.finish([y])
    data = [(rng.normal(size=(t, 5)) + 0.7).astype(np.float32) for t in (30, 50)]
    chosen = CalibrationSettings((*widths, 16), granularity=granularity)
    calibrate(program, [*data, 8 * data[0]], chosen)  # so that nothing is clamped at 16 bits
    return program, data


@given(
    st.integers(0, 1000),
    st.booleans(),
    st.sampled_from((2, 3, 4, 8)),
    st.sampled_from(("per-tensor", "per-channel")),
)
@settings(max_examples=25, deadline=None)
def test_the_mean_error_of_linear_layers_vanishes(
    seed: int, bias: bool, bits: int, granularity: str
) -> None:
    """On the calibration data, in the integers that run, up to the steps of bias and output."""
    program, data = stack(seed, bias=bias, granularity=granularity)
    expected = float_outputs(program, data).mean(axis=0)
    at(program, bits)
    before = np.abs(integer_outputs(program, data).mean(axis=0) - expected).max()
    done = bias_correct(program, data)
    after = np.abs(integer_outputs(program, data).mean(axis=0) - expected).max()
    assert [one.layer for one in done] == ["a", "b"]
    assert all(one.given is not bias and not one.why for one in done)
    peak = float(np.abs(float_outputs(program, data)).max())
    assert after <= 1e-3 * max(1.0, peak)
    assert after <= before + 1e-4


def test_only_biases_change_and_the_float_program_moves_by_them() -> None:
    program, data = stack(1, bias=True)
    at(program, 3)
    old = {name: array.copy() for name, array in program.parameters.items()}
    text = program.text()
    done = bias_correct(program, data)
    new = program.parameters
    assert set(old) - set(new) == {"a.bias", "b.bias"}
    assert set(new) - set(old) == {"a.bias.corrected", "b.bias.corrected"}
    for one in done:
        moved = old[f"{one.layer}.bias"] - new[f"{one.layer}.bias.corrected"]
        np.testing.assert_allclose(moved, one.shift, atol=1e-6)
    for op in program.layers():
        assert op.quant is not None
    assert text != program.text()
    assert "bias_corrected" in program.text()


def test_a_second_run_is_refused() -> None:
    """The float program has moved, so the same mean would be taken off twice."""
    program, data = stack(2, bias=True)
    at(program, 2)
    bias_correct(program, data)
    before = program.text()
    with pytest.raises(MohaqError, match="corrected already"):
        bias_correct(program, data)
    assert program.text() == before


def test_layers_may_stay_without_a_bias() -> None:
    program, data = stack(3, bias=False)
    at(program, 2)
    text = program.text()
    done = bias_correct(program, data, add=False)
    assert program.text() == text
    assert [one.why for one in done] == ["it has no bias"] * 2
    assert all("mean shift up to" in one.line() for one in done)


def products(op: nn.LayerOp, program: Program, data: Frames, *, rounded: bool) -> np.ndarray:
    """Mean [D, G, H] of the products of a cell with its input, with its own bias where it has one."""
    weight = np.asarray(program.parameters["l0.weight"], np.float64)
    grids = op.quant.data if op.quant else {}
    source = argument_grids(program.entry)[0]
    total = np.zeros(weight.shape[:3])
    for one in data:
        x = one.astype(np.float64)
        if rounded:
            x = dequantize(quantize(x, source), source)  # type: ignore[arg-type]
            x = dequantize(quantize(x, grids["input"]), grids["input"])  # type: ignore[arg-type]
        w = dequantize(quantize(weight, grids["weight"]), grids["weight"]) if rounded else weight  # type: ignore[arg-type]
        for d in range(len(weight)):
            taps = [x]
            if weight.ndim == 5 and weight.shape[3] == 2:
                zero = np.zeros((1, x.shape[1]))
                reverse = isinstance(op, nn.RecurrentOp) and op.is_reverse(d)
                taps = [np.concatenate([x[1:], zero] if reverse else [zero, x[:-1]]), x]
            flat = w[d].reshape(*w.shape[1:3], -1)
            total[d] += np.einsum("ghi,ti->gh", flat, np.concatenate(taps, axis=1))
    return total / sum(map(len, data))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("lstm", {}),
        ("lstm", {"peephole": True, "projection": 2}),
        ("gru", {}),
        ("gru", {"reset_after": False}),
        ("rnn", {}),
        ("ligru", {}),
        ("qrnn", {"pooling": "fo", "window": 1}),
        ("qrnn", {"pooling": "ifo", "window": 2}),
        ("sru", {}),
        ("sru", {"skip": "projected"}),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_products_of_every_cell_keep_their_mean(
    kind: str, facts: dict[str, Any], direction: str, bias: bool
) -> None:
    if kind == "sru" and not bias:
        return  # it always has one
    if kind != "sru":
        facts = {**facts, "bias": bias}
    program = one_cell(kind, direction=direction, **facts)
    data = [x + np.float32(0.5) for x in sequences(features=4, lengths=(9, 6))]
    calibrate(program, data, CalibrationSettings((3, 16)))
    at(program, 3)
    old = program.parameters["l0.bias"].copy() if "l0.bias" in program.parameters else None
    (op,) = program.layers()
    wanted = products(op, program, data, rounded=False)
    found = products(op, program, data, rounded=True)
    (done,) = bias_correct(program, data)
    new = program.parameters["l0.bias.corrected"]
    assert done.given is (old is None)
    moved = new - (0 if old is None else old)
    rows = slice(1, 3) if kind == "sru" else slice(None)
    np.testing.assert_allclose(moved, (wanted - found)[:, rows], atol=2e-6)
    assert np.abs(moved).max() > 1e-3
    if kind == "sru":
        left = np.concatenate([(found - wanted)[:, :1].ravel(), (found - wanted)[:, 3:].ravel()])
        np.testing.assert_allclose(done.left, left, atol=2e-6)
        assert "without a bias keep" in done.line()
    integer_outputs(program, data)


def test_a_coupled_gate_has_no_rows_to_correct() -> None:
    program = one_cell("lstm", coupled=True)
    data = sequences(features=4)
    calibrate(program, data)
    at(program, 2)
    old = program.parameters["l0.bias"].copy()
    (done,) = bias_correct(program, data)
    assert not done.shift[:, 1].any()
    np.testing.assert_array_equal(program.parameters["l0.bias.corrected"][:, 1], old[:, 1])


@given(drawn_layers(device=True, stateless=True), st.sampled_from((2, 4)))
@settings(max_examples=25, deadline=None)
def test_any_layer_is_corrected_and_still_runs(drawn: Drawn, bits: int) -> None:
    program = drawn.program
    data = [np.ascontiguousarray(one) for one in drawn.inputs[0].transpose(1, 0, 2)]
    calibrate(program, data, CalibrationSettings((bits, 16)))
    at(program, bits)
    (done,) = bias_correct(program, data)
    assert not done.why
    program.verify()
    assert np.isfinite(integer_outputs(program, data)).all()


def test_later_layers_see_the_corrected_ones() -> None:
    """A layer corrected alone, and one behind corrected layers, get different biases."""
    program = calibrated()
    data = sequences(1)
    names = [layer.name for layer in calibrated_table(program).table]
    widths = dict.fromkeys(calibrated_table(program).searched(), 2)
    apply_assignment(program, widths)
    steps: list[tuple[int, int]] = []
    done = bias_correct(program, data, progress=lambda n, total: steps.append((n, total)))
    assert [one.layer for one in done] == names == ["l0", "pr1", "l1", "fc"]
    assert steps[-1] == (12, 12)  # the float run, and every layer that another one reads
    assert [one.given for one in done] == [False, True, False, False]
    other = calibrated()
    exact = {s: 16 if s.layer != "fc" else 2 for s in widths}
    apply_assignment(other, exact)
    (*_, alone) = bias_correct(other, data)
    assert np.abs(alone.shift - done[-1].shift).max() > 1e-2


def test_at_16_bits_almost_nothing_moves() -> None:
    program = at(calibrated(), 16)
    done = bias_correct(program, sequences(1))
    assert max(float(np.abs(one.shift).max()) for one in done) < 1e-3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "at least one sequence"),
        ([np.zeros(5)], r"is \[T, F\]"),
        ([np.full((3, 5), np.nan, np.float32)], "NaN"),
        ([np.full((3, 5), np.inf, np.float32)], "infinity"),
        ([np.full((3, 5), 1e38, np.float32)], "NaN or infinity"),
        ([np.zeros((3, 4), np.float32)], "does not fit"),
    ],
)
def test_unusable_data(data: Frames, message: str) -> None:
    program = at(calibrated(), 4)
    before = program.text()
    with pytest.raises(MohaqError, match=message):
        bias_correct(program, data)
    assert program.text() == before


def test_zeros_and_a_single_frame() -> None:
    """Zeros leave the biases of a first layer alone: there is nothing to round."""
    program, _ = stack(4, bias=True)
    at(program, 2)
    old = program.parameters["a.bias"].copy()
    done = bias_correct(program, [np.zeros((4, 5), np.float32)])
    assert not done[0].shift.any()
    np.testing.assert_array_equal(program.parameters["a.bias"], old)
    bias_correct(at(calibrated(), 2), [np.ones((1, 5), np.float32)])


def test_programs_that_are_not_ready() -> None:
    with pytest.raises(MohaqError, match="no grid"):
        bias_correct(calibrated(), sequences(1))
    program = one_sru()
    calibrate(program, sequences(features=4))
    apply_assignment(program, {Slot("l0", "weight"): 4, Slot("l0", "input"): 4})
    with pytest.raises(MohaqError, match="does not fit"):
        bias_correct(program, sequences(features=3))
