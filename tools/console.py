"""How commands print: one console, tables, and numbers with units."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


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


def si(value: float, unit: str, digits: int = 3) -> str:
    """A number with an SI prefix: 0.00123 s -> '1.23 ms'."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    scale, prefix = next((p for p in PREFIXES if abs(value) >= p[0]), PREFIXES[-1])
    return f"{value / scale:.{digits}g} {prefix}{unit}"


def latency(seconds: float | None) -> str:
    """Seconds with a prefix; a target without a clock has none."""
    return "no clock" if seconds is None else si(seconds, "s")


def time_text(value: float, unit: str) -> str:
    """A latency in its unit: seconds with a prefix, or whole cycles."""
    return f"{value:,.0f} cycles" if unit == "cycles" else si(value, unit)


def kib(size: float) -> str:
    """Bytes as KiB."""
    return f"{size / 1024:.1f} KiB"


def error_name(metric: str) -> str:
    """What a metric's value is called: metrics count errors, that of accuracy too."""
    return "1 - accuracy" if metric == "accuracy" else metric


def objective_text(name: str, value: float, unit: str = "s") -> str:
    """An objective's value as people read it; `unit` is that of a latency."""
    match name.removeprefix("paper_"):
        case "error":
            return f"{100 * value:.2f} %"
        case "latency":
            return time_text(value, unit)
        case "energy":
            return si(value, "J")
        case "size" | "sram":
            return kib(value)
        case "speedup":
            return f"{value:.3g}x"
    return f"{value:.4g}"


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
