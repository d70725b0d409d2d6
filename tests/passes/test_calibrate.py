"""Calibration: clips of every slot, and data that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import one_cell, one_sru, sequences, speech_like

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.clips import METHODS, preset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import CalibrationSettings, calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn


def test_every_slot_has_a_clip_for_every_width() -> None:
    program = speech_like()
    done: list[tuple[int, int]] = []
    calibrate(program, sequences(), progress=lambda n, total: done.append((n, total)))
    assert done == [(1, 3), (2, 3), (3, 3)]
    table = calibrated_table(program)
    for slot in table.searched():
        assert set(table.clips[slot.layer][slot.slot]) == {2, 4, 8, 16}
    assert table.input_clips == {"l0": max(float(np.abs(s).max()) for s in sequences())}


def test_activation_clip_is_the_median_over_sequences() -> None:
    """MOHAQ's rule (facts: median per vector over the calibration sequences)."""
    program = one_sru(direction="forward")
    data = sequences(features=4, lengths=(30, 30, 30))
    data[2] = data[2] * 100
    settings = CalibrationSettings(widths=(8, 16), method="minmax")
    calibrate(program, data, settings)
    clips = calibrated_table(program).clips["l0"]["input"]
    tops = sorted(float(np.abs(s).max()) for s in data)
    assert clips[8] == pytest.approx(tops[1])
    assert clips[16] == pytest.approx(tops[2])


def test_state_clip_holds_states_and_candidates() -> None:
    program = one_sru(direction="forward")
    seen: list[float] = []
    data = sequences(features=4)
    for one in data:
        run_float(
            program,
            [one[:, None]],
            tracer=lambda _l, slot, v: seen.append(
                float(np.abs(v).max()) if slot == "state" else 0
            ),
        )
    calibrate(program, data)
    assert calibrated_table(program).clips["l0"]["state"][16] == pytest.approx(max(seen))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "at least one sequence"),
        ([np.zeros(5)], r"is \[T, F\]"),
        ([np.full((3, 5), np.nan)], "NaN"),
        ([np.zeros((0, 5))], "no values"),
        ([np.zeros((3, 4))], "does not fit"),
    ],
)
def test_unusable_data(data: list[np.ndarray], message: str) -> None:
    program = speech_like()
    before = program.text()
    with pytest.raises(MohaqError, match=message):
        calibrate(program, data)
    assert program.text() == before


def test_single_frame_and_extreme_ranges_work() -> None:
    for scale in (1e-30, 1.0, 1e30):
        program = one_sru(direction="forward")
        try:
            calibrate(program, [np.full((1, 4), scale, dtype=np.float32)])
        except MohaqError as error:
            assert "NaN or infinity" in str(error)  # noqa: PT017  the float program overflowed
            continue
        assert all(
            c > 0 for s in calibrated_table(program).clips["l0"].values() for c in s.values()
        )


def test_hidden_is_calibrated_like_an_input_and_recurrent_like_a_weight() -> None:
    """Per sequence over both directions, then the median; the peak at 16 bits."""
    program = one_cell("lstm", direction="bidirectional", peephole=True, projection=2)
    seen: dict[str, list[float]] = {"hidden": [], "state": [], "output": []}
    tops = []
    data = sequences(features=4, lengths=(20, 20, 20))
    for one in data:
        held: list[float] = []

        def watch(_: str, slot: str, v: np.ndarray, held: list[float] = held) -> None:
            if slot == "hidden":
                held.append(float(np.abs(v).max()))
            elif slot in seen:
                seen[slot].append(float(np.abs(v).max()))

        run_float(program, [one[:, None]], tracer=watch)
        assert len(held) == 2
        tops.append(max(held))
    calibrate(program, data, CalibrationSettings(widths=(8, 16), method="minmax"))
    clips = calibrated_table(program).clips["l0"]
    assert clips["hidden"][8] == pytest.approx(float(np.median(tops)))
    assert clips["hidden"][16] == pytest.approx(max(tops))
    for slot in ("state", "output"):
        assert clips[slot] == {16: pytest.approx(max(seen[slot]))}
    parameters = program.parameters
    for slot in ("weight", "recurrent"):
        top = float(np.abs(parameters[f"l0.{slot}"]).max())
        assert clips[slot] == {8: pytest.approx(top), 16: pytest.approx(top)}
    for slot in ("peephole", "projection"):
        assert clips[slot] == {16: pytest.approx(float(np.abs(parameters[f"l0.{slot}"]).max()))}


