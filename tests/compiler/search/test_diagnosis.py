"""What `inspect --errors` measures, against plain formulas and against the evaluator."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from programs import calibrated
from searches import labelled
from typer.testing import CliRunner

from mohaq.backends.reference import ReferenceBackend
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import save_dataset
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.search.diagnosis import Diagnosis, diagnose
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.tools.cli import app

BACKEND = ReferenceBackend()
TARGET = BACKEND.load_target("reference")
FER = get_metric("fer")


@pytest.fixture(scope="module")
def program() -> Program:
    return calibrated(1)


def measured(program: Program, bits: Callable[[Slot], int]) -> tuple[Diagnosis, dict[Slot, int]]:
    widths = {slot: bits(slot) for slot in calibrated_table(program).searched()}
    return diagnose(program, widths, BACKEND, TARGET, labelled(program), FER), widths


def test_noise_is_that_of_the_grids(program: Program) -> None:
    found, widths = measured(program, lambda slot: 4 if slot.slot == "weight" else 8)
    grids = calibrated_table(program).layer_grids(widths)
    first = next(iter(program.layers()))
    weight = program.parameters[first.weight.owner.symbol].astype(np.float64)  # type: ignore[attr-defined]
    values: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {
        "weight": weight,
        "input": np.concatenate(labelled(program).inputs).astype(np.float64),
    }
    reports = {r.slot: r for r in found.slots}
    for name, x in values.items():
        grid = grids[first.label].slots[name]
        q = np.clip(np.floor(x / grid.step + 0.5), grid.low, grid.high) * grid.step
        report = reports[Slot(first.label, name)]
        assert report.width == grid.bits
        assert report.clip == pytest.approx(grid.step * grid.high)
        assert report.sqnr == pytest.approx(10 * math.log10((x**2).sum() / ((x - q) ** 2).sum()))
        beyond = (x >= (grid.high + 0.5) * grid.step) | (x < (grid.low - 0.5) * grid.step)
        assert report.saturated == pytest.approx(beyond.mean())


def test_errors_are_the_evaluators(program: Program) -> None:
    found, widths = measured(program, lambda slot: 2 if slot.slot == "input" else 16)
    data = labelled(program)
    evaluator = Evaluator(program, BACKEND, TARGET, data, FER)
    wide = dict.fromkeys(widths, 16)
    assert found.base == evaluator.evaluate(wide).value
    assert found.assigned == evaluator.evaluate(widths).value
    outputs = [run_float(program, [x[:, None]])[0][:, 0] for x in data.inputs]
    wrong = sum(int((o.argmax(1) != y).sum()) for o, y in zip(outputs, data.labels, strict=True))
    assert found.full == pytest.approx(wrong / data.frames)
    for report in found.slots:
        if report.slot in widths:
            alone = {**wide, report.slot: widths[report.slot]}
            assert report.alone == evaluator.evaluate(alone).value
        else:
            assert report.alone is None
            assert report.width == 16
    named = [r.slot for r in found.slots]
    assert set(widths) <= set(named)
    assert len(set(named)) == len(named)


def test_progress_reaches_the_end(program: Program) -> None:
    seen: list[tuple[int, int]] = []
    widths = dict.fromkeys(calibrated_table(program).searched(), 8)
    data = labelled(program)
    diagnose(program, widths, BACKEND, TARGET, data, FER, progress=lambda a, b: seen.append((a, b)))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_the_command(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "net")
    save_dataset(labelled(program), tmp_path / "data.npz")
    runner = CliRunner()
    words = [
        "inspect", tmp_path / "net", "--errors", "-b", 4, "-d", tmp_path / "data.npz", "-n", 3,
        "--plot", tmp_path / "errors.html",
    ]  # fmt: skip
    result = runner.invoke(app, [str(w) for w in words])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "errors.html").read_text()
    for op in program.layers():
        assert f"{op.label}.weight" in result.output
        assert f"{op.label}.weight (4)" in page
    assert "3 utterances" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bits", "4"], "--bits needs --errors"),
        (["--errors"], "either --bits or --assignment"),
        (["--errors", "--bits", "4"], "needs --data"),
        (["--errors", "--bits", "40", "-d", "x.npz"], "2..16"),
        (["--errors", "--bits", "4", "-d", "x.npz"], "no data 'x.npz'"),
        (["--errors", "--bits", "4", "-d", "data.npz", "-m", "frr"], "fer"),
    ],
)
def test_bad_input(
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    program.save(tmp_path / "net")
    save_dataset(labelled(program), tmp_path / "data.npz")
    result = CliRunner().invoke(app, ["inspect", "net", *words, *(["--plot", "p.html"])])
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "p.html").exists()
