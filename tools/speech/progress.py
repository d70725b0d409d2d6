"""Progress on the terminal for corpus generation and training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mohaq.tools.speech import corpus, train


def _bars(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f} / {task.total:.0f}"),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def corpus_progress(console: Console | None = None) -> Iterator[corpus.Progress]:
    """A callback for `build_corpus` that draws one bar a split."""
    with _bars(console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = bars.add_task(split, total=total)
            bars.update(tasks[split], completed=done)

        yield show


@contextmanager
def train_progress(
    epochs: int, console: Console | None = None
) -> Iterator[tuple[train.Report, train.Step]]:
    """Callbacks for `train` that draw the epochs done and print each one's errors."""
    with _bars(console) as bars:
        task = bars.add_task("epochs", total=epochs)

        def report(epoch: int, total: int, record: dict[str, float]) -> None:
            bars.update(task, completed=epoch, total=total)
            bars.console.print(
                f"epoch {epoch:3d}  loss {record['loss']:.4f}  "
                f"validation error {100 * record['validation']:.2f} %  {record['seconds']:.0f} s"
            )

        def step(epoch: int, share: float) -> None:
            bars.update(task, completed=epoch - 1 + share)

        yield report, step
