"""`mohaq train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    corpus: Annotated[Path, typer.Argument(help="Corpus folder of `mohaq corpus build`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints and weights.")],
    model: Annotated[
        str, typer.Option("--model", help="default, lstm, gru, or paper (5.5 M weights).")
    ] = "default",
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Of the recipe's schedule.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Of start values, order, dropout.")] = 1,
) -> None:
    """Train the speech recogniser by the recipe of the shipped weights.

    Interrupted training continues from its last epoch. The test split is read once, at the end.

    Example:  mohaq train corpus -o trained
    """
    from dataclasses import replace

    from mohaq.tools.console import console, say
    from mohaq.tools.speech.progress import train_progress
    from mohaq.tools.speech.train import TrainOptions
    from mohaq.tools.speech.train import train as run_train
    from mohaq.tools.watch import resumable

    options = TrainOptions(model=model, seed=seed)
    if epochs is not None:
        options = replace(options, epochs=epochs)
    with resumable(out), train_progress(options.epochs, console()) as (report, step):
        done = run_train(corpus, out, options, report, step)
    for split in ("validation", "test"):
        held = done.record.get(split)
        if isinstance(held, dict):
            say(f"{split}: " + "  ".join(f"{k} {v}" for k, v in held.items()))
    say(f"wrote {done.weights}")
