"""Targets with and without a clock: seconds or cycles, in every place that shows a latency."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import calibrated
from searches import labelled
from typer.testing import CliRunner

import mohaq
from mohaq.backends.base import Costs
from mohaq.backends.bitfusion import BACKEND as BITFUSION
from mohaq.backends.silago import BACKEND as SILAGO
from mohaq.compiler.search.search import search
from mohaq.tools.cli import app
from mohaq.tools.console import objective_text
from mohaq.tools.front import print_front
from mohaq.tools.report.load import load_report


def clocked(folder: Path) -> Path:
    """silago-mohaq with 100 MHz."""
    target = SILAGO.load_target("silago-mohaq")
    assert target.path is not None
    text = target.path.read_text()
    at = text.index("[constants.clock]")
    made = text[:at] + text[at:].replace("value = 0", "value = 1e8", 1)
    assert made != text
    path = folder / "clocked.toml"
    path.write_text(made)
    return path


def test_units_of_targets(tmp_path: Path) -> None:
    assert SILAGO.latency_unit(SILAGO.load_target("silago-mohaq")) == "cycles"
    assert SILAGO.latency_unit(SILAGO.load_target(str(clocked(tmp_path)))) == "s"
    assert BITFUSION.latency_unit(BITFUSION.load_target("bitfusion-e")) == "s"
    assert (Costs(7, None, 0.0).latency, Costs(7, 0.5, 0.0).latency) == (7.0, 0.5)


def test_a_front_without_a_clock_is_in_cycles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = calibrated()
    found = search(
        program,
        target="silago-mohaq",
        data=labelled(program, 3),
        out=tmp_path / "run",
        objectives=("latency", "size"),
        generations=2,
        population=4,
        offspring=4,
    )
    data = json.loads((tmp_path / "run/front.json").read_text())
    assert data["objectives"][0] == {"name": "latency", "unit": "cycles", "direction": "min"}
    latency = found.front[0].objectives["latency"]
    assert latency == int(latency) > 1000
    shown = load_report(tmp_path / "run").payload()
    assert shown["objectives"][0]["unit"] == "cycles"
    assert shown["front"][0]["values"][0] == latency
    print_front(found)
    assert f"{latency:,.0f} cycles" in capsys.readouterr().out


def test_compiled_folders(tmp_path: Path) -> None:
    for name, target in (("a", "silago-mohaq"), ("b", str(clocked(tmp_path)))):
        made = mohaq.compile(calibrated(), target, mohaq.Assignment.uniform(8), tmp_path / name)
        total = json.loads((tmp_path / name / "estimate.json").read_text())["total"]
        seconds = None if name == "a" else pytest.approx(total["cycles"] / 1e8)
        assert total["seconds"] == seconds
        assert ("cycles" in repr(made)) == (name == "a")
        done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["inspect", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert ("no clock" in done.output) == (name == "a")


def test_texts() -> None:
    assert objective_text("latency", 1234567.0, "cycles") == "1,234,567 cycles"
    assert objective_text("latency", 0.00123) == "1.23 ms"
