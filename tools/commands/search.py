"""`mohaq search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mohaq.tools.commands import options as common

if TYPE_CHECKING:
    from mohaq.compiler.search.engines import EngineName
    from mohaq.compiler.search.settings import Algorithm

_BEACONS = "Beacons (--mode beacon)"


def search(
    model: Annotated[
        str,
        typer.Argument(
            autocompletion=common.model_words,
            help="Built-in model (speech, speech-lstm, speech-gru, vowels), program folder, .mlir or .pt2.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-t",
            autocompletion=common.target_words,
            help="Target name or target .toml.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Run folder; an interrupted run resumes.")
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="Validation data: path or e.g. speech:validation."),
    ] = None,
    calibration: Annotated[
        str | None, typer.Option("--calibration", help="Calibration data, when not calibrated yet.")
    ] = None,
    metric: Annotated[
        str,
        typer.Option("--metric", "-m", help="fer, per, wer, accuracy, mse, or an installed one."),
    ] = "fer",
    objectives: Annotated[
        str,
        typer.Option(
            "--objectives",
            help="error, latency, energy, size, speedup, sram or installed ones, with commas.",
        ),
    ] = "error,latency,energy,size",
    preset: Annotated[
        str, typer.Option("--preset", help="default, or mohaq: 40 + 59 x 10 candidates.")
    ] = "default",
    generations: Annotated[
        int | None, typer.Option("--generations", "-g", help="Generations (20, or the preset's).")
    ] = None,
    population: Annotated[
        int | None,
        typer.Option("--population", help="Survivors a generation (16 in small spaces, or 40)."),
    ] = None,
    offspring: Annotated[
        int | None, typer.Option("--offspring", help="New candidates a generation (10).")
    ] = None,
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="auto, nsga2 or nsga3 (auto: above 3 objectives).")
    ] = "",
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Evaluate every assignment of a small space.")
    ] = False,
    space_limit: Annotated[
        int | None, typer.Option("--space-limit", help="Largest space to enumerate (100000).")
    ] = None,
    freeze: Annotated[
        list[str] | None, typer.Option("--freeze", help="SLOT=BITS, e.g. fc.input=16 or *.input=8.")
    ] = None,
    tie: Annotated[
        list[str] | None,
        typer.Option("--tie", help="Slots with one width, e.g. l0.weight,l1.weight."),
    ] = None,
    prefer: common.Prefer = "latency",
    seed: Annotated[int, typer.Option("--seed", "-s", help="Of all random choices.")] = 1,
    engine: common.Engine = "local",
    workers: common.Workers = 0,
    address: common.Address = None,
    timeout: common.Timeout = None,
    retries: common.Retries = 2,
    memory: common.Memory = None,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", help="Utterances to evaluate on (0: all), spread evenly."),
    ] = 0,
    max_error: Annotated[
        float | None, typer.Option("--max-error", help="Largest error, e.g. 0.25.")
    ] = None,
    max_size: Annotated[
        float | None, typer.Option("--max-size", help="Largest model in bytes.")
    ] = None,
    early_stop: Annotated[
        bool,
        typer.Option(
            "--early-stop/--no-early-stop",
            help="Stop candidates that cannot enter the next population; the front is the same.",
        ),
    ] = True,
    mode: Annotated[
        str,
        typer.Option("--mode", help="inference, or beacon: retrains what quantization ruins."),
    ] = "inference",
    train: Annotated[
        str | None, typer.Option("--train", help="Data to retrain on.", rich_help_panel=_BEACONS)
    ] = None,
    beacon_threshold: Annotated[
        float | None,
        typer.Option(
            help="Steps of weight widths to the nearest beacon before another is trained (5).",
            rich_help_panel=_BEACONS,
        ),
    ] = None,
    beacon_error: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="Errors worth a beacon (from float + 0.02 to 0.9).",
            rich_help_panel=_BEACONS,
        ),
    ] = None,
    beacon_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="On objectives, in SI units, e.g. 'speedup>20' or 'size<2e6'.",
            rich_help_panel=_BEACONS,
        ),
    ] = None,
    beacon_most: Annotated[
        int | None, typer.Option(help="Beacons at most.", rich_help_panel=_BEACONS)
    ] = None,
    beacon_epochs: Annotated[
        int | None, typer.Option(help="Of each training (10).", rich_help_panel=_BEACONS)
    ] = None,
    beacon_rate: Annotated[
        float | None, typer.Option(help="Learning rate (2e-3).", rich_help_panel=_BEACONS)
    ] = None,
    beacons: Annotated[
        Path | None,
        typer.Option(
            "--beacons",
            help="Folder of beacons that runs share (OUT/beacons).",
            rich_help_panel=_BEACONS,
        ),
    ] = None,
) -> None:
    """Search the bits of weights and activations of every layer.

    Trades error against latency, energy and size on the target. Everything is recorded: the same
    command continues an interrupted run and ends with the same front.

    Example:  mohaq search speech -t bitfusion-e -o run --generations 20 --workers 2
    Example:  mohaq search speech -t bitfusion-e -o run --mode beacon --train speech:calibration
    """
    from mohaq.backends.base import options_of
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.compiler.search.engines import EngineOptions
    from mohaq.compiler.search.evaluator import DEFAULT_MEMORY
    from mohaq.compiler.search.search import search as run_search
    from mohaq.compiler.search.settings import Constraints
    from mohaq.tools.beacons import BeaconArguments, beacon_search
    from mohaq.tools.console import progress_line, say
    from mohaq.tools.front import print_front
    from mohaq.tools.sources import VALIDATION, calibrated_model, load_data, model_name
    from mohaq.tools.watch import resumable, watch_search

    frozen = dict(_frozen(text) for text in freeze or ())
    if exhaustive and algorithm not in {"", "exhaustive"}:
        raise MohaqError(f"--exhaustive and --algorithm {algorithm} exclude each other")
    # What cannot work is refused before anything is loaded.
    running = EngineOptions(cast("EngineName", engine), workers, address, timeout, retries)
    cache = DEFAULT_MEMORY if memory is None else common.memory_bytes(memory)
    source = data or VALIDATION.get(model)
    if source is None:
        raise MohaqError("a search needs --data to measure the error on")
    given = BeaconArguments(
        train,
        beacon_threshold,
        beacon_error,
        tuple(beacon_if or ()),
        beacon_most,
        beacon_epochs,
        beacon_rate,
        beacons,
    )
    retrained = beacon_search(mode, given)
    with progress_line() as tell:
        program = calibrated_model(model, calibration, tell)
        chosen = load_data(source)
    if limit:
        chosen = chosen.subset(min(limit, len(chosen)))
    with resumable(out), watch_search() as observer:
        found = run_search(
            program,
            target=target,
            data=chosen,
            out=out,
            metric=metric,
            objectives=tuple(o.strip() for o in objectives.split(",") if o.strip()),
            preset=preset,
            generations=generations,
            population=population,
            offspring=offspring,
            algorithm=cast("Algorithm", "exhaustive" if exhaustive else algorithm) or None,
            space_limit=space_limit,
            freeze=frozen,
            ties=[[name.strip() for name in group.split(",")] for group in tie or ()],
            seed=seed,
            options=options_of(prefer),
            engine=running.engine,
            workers=workers,
            address=address,
            timeout=timeout,
            retries=retries,
            memory_bytes=cache,
            constraints=Constraints(max_error, max_size),
            observer=observer,
            name=model_name(model),
            beacons=retrained,
            early_stop=early_stop,
            tell=lambda text: say(f"  {text}"),
        )
    if not found.front:
        raise MohaqError(
            "no candidate keeps all limits",
            where=str(out),
            why="; ".join(found.unmet) or "each breaks one of them, or could not be evaluated",
            hint="loosen the limits or search longer; front.json holds all candidates",
        )
    print_front(found)
    say(f"wrote {out}/front.json and {len(found.front)} assignments")
    say(f"next: mohaq report {out}")


def _frozen(text: str) -> tuple[str, int]:
    from mohaq.compiler.diagnostics import MohaqError

    slot, equals, bits = text.rpartition("=")
    if not equals or not slot or not bits.isdecimal():
        raise MohaqError(f"--freeze takes SLOT=BITS, got '{text}'")
    return slot, int(bits)
