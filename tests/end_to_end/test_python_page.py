"""The code of docs/python.md, run from top to bottom in a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mohaq

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAYS = re.compile(r"print\(.*\)  # (.*)$", re.MULTILINE)


def blocks() -> list[str]:
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(found) >= 5
    return found


def test_page_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(blocks()):
        exec(compile(code, f"{PAGE.name}, block {number}", "exec"), names)
        printed = " ".join(capsys.readouterr().out.split())
        for promised in SAYS.findall(code):
            for part in promised.split("..."):
                assert part.strip() in printed
    for name in ("program", "found", "compiled"):
        assert names[name]._repr_html_().startswith('<div class="mohaq">')
    assert repr(names["folder"]) == "CompiledFolder(out, model for bitfusion-e)"


def test_package_says_that_it_is_typed() -> None:
    (folder,) = mohaq.__path__
    assert (Path(folder) / "py.typed").is_file()


@pytest.mark.slow
def test_page_passes_mypy_strict(tmp_path: Path) -> None:
    """As a user's script: with the installed package, without our configuration."""
    script = tmp_path / "script.py"
    use = (
        "reveal_type(compiled)\nreveal_type(found)\nreveal_type(again)\nreveal_type(ran.outputs)\n"
    )
    script.write_text("\n".join([*blocks(), use]))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "script.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    ends = ("build.Compiled", "front.SearchResult", "program.Program")
    assert [r.endswith(e) for r, e in zip(revealed, ends, strict=False)] == [True] * 3
    assert "float64" in revealed[3]