def test_zeros_leave_no_trace_in_a_clip() -> None:
    program = one_sru(direction="forward")
    data = sequences(features=4)
    calibrate(program, data)
    expected = calibrated_table(program)
    mixed = one_sru(direction="forward")
    calibrate(mixed, [*data, np.zeros((5, 4), dtype=np.float32)])
    found = calibrated_table(mixed)
    assert found.clips["l0"]["input"] == expected.clips["l0"]["input"]
    assert found.input_clips == expected.input_clips
    silent = one_sru(direction="forward")
    calibrate(silent, [np.zeros((5, 4), dtype=np.float32)])
    assert calibrated_table(silent).clips["l0"]["input"][16] == 1.0
    assert calibrated_table(silent).input_clips == {"l0": 1.0}


def test_settings_are_checked() -> None:
    with pytest.raises(MohaqError, match="unknown clip method"):
        CalibrationSettings(method="magic")
    with pytest.raises(MohaqError, match="unknown clip method"):
        CalibrationSettings(activation="magic")
    with pytest.raises(MohaqError, match="unknown clip method"):
        CalibrationSettings(weight="magic")
    with pytest.raises(MohaqError, match="is needed"):
        CalibrationSettings(method="")
    with pytest.raises(MohaqError, match="over sequences"):
        CalibrationSettings(over="mode")
    with pytest.raises(MohaqError, match="percentile"):
        CalibrationSettings(percentile=-1.0)
    for widths in ((1,), (17,), ()):
        with pytest.raises(MohaqError, match="widths must be"):
            CalibrationSettings(widths=widths)


@pytest.mark.parametrize("over", ["median", "max", "mean"])
def test_activation_clips_over_sequences(over: str) -> None:
    program = one_sru(direction="forward")
    data = sequences(features=4, lengths=(30, 31, 29))
    data[2] = data[2] * 100
    calibrate(program, data, CalibrationSettings((8, 16), "minmax", over=over))
    clips = calibrated_table(program).clips["l0"]
    tops = [float(np.abs(s).max()) for s in data]
    chosen = {"median": float(np.median(tops)), "max": max(tops), "mean": sum(tops) / 3}[over]
    assert clips["input"] == {8: pytest.approx(chosen), 16: pytest.approx(max(tops))}


def test_weights_and_activations_may_have_methods_of_their_own() -> None:
    def clips(method: str, **own: Any) -> dict[str, dict[int, float]]:
        program = one_cell("gru")
        calibrate(program, sequences(features=4), CalibrationSettings((2, 4), method, **own))
        held = calibrated_table(program).clips["l0"]
        return {slot: dict(held[slot]) for slot in ("weight", "recurrent", "input", "hidden")}

    mmse, aciq = clips("mmse"), clips("aciq")
    assert all(mmse[slot] != aciq[slot] for slot in mmse)
    mixed = clips("minmax", activation="aciq", weight="mmse")
    assert mixed == {
        **{slot: mmse[slot] for slot in ("weight", "recurrent")},
        **{slot: aciq[slot] for slot in ("input", "hidden")},
    }
    assert clips("mmse", activation="aciq") == mixed


def test_the_preset_is_mohaqs_scheme() -> None:
    assert preset("mohaq") == CalibrationSettings(
        (2, 4, 8, 16), "mmse", "per-tensor", over="median"
    )
    with pytest.raises(MohaqError, match="no calibration preset"):
        preset("mohawk")


@given(st.sampled_from(METHODS), st.lists(st.integers(2, 16), min_size=1, unique=True))
@settings(max_examples=25, deadline=None)
def test_any_widths_run_in_integers(method: str, widths: list[int]) -> None:
    """The emitted integers' errors stay within those of the steps."""
    program = one_cell("gru", hidden=3)
    data = sequences(features=4, lengths=(12, 9))
    calibrate(program, data, CalibrationSettings(tuple(widths), method, over="max"))
    expected = run_float(program, [data[0][:, None]])[0]
    apply_assignment(program, dict.fromkeys(calibrated_table(program).searched(), max(widths)))
    lowered = lower_to_qnn(program)
    (before,), (after,) = argument_grids(lowered.entry), result_grids(lowered.entry)
    assert before is not None
    assert after is not None
    (found,) = run_integer(lowered, [quantize(data[0][:, None], before)])
    error = float(np.abs(dequantize(found, after) - expected).max())
    exact = method in {"mmse", "minmax"} and max(widths) >= 6
    assert error <= (20 * 2.0 ** -max(widths) + 2e-3 if exact else 2.0)


