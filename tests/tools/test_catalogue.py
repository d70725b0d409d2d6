"""Passes of others: listed beside ours; a broken one is named and takes nothing down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
from xdsl.passes import ModulePass

from mohaq.backends import registry
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools import catalogue
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
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Adds entry points that lie in the module `their_passes`."""
    (tmp_path / "their_passes.py").write_text(SOURCE)
    (tmp_path / "their_fault.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def add(passes: Mapping[str, str] | None = None, backends: Mapping[str, str] | None = None):  # type: ignore[no-untyped-def]
        held = {catalogue.PASSES: passes or {}, catalogue.BACKENDS: backends or {}}

        def found(*, group: str) -> list[EntryPoint]:
            return [
                *entry_points(group=group),
                *(EntryPoint(n, v, group) for n, v in held[group].items()),
            ]

        monkeypatch.setattr(catalogue, "entry_points", found)

    return add


def test_theirs_are_listed_and_run(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install({"theirs": "their_passes:Plain", "clever": "their_passes:Clever"})
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "  theirs\n      Refuse everything.\n        depth: int = 3\n" in text
    assert "size: int = 8" in text  # asked from the class: its source needs Python
    Path("a.mlir").write_text(EMPTY)
    assert main(["a.mlir", "-p", "theirs{depth=7}"]) == 2
    assert "reached depth 7" in capsys.readouterr().err
    assert main(["a.mlir", "-p", "theirs{dept=7}"]) == 2
    assert "did you mean 'depth'" in capsys.readouterr().err


def test_broken_ones_are_named(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(
        {
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
    assert "pass 'broken' (their_fault:Pass): cannot be imported" in unusable
    assert "a_package_that_is_not_there" in unusable
    assert "calls itself 'theirs'" in unusable
    assert "is not an xdsl.passes.ModulePass" in unusable
    assert "pass 'uniform' (their_passes:Plain): the name is taken" in unusable
    Path("a.mlir").write_text(EMPTY)
    assert main(["a.mlir", "-p", "broken"]) == 2
    assert "their_fault:Pass" in capsys.readouterr().err
    assert main(["a.mlir", "-p", "canonicalize"]) == 0


def test_passes_of_other_backends(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(ModulePass):
        """Lower to a toy."""

        name = "lower-to-toy"

    def backend(name: str) -> object:
        if name == "broken-toy":
            raise MohaqError("cannot be imported")
        return SimpleNamespace(passes=lambda: {"lower-to-toy": Theirs, "uniform": Theirs})

    install(backends={"toy": "toy_backend:B", "broken-toy": "toy_gone:B"})
    monkeypatch.setattr(registry, "get_backend", backend)
    found = catalogue.all_passes()
    assert "lower-to-toy" in list(found)
    assert found.describe("lower-to-toy").summary == "Lower to a toy."
    assert found["lower-to-toy"]() is Theirs
    assert found["uniform"]().__module__ == "mohaq.passes.apply_assignment"
    assert found.broken == {
        "backend 'broken-toy' (toy_gone:B)": "cannot be imported",
        "pass 'uniform' of backend 'toy'": "the name is taken",
    }
