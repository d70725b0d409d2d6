"""The generated pages are what the code says now, whoever writes them and wherever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.backends.silago import BACKEND
from mohaq.tools.cli import app
from mohaq.tools.reference import passes
from mohaq.tools.reference.__main__ import PAGES
from mohaq.tools.reference.commands import commands_page
from mohaq.tools.reference.passes import description, passes_page, tree_passes

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_page_says_what_is_so(name: str) -> None:
    assert PAGES[name]() == (DOCS / name).read_text(), "write it anew: make reference"


def test_every_command_and_option_is_there() -> None:
    page = commands_page()
    for command in app.registered_commands:
        assert f"\n## mohaq {command.name}\n" in page
    assert "\n## mohaq corpus fsdd\n" in page
    assert "| `--check`, `--no-check` | " in page
    assert "| `--target`, `-t` text | Target name or target .toml. | required |" in page
    assert "`'speedup&gt;20'`" not in page


def test_every_pass_has_a_summary_of_its_own() -> None:
    for name, kind in tree_passes().items():
        summary = description(name, kind).partition("\n")[0]
        assert summary.endswith("."), name
        assert "can accept arguments" not in summary, f"{name} shows the base class's docstring"


def test_passes_of_plug_ins_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class ForeignPass(ModulePass):
        """Somebody else's."""

        name = "foreign"

        def apply(self, ctx: Context, op: ModuleOp) -> None:
            raise NotImplementedError

    class Foreign:
        @staticmethod
        def passes() -> dict[str, type[ModulePass]]:
            return {"foreign": ForeignPass}

    Foreign.__module__ = "somebody.backend"
    both = {"foreign": Foreign(), "silago": BACKEND}
    monkeypatch.setattr(passes, "usable_backends", lambda: (both, {}))
    assert {"uniform", "legalize-for-silago"} <= set(tree_passes())
    assert "foreign" not in tree_passes()
    assert "foreign" not in passes_page()


def test_the_width_of_the_terminal_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mohaq.tools.reference", str(tmp_path)]
    subprocess.run(command, env={"COLUMNS": "40"}, check=True, capture_output=True)
    for name in PAGES:
        assert (tmp_path / name).read_text() == (DOCS / name).read_text()
