"""Pieces of a description, the same for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Mark = Literal["", "same", "less", "more", "changed", "gone", "new"]
"""How a cell differs from what it is compared with; each has a colour."""


@dataclass(frozen=True)
class Cell:
    """A text with a mark."""

    text: str
    mark: Mark = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Line:
    """A line of text."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a title; the first `text` columns are words, the others numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    text: int = 1


@dataclass(frozen=True)
class Listing:
    """Lines that may be many: they are made anew each time they are asked for."""

    title: str
    lines: Callable[[], Iterator[str]]


Block = Line | Table | Listing


def named_rows(held: dict[str, object]) -> list[tuple[str, object]]:
    """Rows of a table of two columns, without the empty ones."""
    return [(name, value) for name, value in held.items() if value not in {"", None}]
