"""docs/write-a-pass.md, executed: its two files become a package, and the package is used."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from installed import install
from programs import tensor
from typer.testing import CliRunner

from mohaq.compiler.dialects.nn import LinearOp
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.tools.cli import app
from mohaq.tools.opt import main as opt

PAGE = Path(__file__).parents[2] / "docs" / "write-a-pass.md"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the page, on the import path."""
    text = PAGE.read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (project,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    facts = tomllib.loads(project)
    (name,) = facts["tool"]["setuptools"]["py-modules"]
    assert f"`{name}.py`" in text
    entries = facts["project"]["entry-points"]
    install(tmp_path / "site", facts["project"]["name"], entries, {name: module})
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop(name, None)


@pytest.mark.usefixtures("package")
def test_the_page_works(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = Network()
    x = net.linear("quiet", net.sequence(4), tensor(rng, 3, 4), np.full(3, 5e-4, np.float32))
    y = net.linear("loud", x, tensor(rng, 2, 3), np.ones(2, np.float32))
    net.finish([y]).save(tmp_path / "net")
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["passes", "drop-zero-bias"])
    assert shown.exit_code == 0
    assert "Remove biases" in shown.stdout
    assert "most" in shown.stdout
    (command,) = re.findall(r'-p "(drop-zero-bias[^"]*)"', PAGE.read_text(encoding="utf-8"))
    assert opt(["net", "-p", command, "-o", "smaller"]) == 0
    layers = Program.load(tmp_path / "smaller").layers()
    assert [op.bias is None for op in layers if isinstance(op, LinearOp)] == [True, False]
    assert opt(["net", "-p", "drop-zero-bias", "-o", "same"]) == 0
    layers = Program.load(tmp_path / "same").layers()
    assert [op.bias is None for op in layers if isinstance(op, LinearOp)] == [False, False]