@pytest.mark.parametrize(("data", "weight"), [(1e-30, 1e30), (1e-20, 1e15), (1e12, 1e-10)])
def test_operands_worlds_apart_are_refused(data: float, weight: float) -> None:
    """Values below 1e-8 count as nothing, which must not be where their product is something."""
    net = Network()
    y = net.linear("fc", net.sequence(2), np.full((3, 2), weight, dtype=np.float32))
    program = net.finish([y])
    with pytest.raises(MohaqError, match="scale the data or the weights"):
        calibrate(program, [np.full((4, 2), data, dtype=np.float32)])


@pytest.mark.parametrize(
    ("data", "weight"), [(1e-30, 1.0), (1.0, 1e-30), (1e-30, 1e-30), (1e15, 1e15), (1.0, 1e30)]
)
@pytest.mark.parametrize("bits", [4, 16])
def test_ranges_far_from_one(data: float, weight: float, bits: int) -> None:
    """Right to 1e-8 or to the steps of the clips, also beside a bias."""
    rng = np.random.default_rng(0)
    net = Network()
    w = (rng.normal(size=(3, 2)) * weight).astype(np.float32)
    y = net.linear("fc", net.sequence(2), w, np.array([1.0, -0.5, 0.0], dtype=np.float32))
    program = net.finish([y])
    x = (rng.normal(size=(6, 2)) * data).astype(np.float32)
    calibrate(program, [x])
    (expected,) = run_float(program, [x[:, None]])
    apply_assignment(program, dict.fromkeys(calibrated_table(program).searched(), bits))
    lowered = lower_to_qnn(program)
    (before,), (after,) = argument_grids(lowered.entry), result_grids(lowered.entry)
    assert before is not None
    assert after is not None
    (found,) = run_integer(lowered, [quantize(x[:, None], before)])
    scale = float(np.abs(expected).max())
    tolerance = 3 * 2.0**-bits * min(scale, data * weight * 4) + 2.0**-14 * scale + 1e-8
    np.testing.assert_allclose(dequantize(found, after), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, -2.5, 1e-30, 1e-45])
@pytest.mark.parametrize("frames", [1, 4])
def test_data_that_say_little(method: str, value: float, frames: int) -> None:
    """Zeros, constants, nearly nothing and a single frame, through to the integers."""
    program = speech_like()
    data = np.full((frames, 5), value, dtype=np.float32)
    calibrate(program, [data], CalibrationSettings((2, 5, 16), method))
    expected = run_float(program, [data[:, None]])[0]
    apply_assignment(program, dict.fromkeys(calibrated_table(program).searched(), 16))
    lowered = lower_to_qnn(program)
    (before,), (after,) = argument_grids(lowered.entry), result_grids(lowered.entry)
    assert before is not None
    assert after is not None
    (found,) = run_integer(lowered, [quantize(data[:, None], before)])
    np.testing.assert_allclose(dequantize(found, after), expected, atol=3e-3)


def test_what_overflows_is_named() -> None:
    program = speech_like()
    before = program.text()
    with pytest.raises(MohaqError, match=r"layer 'l0', \w+: the values hold NaN or infinity"):
        calibrate(program, [np.full((3, 5), 1e38, dtype=np.float32)])
    assert program.text() == before


def test_a_weight_without_a_range_leaves_the_program_alone() -> None:
    """Also the steps of rows of the layers before it."""
    program = speech_like()
    program.parameters["fc.bias"] = np.array([1.0, np.nan, 0.0], dtype=np.float32)
    before = program.text()
    with pytest.raises(MohaqError, match="'fc', output: the values hold NaN"):
        calibrate(program, sequences(), CalibrationSettings(granularity="per-channel"))
    assert program.text() == before
