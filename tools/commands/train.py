"""`mohaq train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mohaq.tools.commands.options import model_words, target_words

_RETRAIN = "Retrain (--from)"


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints and weights.")],
    corpus: Annotated[
        Path | None, typer.Argument(help="Corpus folder of `mohaq corpus build`.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="default, lstm, gru, or paper (5.5 M weights).")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Of the recipe's schedule.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Of start values, order, dropout.")] = 1,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            autocompletion=model_words,
            metavar="MODEL",
            help="Retrain this model (built-in name or program folder) at given bits.",
            rich_help_panel=_RETRAIN,
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option("--bits", "-b", help="Same width everywhere.", rich_help_panel=_RETRAIN),
    ] = None,
    assignment: Annotated[
        Path | None,
        typer.Option("--assignment", "-a", help="An assignment.json.", rich_help_panel=_RETRAIN),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", help="Training data: path or vowels:train.", rich_help_panel=_RETRAIN
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            "--validation",
            help="Decides the best epoch (default: every fifth sequence of --data).",
            rich_help_panel=_RETRAIN,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            help="For a model without clips (default: --data).",
            rich_help_panel=_RETRAIN,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", "-m", help="fer (default), accuracy, mse, ...", rich_help_panel=_RETRAIN
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            autocompletion=target_words,
            help="Obey its rules.",
            rich_help_panel=_RETRAIN,
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Sequences.", rich_help_panel=_RETRAIN)
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Learning rate.", rich_help_panel=_RETRAIN)
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            "--patience", help="Epochs without a better validation.", rich_help_panel=_RETRAIN
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss", help="auto (default), frame, mean, last or mse.", rich_help_panel=_RETRAIN
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            help="all (default), or device: only layers with integers.",
            rich_help_panel=_RETRAIN,
        ),
    ] = None,
    recalibrate: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="Clips of activations anew after every epoch.",
            rich_help_panel=_RETRAIN,
        ),
    ] = False,
) -> None:
    """Train the speech recogniser, or retrain any model with quantization in the loop.

    `mohaq train CORPUS` follows the recipe of the shipped weights; the test split is read once, at
    the end. `--from` takes a model and the bits of its slots, trains it as it computes at these
    bits, and writes a program folder. Interrupted training continues from its last epoch.

    Example:  mohaq train corpus -o trained
    Example:  mohaq train --from vowels --bits 2 --data vowels:train -m accuracy -o vowels-2bit
    """
    from mohaq.compiler.diagnostics import MohaqError

    if (corpus is None) == (start is None):
        raise MohaqError("give either a corpus folder or --from MODEL")
    if corpus is not None:
        given = {
            "--bits": bits, "--assignment": assignment, "--data": data, "--validation": validation,
            "--calibration": calibration, "--target": target, "--batch": batch, "--rate": rate,
            "--patience": patience, "--metric": metric, "--loss": loss, "--part": part,
            "--recalibrate": recalibrate or None,
        }  # fmt: skip
        if unused := [name for name, value in given.items() if value is not None]:
            raise MohaqError(f"{unused[0]} goes with --from only")
        _recipe(corpus, out, model or "default", epochs, seed)
        return
    if model is not None:
        raise MohaqError("--model goes with a corpus folder only", hint="--from names the model")
    if data is None:
        raise MohaqError("retraining needs --data to learn from")
    if (bits is None) == (assignment is None):
        raise MohaqError("give either --bits or --assignment")
    from mohaq.compiler.assignment import Assignment
    from mohaq.tools.retraining import Request, run_retraining

    chosen = Assignment.uniform(bits) if bits is not None else Assignment.load(assignment or Path())
    settings = {
        "epochs": epochs, "batch": batch, "rate": rate, "patience": patience, "seed": seed,
        "loss": loss, "part": part, "recalibrate": recalibrate,
    }  # fmt: skip
    request = Request(
        str(start), chosen, data, validation, calibration, metric or "fer", target, out
    )
    run_retraining(request, {k: v for k, v in settings.items() if v is not None})


def _recipe(corpus: Path, out: Path, model: str, epochs: int | None, seed: int) -> None:
    """Train the speech recogniser from nothing."""
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
