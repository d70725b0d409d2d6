"""Watching a search on the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mohaq.compiler.search.loop import Observer
from mohaq.compiler.search.loop import Progress as State
from mohaq.tools.boundary import Interrupted
from mohaq.tools.console import console, say


@contextlib.contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Ctrl-C says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"the run is kept in {out}; the same command continues it") from None


def describe(state: State) -> str:
    """One line about where a search stands."""
    best = "" if state.best_error is None else f"  best error {100 * state.best_error:.2f} %"
    reuse = state.hits / max(1, state.hits + state.misses)
    skipped = f"  {state.skipped} skipped" if state.skipped else ""
    failed = f"  {state.failed} failed" if state.failed else ""
    replayed = f"  {state.replayed} from the record" if state.replayed else ""
    return (
        f"{state.evaluated} evaluations{replayed}{skipped}{failed}  reuse {100 * reuse:.0f} %  "
        f"hypervolume {state.hypervolume:.4f}{best}"
    )


@contextlib.contextmanager
def watch_search() -> Iterator[Observer]:
    """An observer that draws the generations; off a terminal it prints one line in five."""
    if not sys.stdout.isatty():

        def lines(state: State) -> None:
            if state.event == "generation" and (
                state.generation % 5 == 0 or state.generation == state.generations
            ):
                say(f"  generation {state.generation}/{state.generations}: {describe(state)}")

        yield lines
        return
    columns = (
        TextColumn("generation {task.completed}/{task.total:.0f}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console()) as bars:
        task = bars.add_task("", total=None)

        def draw(state: State) -> None:
            done = state.generation if state.event != "evaluated" else max(0, state.generation - 1)
            bars.update(task, completed=done, total=state.generations, description=describe(state))

        yield draw
