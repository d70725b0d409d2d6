"""Passes of others: listed beside ours; a broken one is named and takes nothing down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from installed import install

from mohaq.backends import registry
from mohaq.tools.catalogue import all_passes
from mohaq.tools.opt import main

SOURCE = '''
from dataclasses import dataclass
from xdsl.passes import ModulePass
from mohaq.compiler.diagnostics import MohaqError

def twice(x):
    return 2 * x

@dataclass(frozen=True)
class Plain(ModulePass):
    """Refuse everything."""

    name = "theirs"
    depth: int = 3

    def apply(self, ctx, op):
        raise MohaqError(f"reached depth {self.depth}")

@dataclass(frozen=True)
class Clever(ModulePass):
    """Say the size."""

    name = "clever"
    size: int = twice(4)

    def apply(self, ctx, op):
        pass

class Nothing:
    name = "nothing"
'''
EMPTY = "func.func @main() {\n  func.return\n}\n"
Install = Callable[..., None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package `theirs 1.2` whose modules are `their_passes` and `their_fault`."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    modules = {"their_passes": SOURCE, "their_fault": "import a_package_that_is_not_there\n"}

    def put(**groups: Mapping[str, str]) -> None:
        held = {f"mohaq.{group}": names for group, names in groups.items()}
        install(site, "theirs", held, modules)
        registry.rescan()

    yield put
    monkeypatch.undo()
    for name in modules:
        sys.modules.pop(name, None)
    registry.rescan()


def test_theirs_are_listed_and_run(add: Install, capsys: pytest.CaptureFixture[str]) -> None:
    add(passes={"theirs": "their_passes:Plain", "clever": "their_passes:Clever"})
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "  theirs\n      Refuse everything.\n        depth: int = 3\n" in text
    assert "size: int = 8" in text  # asked from the class: its source needs Python
    Path("a.mlir").write_text(EMPTY)
    assert main(["a.mlir", "-p", "theirs{depth=7}"]) == 2
    assert "reached depth 7" in capsys.readouterr().err
    assert main(["a.mlir", "-p", "theirs{dept=7}"]) == 2
    assert "did you mean 'depth'" in capsys.readouterr().err


def test_broken_ones_are_named(add: Install, capsys: pytest.CaptureFixture[str]) -> None:
    add(
        passes={
            "broken": "their_fault:Pass",
            "other-name": "their_passes:Plain",
            "nothing": "their_passes:Nothing",
            "uniform": "their_passes:Plain",
        }
    )
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "lower-to-qnn" in text
    unusable = text[text.index("plug-ins that cannot be used:") :]
    assert "pass 'broken' of theirs 1.2: 'their_fault:Pass' cannot be imported" in unusable
    assert "a_package_that_is_not_there" in unusable
    assert "calls itself 'theirs'" in unusable
    assert "'their_passes:Nothing' is no pass" in unusable
    assert "pass 'uniform' of theirs 1.2: the name is taken" in unusable
    Path("a.mlir").write_text(EMPTY)
    assert main(["a.mlir", "-p", "broken"]) == 2
    assert "their_fault:Pass" in capsys.readouterr().err
    assert main(["a.mlir", "-p", "canonicalize"]) == 0


TOY = """
from xdsl.passes import ModulePass
from mohaq.backends.reference import ReferenceBackend

class Theirs(ModulePass):
    '''Lower to a toy.'''

    name = "lower-to-toy"

class Toy(ReferenceBackend):
    name = "toy"
    api_version = 1

    def passes(self):
        return {"lower-to-toy": Theirs, "uniform": Theirs}

B = Toy()
"""


def test_passes_of_other_backends(add: Install, tmp_path: Path) -> None:
    (tmp_path / "site" / "toy_backend.py").write_text(TOY)
    add(backends={"toy": "toy_backend:B", "broken-toy": "toy_gone:B"})
    found = all_passes()
    assert "lower-to-toy" in list(found)
    assert found.describe("lower-to-toy").summary == "Lower to a toy."
    assert found["lower-to-toy"]().name == "lower-to-toy"
    assert found["uniform"]().__module__ == "mohaq.passes.apply_assignment"
    first, second = (error.message() for error in found.broken)
    assert "backend 'broken-toy' of theirs 1.2: 'toy_gone:B' cannot be imported" in first
    assert second == "backend 'toy' of theirs 1.2: the name of its pass 'uniform' is taken"
    sys.modules.pop("toy_backend")
