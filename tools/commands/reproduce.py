"""`mohaq reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mohaq.tools.commands import options as common

if TYPE_CHECKING:
    from mohaq.compiler.search.engines import EngineName
    from mohaq.tools.reproduce.experiments import Accounting


def reproduce(
    experiment: Annotated[str, typer.Argument(help="size, silago, bitfusion or beacon.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of all experiments; they resume there.")
    ] = Path("reproduction"),
    accounting: Annotated[
        str,
        typer.Option("--accounting", help="paper: its counts of size, speed-up, energy; or true."),
    ] = "paper",
    timit: Annotated[
        Path | None,
        typer.Option("--timit", help="Your copy of TIMIT (LDC93S1); else the default corpus."),
    ] = None,
    network: Annotated[
        str, typer.Option("--network", help="Trained on TIMIT: default (4 x 128), paper (4 x 550).")
    ] = "default",
    train_epochs: Annotated[
        int | None, typer.Option("--train-epochs", help="Of that training (18).", min=1)
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", help="Folder of `mohaq corpus build`: beacons learn from it."),
    ] = None,
    generations: Annotated[
        int | None, typer.Option("--generations", "-g", help="The paper's, if left out.", min=1)
    ] = None,
    utterances: Annotated[
        int | None, typer.Option("--utterances", "-n", help="Of the search (all).", min=1)
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", "-m", help="Of the search: fer; timit-per on TIMIT.")
    ] = None,
    beacon_most: Annotated[
        int | None, typer.Option("--beacon-most", help="Beacons at most (8).", min=1)
    ] = None,
    beacon_epochs: Annotated[
        int | None,
        typer.Option("--beacon-epochs", help="Of each (10; the paper's code: 20).", min=1),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Of all random choices.")] = 1,
    engine: common.Engine = "local",
    workers: common.Workers = 0,
    address: common.Address = None,
    timeout: common.Timeout = None,
    retries: common.Retries = 2,
    memory: common.Memory = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="8 generations on 30 utterances, to see it work.")
    ] = False,
) -> None:
    """Run an experiment of the MOHAQ paper and print our figures beside the abstract's claims.

    With its spaces, limits and search settings. What our data and network are not is said; no
    table of the paper is quoted. The same command continues an interrupted run.

    Example:  mohaq reproduce silago --quick
    Example:  mohaq reproduce beacon --timit ~/TIMIT -j 2
    """
    from mohaq.compiler.diagnostics import MohaqError, did_you_mean
    from mohaq.compiler.search.engines import EngineOptions
    from mohaq.compiler.search.evaluator import DEFAULT_MEMORY
    from mohaq.tools.reproduce.experiments import find_experiment
    from mohaq.tools.reproduce.run import ReproduceOptions, run_reproduction
    from mohaq.tools.speech.networks import check_name

    chosen = find_experiment(experiment)
    if accounting not in ("paper", "true"):
        raise MohaqError(
            f"no accounting '{accounting}'", hint=did_you_mean(accounting, ("paper", "true"))
        )
    check_name(network)
    running = EngineOptions(cast("EngineName", engine), workers, address, timeout, retries)
    cache = DEFAULT_MEMORY if memory is None else common.memory_bytes(memory)
    if timit is None and (network != "default" or train_epochs is not None):
        raise MohaqError("--network and --train-epochs go with --timit only")
    if timit is not None and corpus is not None:
        raise MohaqError("--timit and --corpus exclude each other")
    run_reproduction(
        chosen,
        ReproduceOptions(
            out, cast("Accounting", accounting), timit, corpus, network, train_epochs,
            generations, utterances, metric, beacon_most, beacon_epochs, seed,
            running, cache, quick,
        ),
    )  # fmt: skip
