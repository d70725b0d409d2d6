"""Calibration: clips of every slot, and data that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
from programs import one_sru, sequences, speech_like

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


def test_settings_are_checked() -> None:
    with pytest.raises(MohaqError, match="unknown clip method"):
        CalibrationSettings(method="magic")
    with pytest.raises(MohaqError, match="widths must be"):
        CalibrationSettings(widths=(1,))
