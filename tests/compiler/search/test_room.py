"""Candidates that do not fit a target's memory are violations; a model that never fits is an error."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import one_cell, sequences, tensor
from searches import labelled

import mohaq.backends
from mohaq.backends.base import NoRoom
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.compiler.search.search import search
from mohaq.passes.calibrate import calibrate

SMALL: dict[str, Any] = {"generations": 4, "population": 8, "offspring": 4}


def resized(folder: Path, backend: str, name: str, **changes: int) -> Path:
    """A shipped target with other constants."""
    shipped = Path(mohaq.backends.__path__[0]) / backend / "targets" / f"{name}.toml"
    text = shipped.read_text()
    for key, value in changes.items():
        old = tomllib.loads(text)["constants"][key]["value"]
        text = text.replace(
            f"[constants.{key}]\nvalue = {old}\n", f"[constants.{key}]\nvalue = {value}\n"
        )
        assert tomllib.loads(text)["constants"][key]["value"] == value
    path = folder / "small.toml"
    path.write_text(text)
    return path


def lstm() -> Program:
    program = one_cell("lstm", inputs=5)
    calibrate(program, sequences(1))
    return program


def linear(outputs: int) -> Program:
    net = Network()
    weight = tensor(np.random.default_rng(0), outputs, 5)
    program = net.finish([net.linear("fc", net.sequence(5), weight)])
    calibrate(program, sequences(1))
    return program


def bitfusion(folder: Path, room: int) -> tuple[Program, Path]:
    return lstm(), resized(folder, "bitfusion", "bitfusion-e", ibuf_bytes=room)


def epiphany(folder: Path, outputs: int) -> tuple[Program, Path]:
    one_core = resized(folder, "epiphany", "epiphany-e16", rows=1, columns=1)
    return linear(outputs), one_core


# In 48 bytes of IBUF operands of 16 bits fit and narrower copies beside them do not; on one core
# of an Epiphany the sums of 16 x 16 bits are too wide for 500 outputs.
CASES = [pytest.param(bitfusion, 48, id="bitfusion"), pytest.param(epiphany, 500, id="epiphany")]


@pytest.mark.parametrize(("made", "size"), CASES)
def test_what_does_not_fit_is_a_violation(made: Any, size: int, tmp_path: Path) -> None:
    program, target = made(tmp_path, size)
    data = labelled(program, lengths=(9, 4))
    result = search(program, target=target, data=data, out=tmp_path / "run", **SMALL)
    unfit = [p for p in result.evaluated if p.failure]
    fits = [p for p in result.evaluated if not p.failure]
    assert unfit
    assert fits
    assert result.front
    for point in unfit:
        assert point.failure is not None
        assert "fit" in point.failure or "needs" in point.failure
        assert point.failure.startswith("illegal: ")
        assert 0 < point.violation <= 100
        assert not point.objectives
    assert all(set(p.objectives) >= {"error", "latency", "size"} for p in fits)
    front = (tmp_path / "run" / "front.json").read_bytes()
    search(program, target=target, data=data, out=tmp_path / "run", **SMALL)
    assert (tmp_path / "run" / "front.json").read_bytes() == front


def test_what_is_missing_is_graded(tmp_path: Path) -> None:
    """Wider operands miss more, so that a search finds its way to those that fit."""
    program, target = bitfusion(tmp_path, 48)
    data = labelled(program, lengths=(9, 4))
    result = search(
        program,
        target=target,
        data=data,
        out=tmp_path / "run",
        algorithm="exhaustive",
        objectives=("latency", "size"),
    )
    missing = {p.violation for p in result.evaluated if p.failure}
    assert missing == {0.03125, 0.0625, 0.125}


@pytest.mark.parametrize(
    ("made", "size", "message"),
    [(bitfusion, 8, "does not fit|fits the target's"), (epiphany, 3000, "needs .* bytes")],
)
def test_a_model_that_never_fits_is_an_error(
    made: Any, size: int, message: str, tmp_path: Path
) -> None:
    program, target = made(tmp_path, size)
    data = labelled(program, lengths=(9, 4))
    with pytest.raises(MohaqError, match=message):
        search(program, target=target, data=data, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "front.json").exists()


def test_the_front_file_says_why(tmp_path: Path) -> None:
    program, target = epiphany(tmp_path, 500)
    data = labelled(program, lengths=(9, 4))
    search(program, target=target, data=data, out=tmp_path / "run", **SMALL)
    found = json.loads((tmp_path / "run" / "front.json").read_text())
    widest = next(r for r in found["reference"] if r["name"] == "uniform 16")
    assert not widest["feasible"]
    assert widest["objectives"] == {}
    assert all(np.isfinite(v) for v in found["hypervolume_reference"].values())


def test_an_excess_of_nothing_known() -> None:
    assert NoRoom("it does not fit").excess is None
