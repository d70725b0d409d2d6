"""Watching a search on the terminal."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mohaq.compiler.search.progress import Observer
from mohaq.compiler.search.progress import Progress as State
from mohaq.tools.boundary import Interrupted
from mohaq.tools.console import console, say

QUIET_SECONDS = 15.0
"""Longest silence off a terminal while a generation runs."""

Clock = Callable[[], float]


@contextlib.contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Ctrl-C says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        again = shlex.join(["mohaq", *sys.argv[1:]])
        raise Interrupted(
            f"the run is kept in {out}; the same command continues it:\n  {again}"
        ) from None


class TimeLeft:
    """Estimates the rest of a search from its speed since the first evaluation of this process.

    What comes from the record before that takes no time and does not count.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._begin: float | None = None
        self._goal = 0
        self._last = 0

    def seconds(self, state: State) -> float | None:
        """Seconds to go; None while nobody can know."""
        now = self._clock()
        if self._begin is None:
            if state.event != "evaluated":
                return None
            self._begin, self._goal = now, state.remaining
        # Probes and the like are only known when they are asked for.
        self._goal += max(0, state.remaining - self._last) if self._last else 0
        self._last = state.remaining
        done = self._goal - state.remaining
        return (now - self._begin) * state.remaining / done if done > 0 else None


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def describe(state: State) -> str:
    """One line about where a search stands."""
    best = "" if state.best_error is None else f"  best error {100 * state.best_error:.2f} %"
    hits = state.hits / max(1, state.hits + state.misses)
    skipped = f"  {state.skipped} skipped" if state.skipped else ""
    stopped = f"  {state.stopped} stopped early" if state.stopped else ""
    failed = f"  {state.failed} failed" if state.failed else ""
    replayed = f"  {state.replayed} from the record" if state.replayed else ""
    return (
        f"{state.evaluated} evaluations{replayed}{skipped}{failed}{stopped}  cache hits {100 * hits:.0f} %  "
        f"hypervolume {state.hypervolume:.4f}{best}"
    )


class Lines:
    """Progress as lines: generations one in five, and what runs when it was quiet for long."""

    def __init__(self, write: Callable[[str], None], clock: Clock = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._left = TimeLeft(clock)
        self._said = clock()

    def __call__(self, state: State) -> None:
        """Say it, or not."""
        left = self._left.seconds(state)
        ended = state.event == "generation" and (
            state.generation % 5 == 0 or state.generation == state.generations
        )
        if ended or (state.event != "done" and self._clock() - self._said >= QUIET_SECONDS):
            self._said = self._clock()
            rest = f"  {duration(left)} left" if left else ""
            self._write(
                f"  generation {state.generation}/{state.generations}: {describe(state)}{rest}"
            )


@contextlib.contextmanager
def watch_search() -> Iterator[Observer]:
    """An observer that draws the generations; off a terminal it prints lines."""
    if not sys.stdout.isatty():
        yield Lines(say)
        return
    columns = (
        TextColumn("generation {task.completed}/{task.total:.0f}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}"),
    )
    time_left = TimeLeft()
    with Progress(*columns, console=console()) as bars:
        task = bars.add_task("", total=None, left="")

        def draw(state: State) -> None:
            done = state.generation if state.event != "evaluated" else max(0, state.generation - 1)
            left = time_left.seconds(state)
            bars.update(
                task,
                completed=done,
                total=state.generations,
                description=describe(state),
                left=f"{duration(left)} left" if left else "",
            )

        yield draw
