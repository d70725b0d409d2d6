"""`mohaq train --from` and `bias-correct` on the command line: what they write, what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from programs import calibrated, sequences
from searches import labelled
from typer.testing import CliRunner, Result

from mohaq.compiler.assignment import Assignment
from mohaq.compiler.data import Dataset
from mohaq.compiler.program import Program
from mohaq.tools import opt
from mohaq.tools.cli import app

Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in a folder of its own that holds a calibrated program `net` and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOHAQ_TRACEBACK", raising=False)
    calibrated().save(Path("net"))
    write("data.npz", labelled(calibrated(), 1, lengths=(9, 7, 12, 8, 11, 9, 10, 6, 9, 12)))
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return lambda *words: runner.invoke(app, [str(word) for word in words])


def write(name: str, data: Dataset) -> str:
    arrays = {"labels": np.concatenate(data.labels)} if data.labels else {}
    inputs = np.concatenate(data.inputs)
    np.savez(name, inputs=inputs, lengths=data.lengths, **arrays)  # type: ignore[arg-type]
    return name


def refused(result: Result, *words: str) -> None:
    """Exit code 2, one message with all these words, nothing written."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert not Path("out").exists() or not list(Path("out").glob("*.mlir"))


def test_retraining_writes_a_program_that_compiles(cli: Cli) -> None:
    words = ("train", "--from", "net", "-d", "data.npz", "-o", "out", "--epochs", 3)
    done = cli(*words, "--bits", 2, "--rate", 0.02)
    assert done.exit_code == 0, done.output
    assert "before" in done.output
    made = Program.load(Path("out"))
    assert made.content_hash() != Program.load(Path("net")).content_hash()
    widths = Assignment.load(Path("out/assignment.json")).widths
    assert set(widths.values()) == {2}
    record = json.loads(Path("out/training_record.json").read_text())
    assert len(record["curve"]) == 4
    assert record["validation_integers"] is not None
    assert not Path("out/checkpoints").exists()
    target = ("-t", "reference", "-a", "out/assignment.json", "-o", "compiled")
    assert cli("compile", "out", *target).exit_code == 0
    ran = cli("run", "compiled", "-d", "data.npz")
    assert ran.exit_code == 0, ran.output
    assert "bit-exact on 5 of 5 sequences" in ran.output


def test_retraining_for_an_assignment(cli: Cli) -> None:
    slots = {"l0": {"weight": 4}, "fc": {"input": 8}}
    text = json.dumps({"schema": "mohaq.assignment/1", "default": 2, "slots": slots})
    Path("mixed.json").write_text(text)
    words = ("train", "--from", "net", "-d", "data.npz", "-o", "out", "--epochs", 1)
    done = cli(*words, "--assignment", "mixed.json")
    assert done.exit_code == 0, done.output
    widths = {str(s): w for s, w in Assignment.load(Path("out/assignment.json")).widths.items()}
    assert widths["l0.weight"] == 4
    assert widths["fc.input"] == 8
    assert widths["fc.weight"] == 2


def test_what_cannot_be_retrained(cli: Cli) -> None:
    words = ("train", "--from", "net", "-o", "out")
    data = ("-d", "data.npz")
    refused(cli(*words, "--bits", 2), "--data")
    refused(cli(*words, *data), "--bits")
    refused(cli(*words, *data, "--bits", 1), "2..16")
    refused(cli(*words, *data, "--bits", 2, "--loss", "hinge"), "unknown loss")
    refused(cli(*words, *data, "--bits", 2, "--rate", 0), "positive")
    refused(cli(*words, "-d", "gone.npz", "--bits", 2), "gone.npz")
    refused(cli("train", "--from", "gone", "-o", "out", *data, "--bits", 2), "gone")
    refused(cli("train", "-o", "out"), "--from")
    write("bare.npz", Dataset(tuple(sequences(4))))
    refused(cli(*words, "-d", "bare.npz", "--validation", "bare.npz", "--bits", 2), "label")
    for slots, message in (({"l9": {"weight": 4}}, "l9.weight"), ({"l0": {"weight": 17}}, "2..16")):
        text = json.dumps({"schema": "mohaq.assignment/1", "default": 2, "slots": slots})
        Path("bad.json").write_text(text)
        refused(cli(*words, *data, "--assignment", "bad.json"), message)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_no_numbers(cli: Cli, value: float) -> None:
    inputs = np.ones((6, 5), dtype=np.float32)
    inputs[2, 3] = value
    np.savez("broken.npz", inputs=inputs, lengths=[6], labels=np.zeros(6, dtype=np.int64))
    retrain = ("train", "--from", "net", "-o", "out", "-d", "broken.npz", "--bits", 2)
    for words in (
        (*retrain, "--validation", "data.npz"),
        ("import", "net", "-o", "out", "-d", "broken.npz"),
        ("compile", "net", "-t", "reference", "--bits", 4, "-d", "broken.npz", "-o", "out"),
        ("inspect", "net", "--errors", "--bits", 4, "-d", "broken.npz"),
    ):
        refused(cli(*words), "NaN or infinity")
        assert not Path("out").exists()


def test_the_errors_of_slots_want_fitting_data(cli: Cli) -> None:
    assert cli("inspect", "net", "--errors", "--bits", 4, "-d", "data.npz").exit_code == 0
    refused(cli("inspect", "net", "--errors", "--bits", 4), "--data")
    refused(cli("inspect", "net", "--errors", "-d", "data.npz"), "--bits")
    refused(cli("inspect", "net", "--bits", 4), "--errors")
    np.savez("none.npz", inputs=np.zeros((0, 5)), lengths=np.zeros(0, dtype=np.int64))
    refused(cli("inspect", "net", "--errors", "--bits", 4, "-d", "none.npz"), "empty")


def run_opt(*words: str) -> int:
    return opt.main(["net", "-o", "out", "-p", *words])


@pytest.mark.usefixtures("cli")  # its folder
def test_bias_correct_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_opt('uniform{bits=2},bias-correct{data="../data.npz"},lower-to-qnn') == 0
    assert "mean shift up to" in capsys.readouterr().err
    assert "qnn.matmul" in Path("out/program.mlir").read_text()


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ('bias-correct{data="../data.npz"}', "no grid"),
        ('uniform{bits=2},bias-correct{data="../gone.npz"}', "gone.npz"),
        ('uniform{bits=2},bias-correct{data="../data.npz" limit=-1}', "limit"),
        ("uniform{bits=2},bias-correct", "'data' is required"),
        (
            'uniform{bits=2},bias-correct{data="../data.npz"},bias-correct{data="../data.npz"}',
            "corrected already",
        ),
        ('uniform{bits=2},bias-correct{data="../broken.npz"}', "NaN or infinity"),
        ('uniform{bits=2},bias-correct{data="../none.npz"}', "empty"),
    ],
)
@pytest.mark.usefixtures("cli")
def test_bias_correct_refuses(
    capsys: pytest.CaptureFixture[str], pipeline: str, message: str
) -> None:
    np.savez("broken.npz", inputs=np.full((4, 5), np.nan, np.float32), lengths=[4])
    np.savez("none.npz", inputs=np.zeros((0, 5)), lengths=np.zeros(0, dtype=np.int64))
    assert run_opt(pipeline) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not Path("out").exists()
