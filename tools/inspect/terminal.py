"""Descriptions on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from mohaq.tools.console import console, say
from mohaq.tools.inspect.blocks import Block, Cell, Line, Listing, Mark, Table

STYLES: dict[Mark, str] = {
    "": "",
    "same": "dim",
    "less": "green",
    "more": "red",
    "changed": "yellow",
    "gone": "red",
    "new": "green",
}


def print_blocks(blocks: Sequence[Block], lines: int) -> None:
    """Print all blocks; of a listing the first `lines` lines (0: all of them)."""
    for block in blocks:
        match block:
            case Line(text, bold):
                say(text, style="bold" if bold else None)
            case Table():
                _table(block)
            case Listing(title, _):
                say(title, style="bold")
                for line in limited(block, lines):
                    console().out(line, highlight=False)


def limited(listing: Listing, most: int) -> Iterator[str]:
    """The first lines of a listing, then how many more there are (most = 0: all)."""
    lines = listing.lines()
    if not most:
        yield from lines
        return
    yield from islice(lines, most)
    if more := sum(1 for _ in lines):
        yield f"… {more:,} more lines (--instructions 0 shows all)"


def _table(table: Table) -> None:
    made = RichTable(
        title=escape(table.title), title_justify="left", title_style="bold", header_style="bold"
    )
    for number, column in enumerate(table.columns):
        made.add_column(escape(column), justify="left" if number < table.text else "right")
    for row in table.rows:
        made.add_row(*(_cell(cell) for cell in row))
    console().print(made)


def _cell(cell: object) -> Text:
    return Text(str(cell), style=STYLES[cell.mark] if isinstance(cell, Cell) else "")
