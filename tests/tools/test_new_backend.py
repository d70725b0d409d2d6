"""`mohaq new-backend`: the package it writes is built, installed and used from outside the tree."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mohaq.tools.cli import app

ROOT = Path(__file__).parents[2]
MOST_LINES = 300
"""Lines of code of the toy: neither blank nor of a docstring or comment."""


def new(name: str, folder: Path) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(
        app, ["new-backend", name, str(folder)]
    )
    return result.exit_code, result.output


def code_lines(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                told |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in told
        for number, line in enumerate(text.splitlines(), 1)
    )


@pytest.mark.parametrize("name", ["Toy", "1st", "a-b", "", "x__y", "_x", "x_", "class", "match"])
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    code, output = new(name, tmp_path / "new")
    assert code == 2
    assert output.count("error: ") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["silago", "reference", "qnn"])
def test_names_that_are_taken(name: str, tmp_path: Path) -> None:
    code, output = new(name, tmp_path / "new")
    assert code == 2
    assert "choose another name" in output


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    code, output = new("toy", tmp_path)
    assert code == 2
    assert "this folder exists" in output
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_the_package_is_short_clean_and_named(tmp_path: Path) -> None:
    code, _ = new("my_chip", tmp_path / "new")
    assert code == 0
    package = tmp_path / "new" / "src" / "mohaq_my_chip"
    assert sum(code_lines(p) for p in package.glob("*.py")) < MOST_LINES
    assert (package / "targets" / "my-chip-16x16.toml").is_file()
    for path in (tmp_path / "new").rglob("*"):
        assert path.is_dir() or not re.search(r"@\w+@", path.read_text(encoding="utf-8"))
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select=F,B,UP,W",
        str(tmp_path / "new"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def python(environment: Path) -> Path:
    return environment / ("Scripts" if os.name == "nt" else "bin") / "python"


def fresh(folder: Path) -> Path:
    """A new environment that sees this one's packages, ours included."""
    venv.create(folder, with_pip=False)
    own = {name: str(folder) for name in ("base", "platbase")}
    site = Path(sysconfig.get_path("purelib", "venv", vars=own))
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    lines = [f"import site; site.addsitedir({path!r})\n" for path in sorted(paths)]
    (site / "beside.pth").write_text("".join(lines), encoding="utf-8")
    return python(folder)


def done(*words: object, at: Path) -> str:
    environment = {
        k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "MOHAQ_TRACEBACK"}
    }
    environment |= {"NO_COLOR": "1", "COLUMNS": "200", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(
        [str(word) for word in words],
        cwd=at, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


OFFLINE = ("--no-deps", "--no-index")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(python of an environment with the toy's wheel, folder of its source)."""
    folder = tmp_path_factory.mktemp("outside")
    assert new("toy", folder / "mohaq-toy")[0] == 0
    pip = (sys.executable, "-m", "pip")
    built = folder / "wheels"
    done(
        *pip,
        "wheel",
        "-q",
        "--no-build-isolation",
        *OFFLINE,
        "-w",
        built,
        folder / "mohaq-toy",
        at=folder,
    )
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "mohaq_toy/targets/toy-16x16.toml" in names
    interpreter = fresh(folder / "environment")
    done(*pip, "--python", interpreter, "install", "-q", *OFFLINE, wheel, at=folder)
    return interpreter, folder / "mohaq-toy"


def test_its_wheel_compiles_simulates_and_searches(
    installed: tuple[Path, Path], tmp_path: Path
) -> None:
    interpreter, _ = installed
    mohaq = (interpreter, "-m", "mohaq.tools.cli")
    done(*mohaq, "compile", "speech", "-t", "toy-16x16", "--bits", "8", "-o", "out", at=tmp_path)
    for path in (tmp_path / "out").rglob("*.mlir"):
        assert "emitted" not in path.relative_to(tmp_path).parts
    frames = np.random.default_rng(0).normal(size=(12, 23)).astype(np.float32)
    np.savez(tmp_path / "frames.npz", inputs=frames, lengths=[12])
    told = done(*mohaq, "run", "out", "-d", "frames.npz", at=tmp_path)
    assert "bit-exact on 1 of 1 sequences" in told
    assert "counters equal the estimate on 1" in told
    search = ("search", "vowels", "-m", "accuracy", "-t", "toy-16x16", "-n", "4", "-g", "1")
    done(*mohaq, *search, "--population", "4", "-o", "run", at=tmp_path)
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    assert front["target"]["backend"] == "toy"
    assert front["front"]


def test_its_own_tests_pass(installed: tuple[Path, Path]) -> None:
    interpreter, source = installed
    done(interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", at=source)


def test_the_templates_are_package_data() -> None:
    """Every template is covered by the patterns that the wheel is built from."""
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())
    held = patterns["tool"]["setuptools"]["package-data"]["mohaq.tools"]
    covered = {p for glob in held for p in (ROOT / "tools").glob(glob)}
    templates = set((ROOT / "tools" / "new_backend" / "template").rglob("*.in"))
    assert len(templates) >= 12
    assert templates <= covered
