"""Same inputs, same bytes: in another folder, with another hash seed, on another day."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from restarts import contents, legal, save_data

from mohaq.backends.registry import usable_backends

TARGETS = [t for backend in usable_backends()[0].values() for t in backend.targets()]

MODEL = """
import torch
from mohaq.compiler.modules.sru import SRU, SRUOptions
def net():
    torch.manual_seed(1)
    layers = torch.nn.ModuleList([SRU(4, 3, SRUOptions("bidirectional")), torch.nn.Linear(6, 3)])
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = layers
        def forward(self, x):
            return self.second(self.first(x)[0])
    return Net().eval(), (torch.zeros(6, 2, 4),)
"""

SCRIPT = """
import sys
from pathlib import Path
from mohaq.tools.cli import app
def run(*words):
    try:
        app([str(w) for w in words])
    except SystemExit as stop:
        assert not stop.code, words
place = Path(sys.argv[1])  # absolute in one run, relative in the other
run("import", "mine:net", "-o", place / "net", "--data", place / "data.npz")
for pair in sys.argv[2:]:
    target, bits = pair.split("=")
    run("compile", place / "net", "-t", target, "--bits", bits, "-o", place / target, "--no-cache")
run("search", place / "net", "-d", place / "data.npz", "-t", "bitfusion-e", "-o", place / "run",
    "-g", 2, "--population", 6, "--offspring", 4, "-s", 3)
"""


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Everything made in two folders, both at once."""
    asked = [f"{t}={legal(t).default}" for t in TARGETS]
    folders, running = [], []
    for number, seed in enumerate(("1", "20261")):
        folder = tmp_path_factory.mktemp("once" if number else "a folder with another name")
        (folder / "mine.py").write_text(MODEL)
        save_data(folder / "data.npz", labels=True)
        os.utime(folder / "data.npz", (1e9 * number, 1e9 * number))
        place = str(folder) if number else "."
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT, place, *asked], cwd=folder, env=env,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
        )  # fmt: skip
        folders.append(folder)
    for process in running:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    return folders[0], folders[1]


def same(twice: tuple[Path, Path], name: str) -> dict[str, bytes]:
    one, other = (contents(folder / name) for folder in twice)
    assert one.keys() == other.keys()
    assert [path for path in one if one[path] != other[path]] == []
    for path, data in one.items():
        for folder in twice:
            assert str(folder).encode() not in data, path
    return one


def test_an_import(twice: tuple[Path, Path]) -> None:
    assert set(same(twice, "net")) == {"program.mlir", "parameters.safetensors"}


@pytest.mark.parametrize("target", TARGETS)
def test_a_compilation(twice: tuple[Path, Path], target: str) -> None:
    files = same(twice, target)
    assert {"manifest.json", "estimate.json", "assignment.json", "target.toml"} <= set(files)
    assert any(path.startswith("emitted/") for path in files)


def test_a_search(twice: tuple[Path, Path]) -> None:
    one, other = ((folder / "run/front.json").read_bytes() for folder in twice)
    assert one == other
    assert same(twice, "run/assignments")
