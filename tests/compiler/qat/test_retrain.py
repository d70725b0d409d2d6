"""Retraining: the network computes what the integers do, learns, resumes, and refuses bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import calibrated, one_cell, sequences, speech_like, tensor
from searches import labelled

from mohaq.backends.reference import BACKEND
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.qat import RetrainOptions, retrain
from mohaq.compiler.qat.batches import Feeder
from mohaq.compiler.qat.checkpoint import STATE_FILE
from mohaq.compiler.qat.fake import ValueGrid, WeightGrid
from mohaq.compiler.qat.network import QuantizedNetwork
from mohaq.compiler.qat.slots import grids_of
from mohaq.compiler.qat.train import outputs_of
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import CalibrationSettings, calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("sru", {"skip": "projected"}),
    ("lstm", {}),
    ("lstm", {"peephole": True, "projection": 2}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
    ("rnn", {}),
    ("ligru", {}),
    ("qrnn", {"pooling": "ifo", "window": 2}),
]


def network(program: Program, bits: int) -> tuple[QuantizedNetwork, Feeder]:
    grids = grids_of(program, Assignment.uniform(bits), None)
    return QuantizedNetwork(program, grids), Feeder(program, grids.plan)


def frames(program: Program, seed: int, count: int) -> Dataset:
    return labelled(program, seed, lengths=tuple(8 + 3 * (i % 4) for i in range(count)))


@given(
    st.integers(2, 8),
    st.floats(0.01, 3.0),
    st.lists(st.floats(-4, 4), min_size=1, max_size=9),
)
def test_values_are_rounded_as_the_quantizer_rounds(
    bits: int, clip: float, values: list[float]
) -> None:
    """And the gradient passes where the value lies on the grid, not where it was clamped."""
    grid = GridAttr.from_clip(bits, clip)
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    y = ValueGrid(grid)(x)
    np.testing.assert_array_equal(y.detach().numpy(), dequantize(quantize(values, grid), grid))
    y.sum().backward()
    whole = np.floor(np.array(values) / grid.step + 0.5)
    assert x.grad is not None
    assert x.grad.tolist() == [float(grid.low <= q <= grid.high) for q in whole]


@pytest.mark.parametrize("rows", [False, True])
def test_weights_are_rounded_to_the_integers_of_the_compiler(rows: bool) -> None:
    rng = np.random.default_rng(0)
    weight = tensor(rng, 2, 3, 4, 5)
    steps = np.abs(rng.normal(size=24)).astype(np.float32) + 0.1 if rows else None
    grid = GridAttr.of(3, 0.11, rows="steps" if rows else "")
    made = WeightGrid(grid, weight.shape, steps)(torch.from_numpy(weight)).numpy()
    flat = weight.reshape(24, 5)
    whole = quantize(flat, grid, steps)
    step = 0.11 if steps is None else steps.astype(np.float64)[:, None]
    np.testing.assert_array_equal(made.reshape(24, 5), (whole * step).astype(np.float32))


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize(("kind", "facts"), KINDS)
def test_the_network_is_close_to_the_integers(
    kind: str, facts: dict[str, Any], direction: str
) -> None:
    """Nearer to the integer program than the float program is, by far."""
    program = one_cell(kind, direction=direction, **facts)
    data = sequences(features=4, lengths=(9, 9, 9))
    calibrate(program, data, CalibrationSettings((4, 16)))
    made, feeder = network(program, 4)
    batch = Dataset(tuple(data))
    found = np.concatenate(outputs_of(made, feeder, batch, 3))
    annotated = program.clone()
    apply_assignment(annotated, dict.fromkeys(calibrated_table(annotated).searched(), 4))
    lowered = lower_to_qnn(annotated)
    before, after = argument_grids(lowered.entry)[0], result_grids(lowered.entry)[0]
    assert before is not None
    assert after is not None
    whole = [run_integer(lowered, [quantize(x[:, None], before)])[0][:, 0] for x in data]
    integers = dequantize(np.concatenate(whole), after)
    exact = np.concatenate([run_float(program, [x[:, None]])[0][:, 0] for x in data])
    near = float(np.sqrt(np.mean((found - integers) ** 2)))
    far = float(np.sqrt(np.mean((exact - integers) ** 2)))
    assert near < far / 3  # a value on the edge of two steps may fall either way
    assert far > 1e-3


def test_padding_is_not_seen() -> None:
    """Sequences of different lengths in one batch give what each gives alone."""
    for program in (speech_like(), one_cell("gru", inputs=5, direction="bidirectional")):
        calibrate(program, sequences())
        data = Dataset(tuple(sequences(lengths=(5, 11, 2))))
        made, feeder = network(program, 4)
        assert feeder.padded
        together = outputs_of(made, feeder, data, 3)
        alone = outputs_of(made, feeder, data, 1)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_shadow_weights_stay_between_the_ends_of_their_grids() -> None:
    made, _ = network(calibrated(), 2)
    with torch.no_grad():
        for shadow in made.shadows:
            shadow.mul_(50.0)
    made.clamp()
    grids = grids_of(calibrated(), Assignment.uniform(2), None).layers
    for symbol, values in made.values().items():
        layer, slot = symbol.split(".")
        if slot == "weight":
            grid = grids[layer].slots["weight"]
            assert values.min() >= np.float32(grid.step * grid.low)
            assert values.max() <= np.float32(grid.step * grid.high)


def test_retraining_wins_back_error_in_the_integers() -> None:
    """The integer program with new weights is better than with the old ones, on other data, too."""
    program = calibrated()
    before = program.content_hash()
    data, validation, test = (frames(program, seed, n) for seed, n in ((1, 40), (2, 12), (3, 20)))
    chosen = Assignment.uniform(2)
    seen: list[int] = []
    done = retrain(
        program,
        chosen,
        data,
        validation,
        options=RetrainOptions(epochs=6, rate=2e-2, threads=1),
        report=lambda epoch, _, __: seen.append(epoch),
    )
    assert program.content_hash() == before
    assert seen == list(range(7))
    assert done.after < done.before
    assert done.after == min(r["validation"] for r in done.record["curve"])
    machine = BACKEND.load_target("reference")
    metric = get_metric("fer")
    errors = [
        Evaluator(p, BACKEND, machine, test, metric).evaluate(done.assignment.widths).value
        for p in (program, done.program)
    ]
    assert errors[1] < errors[0]
    machine_error = Evaluator(done.program, BACKEND, machine, validation, metric)
    exact = machine_error.evaluate(done.assignment.widths).value
    assert exact == pytest.approx(done.after, abs=0.08)  # few frames, sums of gates not modelled


def test_a_clip_that_was_trained_for_stays() -> None:
    program = calibrated()
    data = frames(program, 1, 10)
    options = RetrainOptions(epochs=2, rate=2e-2, threads=1)
    done = retrain(program, Assignment.uniform(2), data, data, options=options)
    old, new = (calibrated_table(p).clips for p in (program, done.program))
    for slot in calibrated_table(program).searched():
        assert new[slot.layer][slot.slot][2] == old[slot.layer][slot.slot][2]
    assert any(
        new[s.layer][s.slot][8] != old[s.layer][s.slot][8]
        for s in calibrated_table(program).searched()
    )


def test_nothing_is_lost_when_no_epoch_helps() -> None:
    program = calibrated()
    data = labelled(program, 1)
    perfect = Dataset(
        data.inputs,
        tuple(o.argmax(axis=1) for o in outputs_of(*network(program, 16), data, 4)),
        label_kind="frame",
    )
    options = RetrainOptions(epochs=3, patience=1, rate=1e-6, threads=1)
    done = retrain(program, Assignment.uniform(16), perfect, perfect, options=options)
    assert done.best_epoch == 0
    assert done.before == done.after == 0.0
    assert len(done.record["curve"]) == 2  # patience
    assert done.program.content_hash() == program.content_hash()


class Stop(Exception):
    """In the middle of a training."""


def test_an_interrupted_retraining_ends_as_one_that_was_not(tmp_path: Path) -> None:
    program = calibrated()
    data, validation = frames(program, 1, 8), frames(program, 2, 4)
    chosen, options = Assignment.uniform(2), RetrainOptions(epochs=4, rate=1e-2, threads=1)
    whole = retrain(program, chosen, data, validation, options=options)

    def stop(epoch: int, _: int, __: dict[str, float]) -> None:
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        retrain(
            program, chosen, data, validation, options=options, checkpoints=tmp_path, report=stop
        )
    assert (tmp_path / STATE_FILE).exists()
    assert not list(tmp_path.glob("*.pt"))
    seen: list[int] = []
    again = retrain(
        program,
        chosen,
        data,
        validation,
        options=options,
        checkpoints=tmp_path,
        report=lambda epoch, _, __: seen.append(epoch),
    )
    assert seen == [3, 4]
    assert again.record == whole.record
    assert again.program.content_hash() == whole.program.content_hash()
    with pytest.raises(MohaqError, match="another recipe"):
        retrain(program, Assignment.uniform(4), data, validation, checkpoints=tmp_path)
    for arrays in tmp_path.glob("*.safetensors"):
        arrays.write_bytes(b"\0" * 20)
    with pytest.raises(MohaqError, match="damaged"):
        retrain(program, chosen, data, validation, options=options, checkpoints=tmp_path)


def test_labels_and_widths_that_do_not_fit() -> None:
    program = calibrated()
    data = frames(program, 1, 4)
    bare = Dataset(data.inputs)
    with pytest.raises(MohaqError, match="label"):
        retrain(program, Assignment.uniform(2), bare, data)
    with pytest.raises(MohaqError, match="label"):
        retrain(program, Assignment.uniform(2), data, bare)
    with pytest.raises(MohaqError, match="not calibrated for 3 bits"):
        retrain(program, Assignment.uniform(3), data, data)
    with pytest.raises(MohaqError, match="no calibration"):
        retrain(speech_like(), Assignment.uniform(2), data, data)
    wrong = Dataset(data.inputs, tuple(y + 3 for y in data.labels), label_kind="frame")
    with pytest.raises(MohaqError, match="no class of the program"):
        retrain(program, Assignment.uniform(2), wrong, data)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"rate": 0.0}, "positive"),
        ({"rate": float("inf")}, "positive"),
        ({"loss": "hinge"}, "unknown loss"),
        ({"part": "half"}, "unknown part"),
        ({"seed": -1}, "not negative"),
    ],
)
def test_options_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        RetrainOptions(**given)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([k for k in KINDS if k[0] != "sru"]), st.integers(0, 100))
def test_every_cell_learns(kind: tuple[str, dict[str, Any]], seed: int) -> None:
    """Gradients reach all weights of a cell, recurrent ones as well."""
    program = one_cell(kind[0], seed, inputs=5, **kind[1])
    calibrate(program, sequences(seed), CalibrationSettings((4, 16)))
    made, feeder = network(program, 4)
    data = Dataset(tuple(sequences(seed, lengths=(6, 6))))
    (chunk,) = feeder.chunks(data, np.arange(2))
    made(*feeder.arguments(chunk), lengths=chunk.lengths)[0].square().sum().backward()
    for symbol, shadow in zip(made.symbols, made.shadows, strict=True):
        assert shadow.grad is not None, symbol
        assert torch.isfinite(shadow.grad).all()
        assert shadow.grad.abs().sum() > 0, symbol
