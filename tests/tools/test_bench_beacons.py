"""The bench of beacons, on a tiny network."""

from __future__ import annotations

from pathlib import Path

import pytest
from beacon_here import train_here
from programs import calibrated
from searches import labelled

from mohaq.compiler.qat import RetrainOptions
from mohaq.compiler.search.beacon_settings import BeaconSearch, BeaconSettings
from mohaq.tools.bench.beacons import measure, show, summary


def test_both_searches_are_compared_at_equal_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_here(monkeypatch)
    program = calibrated(7)
    retrain = RetrainOptions(epochs=8, batch=4, rate=3e-3, threads=1)
    given = BeaconSearch(
        labelled(program, 21, lengths=tuple(8 + i % 9 for i in range(24))),
        labelled(program, 22, lengths=(12, 15, 9, 14, 11, 10)),
        BeaconSettings(3.0, (0.35, 0.9), most=2, retrain=retrain),
    )
    found = measure(
        program, "reference", labelled(program, lengths=(9, 1, 14, 6, 20)), labelled(program, 6),
        given, tmp_path, generations=2, marks=(2.0, 16.0), tell=lambda _: None,
    )  # fmt: skip
    assert found.beacons == 2
    assert found.candidates > 0
    assert found.won > 0
    assert [line.bits for line in found.lines] == [2.0, 16.0]
    assert all(line.beacon <= line.plain for line in found.lines)
    assert show(found).row_count == 2
    assert summary(found).startswith("2 retrainings")
