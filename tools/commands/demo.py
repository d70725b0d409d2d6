"""`mohaq demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mohaq.tools.commands.options import target_words


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Run folder; an interrupted demo resumes.")
    ] = Path("demo-run"),
    target: Annotated[
        str,
        typer.Option("--target", "-t", autocompletion=target_words, help="Target name or .toml."),
    ] = ("bitfusion-e"),
    model: Annotated[
        str, typer.Option("--model", help="speech, speech-lstm or speech-gru.")
    ] = "speech",
    generations: Annotated[int, typer.Option("--generations", "-g", min=1)] = 24,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Of the search.")] = 1,
    utterances: Annotated[
        int, typer.Option("--utterances", help="Validation utterances of the search.", min=1)
    ] = 60,
    simulate: Annotated[
        int, typer.Option("--simulate", help="Test utterances to simulate.", min=1)
    ] = 8,
    workers: Annotated[int, typer.Option("--workers", "-j", help="Processes.")] = 2,
) -> None:
    """The whole way on a speech recogniser: import, calibrate, search, compile, simulate, report.

    Ends with a front of precisions for the target, one of them compiled to instruction words,
    executed, and compared with the integer reference bit for bit. If they differ, the demo fails.
    Takes a few minutes on two cores; nothing is downloaded and no result is shipped.

    Example:  mohaq demo --seed 3
    """
    from mohaq.tools.demo import DemoOptions, run_demo

    run_demo(DemoOptions(out, target, model, generations, seed, utterances, simulate, workers))
