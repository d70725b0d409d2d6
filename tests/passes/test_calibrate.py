"""Calibration: clips of every slot, and data that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
from programs import one_cell, one_sru, sequences, speech_like

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.passes.calibrate import CalibrationSettings, calibrate


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
    with pytest.raises(MohaqError, match="widths must be"):
        CalibrationSettings(widths=(1,))
