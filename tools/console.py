"""How commands print: one console, tables, and numbers with units."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mohaq.compiler.number_text import (
    error_name,
    kib,
    latency,
    objective_text,
    si,
    time_text,
)

__all__ = [
    "console",
    "error_name",
    "kib",
    "latency",
    "objective_text",
    "progress_bar",
    "progress_line",
    "say",
    "si",
    "table",
    "time_text",
]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the error boundary; rich would exit with 1, which is for failed checks."""
        raise BrokenPipeError


@cache
def console() -> Console:
    """The console of standard output; wide when that is no terminal, so that pipes lose nothing."""
    width = None if sys.stdout.isatty() else 160
    return _Console(width=width, highlight=False, soft_wrap=False)


def say(text: str = "", style: str | None = None) -> None:
    """Print a line; `text` is taken literally (names come from models)."""
    console().print(escape(text), style=style)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, text: int = 1
) -> None:
    """Print a table; the first `text` columns are words, the others numbers (right-aligned)."""
    made = Table(title=escape(title), title_justify="left", title_style="bold", header_style="bold")
    for number, column in enumerate(columns):
        made.add_column(escape(column), justify="left" if number < text else "right")
    for row in rows:
        made.add_row(*(escape(str(cell)) for cell in row))
    console().print(made)


@contextlib.contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Shows what is being done at the moment; off a terminal each step is a line."""
    if not sys.stdout.isatty():
        yield lambda step: say(f"  {step}")
        return
    with console().status("") as status:
        yield lambda step: status.update(escape(step))


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar; call with (done, all). Off a terminal only the title is printed."""
    if not sys.stdout.isatty():
        say(f"  {title}")
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console(), transient=True) as bars:
        task = bars.add_task(escape(title), total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
