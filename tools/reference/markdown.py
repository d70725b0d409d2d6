"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NOTICE = (
    "<!-- Written by `python -m mohaq.tools.reference docs` (`make reference`); do not edit. -->"
)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; bars inside cells are escaped."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in rows]
    return lines


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def plain(text: str) -> str:
    """Prose whose angle brackets, stars and console markup would be read as something else."""
    text = re.sub(r"\[/?(?:bold|italic|dim)\]", "", text)
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("*", "\\*")
