"""`python -m mohaq.tools.vectors silago FILE`: agreement, differences, bad files."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mohaq.backends.silago.simulator.run import ENGINES, Engine
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.vectors.__main__ import app
from mohaq.tools.vectors.silago.check import differences
from mohaq.tools.vectors.silago.file import Vector, load_vectors

MEASURED = Path(__file__).parents[1] / "data/silago/vectors.json"
VECTORS = load_vectors(MEASURED)


def run_on(path: Path, *more: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    found = CliRunner().invoke(app, ["silago", str(path), *more])
    return found.exit_code, found.output


@pytest.fixture
def worked() -> dict[str, Any]:
    """The file with its first vector and the one that writes memory."""
    data = json.loads(MEASURED.read_text(encoding="utf-8"))
    kept = [v for v in data["vectors"] if v["id"] in {"pub-01-worked", "pub-22-sramwrite"}]
    return {"header": {}, "vectors": kept}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.id)
def test_measured_programs_agree_exactly(vector: Vector, engine: Engine) -> None:
    assert differences(vector, engine) == []


def test_command_reports_agreement(tmp_path: Path, worked: dict[str, Any]) -> None:
    path = tmp_path / "two.json"
    path.write_text(json.dumps(worked), encoding="utf-8")
    code, text = run_on(path)
    assert code == 0
    assert "2 of 2 programs agree on both engines (100 register-file writes, 1 SRAM writes)" in text


def test_module_runs_as_the_issue_says(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "mohaq.tools.vectors", "silago", str(tmp_path / "none.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 2
    assert "cannot read this vector file" in found.stderr
    assert "Traceback" not in found.stderr


def value(v: dict[str, Any]) -> None:
    v["rf_writes"][-1][4] += 1


def edge(v: dict[str, Any]) -> None:
    v["rf_writes"][-1][0] += 1


def unexpected(v: dict[str, Any]) -> None:
    del v["rf_writes"][0]


def memory_edge(v: dict[str, Any]) -> None:
    v["sram_writes"].append([5, 1, 0, 3])


def memory_row(v: dict[str, Any]) -> None:
    v["sram_changed"].append([1, 0, 100, "0" * 63 + "1"])


def refused(v: dict[str, Any]) -> None:
    v["cells"][0]["words"][0] = [1, "7800000"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (value, "edge 48, cell (0, 0), RF 51: expected -12, got -13"),
        (edge, "edge 49, cell (0, 0), RF 51: expected -13, got no write"),
        (unexpected, "edge 8, cell (0, 0), RF 0: unexpected -5"),
        (memory_edge, "edge 5, SRAM row (1, 0, 3): no write"),
        (memory_row, "SRAM row (1, 0, 100): expected 000"),
        (refused, "the simulator refuses the program: cell (0, 0), edge 1: the word at 0"),
    ],
)
def test_differences_are_printed(
    tmp_path: Path, worked: dict[str, Any], spoil: Any, message: str
) -> None:
    spoil(worked["vectors"][0])
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(worked), encoding="utf-8")
    code, text = run_on(path)
    assert code == 1
    for engine in ENGINES:
        assert f"{engine}: {message}" in text
    assert "DIFF pub-01-worked" in text
    assert "1 of 2 programs agree" in text


def test_long_lists_are_cut(tmp_path: Path, worked: dict[str, Any]) -> None:
    worked["vectors"][0]["rf_writes"] = []
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(worked), encoding="utf-8")
    code, text = run_on(path, "--show", "3")
    assert code == 1
    assert "cycle: and 49 more" in text


def spoilt(change: Any) -> Any:
    """The first vector with something else in it."""
    vector = copy.deepcopy(json.loads(MEASURED.read_text(encoding="utf-8"))["vectors"][0])
    vector.update(change)
    return {"vectors": [vector]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "no list 'vectors'"),
        ({"vectors": {}}, "no list 'vectors'"),
        ({"vectors": []}, "has no vectors"),
        ({"vectors": [1]}, "must be an object"),
        (spoilt({"id": 3}), "'id' must be a text"),
        (spoilt({"profile": "silago9"}), "unknown profile 'silago9'"),
        (spoilt({"edges": "60"}), "'edges' must be a whole number"),
        (spoilt({"edges": 0}), "'edges' must be a whole number"),
        (spoilt({"edges": True}), "'edges' must be a whole number"),
        (spoilt({"sram": None}), "'sram' must be a list"),
        (spoilt({"sram": [[1, 0, 0]]}), "tile_row, tile_col, row, hex256"),
        (spoilt({"sram": [[1, 0, 0, "zz"]]}), "64 hexadecimal digits"),
        (spoilt({"sram": [[3, 0, 0, "0" * 64]]}), "no SRAM row"),
        (spoilt({"sram": [[1, 0, 128, "0" * 64]]}), "no SRAM row"),
        (spoilt({"cells": [{"cell": [0], "words": []}]}), "a cell needs"),
        (spoilt({"cells": [{"cell": [0, 0]}]}), "'words' must be a list"),
        (spoilt({"cells": [{"cell": [0, 0], "words": []}] * 2}), "two programs"),
        (spoilt({"cells": [{"cell": [0, 0], "words": [[1]]}]}), "immediate bit, hexadecimal"),
        (spoilt({"cells": [{"cell": [0, 0], "words": [[0, "0"]]}]}), "not modelled"),
        (spoilt({"cells": [{"cell": [0, 0], "words": [[1, "8000000"]]}]}), "no word of 27 bits"),
        (spoilt({"cells": [{"cell": [0, 0], "words": [[1, "0x0"]]}]}), "no word of 27 bits"),
        (spoilt({"rf_writes": [[1, 2, 3, 4]]}), "lines of 5 whole numbers"),
        (spoilt({"rf_writes": [[1, 2, 3, 4, 0.5]]}), "lines of 5 whole numbers"),
        (spoilt({"sram_writes": [[1, 2, 3, "4"]]}), "lines of 4 whole numbers"),
    ],
)
def test_bad_files(tmp_path: Path, data: Any, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    found = CliRunner().invoke(app, ["silago", str(path)])
    assert found.exit_code == 2
    assert message in found.output
    assert "Traceback" not in found.output


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"vectors": [' + b"[" * 100_000])
def test_no_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(MohaqError, match="cannot read"):
        load_vectors(path)
