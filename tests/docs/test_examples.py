"""Examples of the pages run as they stand, in order, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from examples import Block, blocks

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("quickstart.md", "models.md", "read-a-front.md")


class Reader:
    """Somebody who types what a page says; Python blocks share their names."""

    def __init__(self, folder: Path, page: str) -> None:
        self.folder = folder
        self.page = page
        self.names: dict[str, Any] = {"__name__": "page"}
        self.printed = ""

    def read(self, page: str, capture: pytest.CaptureFixture[str]) -> None:
        """Every block of a text."""
        for block in blocks(page):
            self.do(block, capture)

    def do(self, block: Block, capture: pytest.CaptureFixture[str]) -> None:
        """One block."""
        kind, _, rest = block.mark.partition(" ")
        if kind == "file":
            (self.folder / rest).write_text(block.text)
        elif kind == "output":
            printed = {line.strip() for line in self.printed.splitlines()}
            for line in block.text.splitlines():
                assert line.strip() in printed, f"{self.page}:{block.line}: not printed: {line}"
        elif block.language == "bash":
            self.printed = self._shell(block)
        else:
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, self.page, "exec"), self.names)
            self.printed = capture.readouterr().out

    def _shell(self, block: Block) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{self.page}:{block.line}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout


def follow(
    page: str,
    folder: Path,
    slow: bool,
    monkeypatch: pytest.MonkeyPatch,
    capture: pytest.CaptureFixture[str],
) -> int:
    """Do what a page says; returns how many blocks ran."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "my", raising=False)
    reader, done, skipped = Reader(folder, page), 0, False
    for block in blocks((DOCS / page).read_text()):
        # What a block prints can only be compared when it ran.
        skipped = skipped if block.mark == "output" else block.mark == "slow" and not slow
        if block.mark.startswith("not run") or skipped:
            continue
        reader.do(block, capture)
        done += 1
    monkeypatch.delitem(sys.modules, "my", raising=False)
    return done


@pytest.mark.parametrize("page", ["quickstart.md", "models.md"])
def test_the_short_examples_run(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert follow(page, tmp_path, False, monkeypatch, capfd) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_all_examples_run(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert follow(page, tmp_path, True, monkeypatch, capfd) >= 4


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```bash\nfalse\n```\n", "assert 1 == 0"),
        ("```python\n\nraise ValueError('no')\n```\n", "no"),
        (
            "```bash\necho one\n```\n<!-- example: output -->\n```text\ntwo\n```\n",
            "not printed: two",
        ),
        ("<!-- example: later -->\n```bash\ntrue\n```\n", "no such mark"),
        ("<!-- example: slow -->\ntext\n", "directly above"),
        ("    mohaq demo\n", "outside a fenced block"),
        ("```bash\ntrue\n", "without an end"),
    ],
)
def test_a_page_that_is_wrong_fails(
    text: str, why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reader = Reader(tmp_path, "page.md")
    with pytest.raises((AssertionError, ValueError), match=why):
        reader.read(text, capfd)


def test_marks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (
        "<!-- example: file a.txt -->\n\n```text\nhello\n```\n\n```bash\ncat a.txt\n```\n"
        "<!-- example: output -->\n```text\nhello\n```\n```python\nx = 1\n```\n"
        "```python\nprint(x + 1)\n```\n<!-- example: output -->\n```text\n2\n```\n"
    )
    reader = Reader(tmp_path, "page.md")
    reader.read(text, capfd)
    assert reader.printed == "2\n"
