"""`mohaq inspect` on long programs: memory does not grow with the number of instructions."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from programs import calibrated
from typer.testing import CliRunner

import mohaq
from mohaq.compiler.assignment import Assignment
from mohaq.tools.cli import app

SLACK = 1 << 20
"""Bytes by which the peak may differ between two lengths of a program."""


def peak(*words: object) -> tuple[int, str]:
    """Most bytes that Python held during a command, and its output."""
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    tracemalloc.start()
    try:
        result = runner.invoke(app, ["inspect", *map(str, words)])
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.exit_code == 0, result.output + result.stderr
    return held, result.output


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled folders."""
    folder = tmp_path_factory.mktemp("long")
    for target in ("bitfusion-mohaq", "silago-mohaq", "reference"):
        mohaq.compile(calibrated(), target, Assignment.uniform(4), folder / target)
        # Imports belong to no measurement.
        assert CliRunner().invoke(app, ["inspect", str(folder / target)]).exit_code == 0
    return folder


def repeated_words(folder: Path, times: int) -> int:
    """The words of a Bit Fusion program so many times over; gives their number."""
    path = folder / "emitted/program.bin"
    words = np.fromfile(path, dtype="<u4")
    long = np.concatenate([words[:2], *[words[2:]] * times])
    long[1] = len(long)
    path.write_bytes(long.tobytes())
    return len(long)


def test_bit_fusion_words(place: Path, tmp_path: Path) -> None:
    held, said = {}, {}
    for times in (10, 60):
        folder = tmp_path / f"x{times}"
        shutil.copytree(place / "bitfusion-mohaq", folder)
        count = repeated_words(folder, times)
        held[times], said[times] = peak(folder, "--op", "fc", "--instructions", 5)
    assert count > 25_000  # kept as Python objects they would take several times the slack
    assert held[60] < held[10] + SLACK
    assert said[60] != said[10]


def test_silago_words(place: Path, tmp_path: Path) -> None:
    held = {}
    for times in (1, 40):
        folder = tmp_path / f"x{times}"
        shutil.copytree(place / "silago-mohaq", folder)
        path = folder / "emitted/manifest.json"
        data = json.loads(path.read_text())
        data["programs"] *= times
        data["ends"] *= times
        path.write_text(json.dumps(data, indent=2) + "\n")
        held[times], text = peak(folder, "--op", "l0", "--instructions", 5)
        assert "more lines" in text
    assert path.stat().st_size > SLACK
    assert held[40] < held[1] + SLACK


def test_reference_operations(place: Path, tmp_path: Path) -> None:
    held, counts = {}, {}
    for times in (1, 10):
        folder = tmp_path / f"x{times}"
        shutil.copytree(place / "reference", folder)
        path = folder / "emitted/program.json"
        data = json.loads(path.read_text())
        data["ops"] *= times
        path.write_text(json.dumps(data, indent=2) + "\n")
        held[times], text = peak(folder)
        counts[times] = int(text.split("│ all")[-1].split("│")[1].replace(",", ""))
    assert counts[10] == 10 * counts[1]
    assert held[10] < held[1] + SLACK


def test_a_long_text_is_counted_line_by_line(place: Path, tmp_path: Path) -> None:
    """Lines of a lowered program many times over: parsed, each would be an object of kilobytes."""
    folder = tmp_path / "c"
    shutil.copytree(place / "bitfusion-mohaq", folder)
    path = folder / "4-bitfusion/program.mlir"
    lines = path.read_text().splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if "bitfusion.setup" in line)
    last = max(n for n, line in enumerate(lines) if "bitfusion.block_end" in line)
    before, text = peak(folder)
    count = int(next(r for r in text.splitlines() if "bitfusion.loop " in r).split("│")[-2])
    times = (9 << 18) // sum(map(len, lines[first : last + 1]))
    path.write_text("".join([*lines[:first], *lines[first : last + 1] * times, *lines[last + 1 :]]))
    held, text = peak(folder)
    assert "counted line by line" in text
    found = next(r for r in text.splitlines() if "bitfusion.loop " in r).split("│")[-2]
    assert int(found.replace(",", "")) == count * times
    assert held < before + SLACK
    held, text = peak(folder, "--stage", "4")
    assert "counted line by line" in text.splitlines()[0]
    assert held < before + SLACK
    done = CliRunner().invoke(app, ["inspect", str(path), "--svg", str(tmp_path / "x.svg")])
    assert done.exit_code == 2
    assert "too long" in done.stderr


def test_a_long_integer_program_has_its_layers(place: Path, tmp_path: Path) -> None:
    """`--op` on text that is not parsed shows the lines that name it."""
    text = (place / "reference/2-qnn/program.mlir").read_text().splitlines(keepends=True)
    line = next(n for n, one in enumerate(text) if "qnn.matmul" in one and 'layer = "fc"' in one)
    times = (3 << 20) // len(text[line])
    path = tmp_path / "long.mlir"
    path.write_text("".join([*text[:line], *[text[line]] * times, *text[line + 1 :]]))
    held, shown = peak(path, "--op", "fc", "--instructions", 3)
    assert held < 8 << 20
    assert shown.splitlines()[-1].startswith("… ")
    assert "qnn.requantize" in shown
    done = CliRunner().invoke(app, ["inspect", str(path), "--op", "fx"])
    assert done.exit_code == 2
    assert "makes or names 'fx'" in done.stderr
    path.write_text("words\n" * (1 << 19))
    done = CliRunner().invoke(app, ["inspect", str(path)])
    assert done.exit_code == 2
    assert "no operations" in done.stderr
