"""Reads the static files that ship with the package."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

FOLDERS = ("device", "host", "standin")
PROJECT = ("Makefile", "build.sh", "run.sh")
EXECUTABLE = frozenset({"build.sh", "run.sh"})
"""Files of a project that are made executable."""


def static_files() -> dict[str, str]:
    """Text of each static file by its path in a project: folders device, host, standin; Makefile."""
    root = files(__name__.rpartition(".")[0])
    found = {name: (root / "project" / name).read_text("utf-8") for name in PROJECT}
    for folder in FOLDERS:
        for entry in sorted((root / folder).iterdir(), key=lambda e: e.name):
            if entry.is_file():
                found[f"{folder}/{entry.name}"] = entry.read_text("utf-8")
    return found


def readme(title: str, rows: int, cols: int, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """Text of README.md; `inputs` and `outputs` describe one array each, as Markdown."""
    text = (files(__name__.rpartition(".")[0]) / "project" / "README.md").read_text("utf-8")
    values = {
        "TITLE": title,
        "ROWS": str(rows),
        "COLS": str(cols),
        "INPUTS": "\n".join(f"* {line}" for line in inputs),
        "OUTPUTS": "\n".join(f"* {line}" for line in outputs),
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
