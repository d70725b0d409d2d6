"""Passes described from their source: the same as their classes say."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohaq.passes.description import UnreadableSource, describe, read_passes
from mohaq.passes.registry import FROM_XDSL, core_modules, loader
from mohaq.tools.catalogue import all_passes

HEAD = "from dataclasses import dataclass, field\nfrom xdsl.passes import ModulePass\n"
PASS = '''
@dataclass(frozen=True)
class {kind}({base}):
    """Does it.

    More.
    """

    name = "{name}"
    {options}

    def apply(self, ctx, op):
        pass
'''


@pytest.mark.parametrize("name", list(all_passes()))
def test_source_says_what_the_class_says(name: str) -> None:
    kind = all_passes()[name]()
    read = read_passes(kind.__module__)[name]
    assert read == describe(kind, name)
    assert read.doc or name in FROM_XDSL


def test_backends_passes_are_those_that_are_listed() -> None:
    from mohaq.backends.registry import usable_backends

    brought = {n: k for b in usable_backends()[0].values() for n, k in b.passes().items()}
    listed = {n: all_passes()[n]() for n in all_passes() if n not in core_modules()}
    assert brought == listed


def test_every_core_pass_loads() -> None:
    for name, module in core_modules().items():
        assert loader(name, module)().name == name


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path that must not be imported."""
    folder = tmp_path / "described_here"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_constants_are_followed(package: Path) -> None:
    (package / "sizes.py").write_text("from described_here.more import A as B\nC: str = 'x y'\n")
    (package / "more.py").write_text("A = (1, 2)\n")
    options = "a: int\n    b: tuple[int, ...] = B\n    c: str | None = C\n    d: bool = True"
    (package / "mine.py").write_text(
        f"{HEAD}from described_here.sizes import B, C\n"
        + PASS.format(kind="One", base="ModulePass", name="one", options=options)
    )
    made = read_passes("described_here.mine")["one"]
    assert [str(option) for option in made.options] == [
        "a: int (required)", "b: tuple[int, ...] = 1,2", 'c: str | None = "x y"', "d: bool = true",
    ]  # fmt: skip
    assert made.doc == "Does it.\n\nMore."
    assert made.summary == "Does it."


@pytest.mark.parametrize(
    ("base", "options"),
    [
        ("OnePass", "a: int = 1"),
        ("ModulePass", "a: int = 1 + len('x')"),
        ("ModulePass", "a: tuple[int, ...] = field(default_factory=tuple)"),
        ("ModulePass", "a: int = NOWHERE"),
    ],
)
def test_what_only_python_understands_is_refused(package: Path, base: str, options: str) -> None:
    (package / "mine.py").write_text(
        HEAD + PASS.format(kind="One", base=base, name="one", options=options)
    )
    with pytest.raises(UnreadableSource):
        read_passes("described_here.mine")


@pytest.mark.parametrize("module", ["described_here.gone", "gone", "sys", "json.decoder.x"])
def test_no_source(package: Path, module: str) -> None:
    assert package.is_dir()
    with pytest.raises(UnreadableSource):
        read_passes(module)
