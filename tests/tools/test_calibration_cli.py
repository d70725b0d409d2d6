"""Calibration on the command line: clip methods, widths, and what cannot be calibrated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from programs import calibrated, one_cell, sequences, speech_like
from safetensors.numpy import load_file, save_file
from typer.testing import Result

from mohaq.compiler.clips import METHODS
from mohaq.compiler.program import Program

Cli = Callable[..., Result]


@pytest.fixture
def bare() -> str:
    """An uncalibrated program folder."""
    speech_like().save(Path("bare"))
    return "bare"


@pytest.fixture
def net() -> str:
    """A program folder calibrated for the default widths."""
    calibrated().save(Path("net"))
    return "net"


@pytest.fixture
def data(cli: Cli) -> str:  # noqa: ARG001  the folder
    """A small data set."""
    return write("data.npz", sequences(4))


def write(name: str, inputs: list[np.ndarray]) -> str:
    np.savez(name, inputs=np.concatenate(inputs), lengths=[len(x) for x in inputs])
    return name


def refused(result: Result, *words: str) -> None:
    """Exit code 2, one message that says all these words, and nothing written."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert not Path("out").exists()
    assert not list(Path().glob(".out*"))


def clips(folder: str, slot: str = "input") -> dict[int, float]:
    return next(iter(Program.load(Path(folder)).layers())).clips(slot)


def test_import_takes_a_clip_method(cli: Cli, bare: str) -> None:
    data = write("long.npz", sequences(4, lengths=(400, 300)))
    found = {}
    for method in (*METHODS, "percentile=50"):
        done = cli("import", bare, "-o", "out", "-d", data, "--clip", method)
        assert done.exit_code == 0, done.output
        found[method] = clips("out")
        assert found[method][16] == found["mmse"][16]
    assert found["percentile=50"][8] < found["percentile"][8] < found["minmax"][8]
    assert len({f[2] for f in found.values()}) == len(found)


@pytest.mark.parametrize("bits", [3, 5, 6])
def test_compile_calibrates_for_any_width(cli: Cli, data: str, bare: str, bits: int) -> None:
    compile_it = ("compile", bare, "-t", "reference", "-d", data, "--clip", "aciq", "-o", "out")
    done = cli(*compile_it, "--bits", bits)
    assert done.exit_code == 0, done.output
    done = cli("run", "out", "-d", data)
    assert done.exit_code == 0, done.output
    assert "bit-exact on 3 of 3 sequences" in done.output


def test_compile_calibrates_for_the_widths_of_an_assignment(cli: Cli, data: str, bare: str) -> None:
    slots = {"l0": {"weight": 3, "input": 3}, "fc": {"weight": 7, "input": 7}}
    text = json.dumps({"schema": "mohaq.assignment/1", "default": 8, "slots": slots})
    Path("mixed.json").write_text(text)
    words = ("compile", bare, "-t", "reference", "-d", data, "-a", "mixed.json", "-o", "out")
    done = cli(*words)
    assert done.exit_code == 0, done.output
    assert {3, 7, 8} <= set(clips("out/1-quantized"))
    assert "bit-exact on 3 of 3 sequences" in cli("run", "out", "-d", data).output


def test_a_clip_method_without_data_or_of_another_name(
    cli: Cli, data: str, bare: str, net: str
) -> None:
    target = ("-t", "reference", "--bits", 8, "-o", "out")
    refused(cli("import", bare, "-o", "out", "--clip", "mmse"), "--data")
    refused(cli("compile", net, *target, "--clip", "mmse"), "--data")
    refused(cli("compile", bare, *target, "--clip", "mmse"), "not calibrated", "--data")
    for text, words in (
        ("entropi", ("unknown clip method 'entropi'", "entropy")),
        ("percentile=0", ("(0, 100]",)),
        ("percentile=x", ("a percentile is a number",)),
        ("aciq=3", ("takes no number",)),
    ):
        refused(cli("import", bare, "-o", "out", "-d", data, "--clip", text), *words)
        refused(cli("compile", bare, *target, "-d", data, "--clip", text), *words)


def test_data_sets_without_anything(cli: Cli, data: str, bare: str) -> None:  # noqa: ARG001
    np.savez("none.npz", inputs=np.zeros((0, 5)), lengths=np.zeros(0, dtype=np.int64))
    refused(cli("import", bare, "-o", "out", "-d", "none.npz"), "empty", "none.npz")
    np.savez("hollow.npz", inputs=np.zeros((0, 5)), lengths=np.zeros(2, dtype=np.int64))
    refused(cli("import", bare, "-o", "out", "-d", "hollow.npz"), "no frames")


@pytest.mark.parametrize(
    ("frames", "method"),
    [
        (np.zeros((4, 5)), "entropy"),
        (np.full((4, 5), -2.5), "aciq"),
        (np.ones((1, 5)), "percentile"),
        (np.full((3, 5), 1e-30), "mmse"),
    ],
    ids=["zeros", "constant", "one-frame", "tiny"],
)
def test_data_that_say_little(cli: Cli, bare: str, frames: np.ndarray, method: str) -> None:
    name = write("little.npz", [frames])
    target = ("-t", "reference", "--bits", 4, "--clip", method)
    done = cli("compile", bare, *target, "-d", name, "-o", "out")
    assert done.exit_code == 0, done.output
    assert "bit-exact on 1 of 1 sequences" in cli("run", "out", "-d", name).output


def test_values_that_overflow(cli: Cli, bare: str) -> None:
    """1e30 is no error by itself; what becomes of it in float32 is named where it happens."""
    name = write("huge.npz", [np.full((3, 5), 1e38)])
    done = cli("import", bare, "-o", "out", "-d", name)
    refused(done, "NaN or infinity", "layer 'l0'")
    assert "Warning" not in done.output


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(cli: Cli, data: str, value: float) -> None:
    one_cell("lstm", inputs=5).save(Path("broken"))
    file = Path("broken/parameters.safetensors")
    held = load_file(file)
    held["l0.recurrent"][0, 1, 0, 0] = value
    save_file(held, file)
    refused(cli("import", "broken", "-o", "out", "-d", data), "NaN or infinity", "l0.recurrent")


def test_assignments_that_do_not_fit(cli: Cli, net: str) -> None:
    def compile_with(**content: object) -> Result:
        Path("a.json").write_text(json.dumps({"schema": "mohaq.assignment/1", **content}))
        return cli("compile", net, "-t", "reference", "-a", "a.json", "-o", "out")

    refused(compile_with(default=8, slots={"l9": {"weight": 8}}), "no slot 'l9.weight'")
    refused(compile_with(default=8, slots={"l0": {"wait": 8}}), "l0.wait", "l0.weight")
    refused(compile_with(slots={"l0": {"weight": 8}}), "no width for")
    for bad in (1, 17, 0, -4, 8.0, "8", True, None):
        refused(compile_with(default=8, slots={"l0": {"weight": bad}}), "2..16", "l0.weight")
    refused(compile_with(default=1), "2..16")
    refused(compile_with(default=8, slots={"l0": {"weight": 5}}), "no clips for 5, 8 bits")
