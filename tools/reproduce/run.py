"""Runs an experiment of the paper and says what came out beside what the abstracts claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mohaq.backends.base import Options, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import bits_text
from mohaq.compiler.data import Dataset
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.qat import RetrainOptions
from mohaq.compiler.search.beacon_settings import BeaconSearch, BeaconSettings, Condition
from mohaq.compiler.search.beacon_store import BeaconStore
from mohaq.compiler.search.beacons import STORE_FOLDER
from mohaq.compiler.search.engines import EngineOptions
from mohaq.compiler.search.evaluator import DEFAULT_MEMORY
from mohaq.compiler.search.front import Point, SearchResult
from mohaq.compiler.search.problem import SearchProblem
from mohaq.compiler.search.scoring import score
from mohaq.compiler.search.search import run_search
from mohaq.compiler.search.settings import Constraints, SearchSettings
from mohaq.tools.console import error_name, progress_line, say, table
from mohaq.tools.front import print_front
from mohaq.tools.measure import errors, float_outputs
from mohaq.tools.report.load import load_report
from mohaq.tools.report.page import write_report
from mohaq.tools.reproduce.experiments import (
    AGAIN,
    BEACON_SHARE,
    BEACON_THRESHOLD,
    ERROR_MARGIN,
    Accounting,
    Experiment,
)
from mohaq.tools.reproduce.figures import (
    Figure,
    beacon_figures,
    share_figures,
    size_figures,
    speed_figures,
)
from mohaq.tools.reproduce.task import Task, default_task, timit_task
from mohaq.tools.watch import resumable, watch_search

FLOAT_BYTES = 4
RESULT_FILE = "reproduction.json"


@dataclass(frozen=True)
class ReproduceOptions:
    """What the command line asked for; None: the default of the experiment.

    `quick` searches 8 generations on 30 utterances and trains two beacons for two epochs.
    """

    out: Path
    accounting: Accounting = "paper"
    timit: Path | None = None
    corpus: Path | None = None
    network: str = "default"
    train_epochs: int | None = None
    generations: int | None = None
    utterances: int | None = None
    metric: str | None = None
    most: int | None = None
    epochs: int | None = None
    seed: int = 1
    engine: EngineOptions = field(default_factory=EngineOptions)
    memory_bytes: int = DEFAULT_MEMORY
    quick: bool = False


QUICK = {"generations": 8, "utterances": 30, "most": 2, "epochs": 2}
FULL = {"utterances": 0, "most": 8, "epochs": 10}


def run_reproduction(experiment: Experiment, options: ReproduceOptions) -> None:
    """Search, measure on test data, print, write a report and `reproduction.json`.

    Raises:
        MohaqError: see `search`, and `timit_task`.
    """
    budget = QUICK if options.quick else {**FULL, "generations": experiment.generations}
    chosen = {k: v for k in budget if (v := getattr(options, k)) is not None}
    options = replace(options, **{**budget, **chosen})
    with progress_line() as tell:
        if options.timit is None:
            task = default_task(options.corpus, tell)
        else:
            epochs = options.train_epochs
            task = timit_task(
                options.timit, options.out, options.network, epochs, options.seed, tell
            )
    data = task.validation
    if options.utterances:
        data = data.subset(min(options.utterances, len(data)))
    metric = options.metric or task.metric
    full = score(get_metric(metric), float_outputs(task.program, data), data).value
    bounds = _Bounds(task.program, experiment, options, data, full, metric)
    folder = options.out / f"{experiment.name}-{options.accounting}"
    say(f"{experiment.name}: {task.text}")
    say(f"search: {experiment.note}; {options.accounting} accounting, metric {metric}")
    say(f"limits: {bounds.text}")
    plain = _search(task, data, experiment, bounds, folder, options, None)
    fronts = {"inference": plain}
    if experiment.beacons:
        say("the same search with beacons")
        search = bounds.beacons(task, options)
        fronts["beacon"] = _search(task, data, experiment, bounds, folder, options, search)
    last = list(fronts.values())[-1]
    if last.front:
        print_front(last)
        write_report(load_report(folder), folder / "report.html")
    figures = _figures(experiment, bounds, fronts, full, task.program)
    measured = _on_test(task, bounds, folder, figures)
    _print(experiment, figures, measured, full, metric, task)
    write_text(
        folder / RESULT_FILE,
        dump_json(_result(experiment, options, task, metric, full, bounds, figures, measured)),
    )
    say(f"wrote {folder}: front.json, report.html, {RESULT_FILE}")


class _Bounds:
    """Limits of an experiment on a program, and the costs of its widest and narrowest assignment."""

    def __init__(
        self,
        program: Program,
        experiment: Experiment,
        options: ReproduceOptions,
        data: Dataset,
        full: float,
        metric: str,
    ) -> None:
        self.names = experiment.names(options.accounting)
        self.size = "paper_size" if options.accounting == "paper" else "size"
        self.full = full
        self.workload = Workload(max(1, round(data.frames / len(data))))
        self.backend, self.machine = find_target(experiment.target)
        names = dict.fromkeys((*self.names, self.size))
        settings = SearchSettings.of(
            "mohaq", objectives=tuple(names), metric=metric, seed=options.seed,
            generations=options.generations,
        )  # fmt: skip
        calibrated = self.backend.obeyed(calibrated_table(program), self.machine)
        problem = SearchProblem(calibrated, self.backend, self.machine, settings, self.workload)
        upper = problem.space.upper
        costs = problem.costs(np.stack([upper, 0 * upper]))
        self.widest = {name: float(values[0]) for name, values in costs.items()}
        self.narrowest = {name: float(values[1]) for name, values in costs.items()}
        more: tuple[tuple[str, float], ...] = ()
        if experiment.limit is not None:
            more = ((self.size, experiment.limit * self.widest[self.size]),)
        constraints = Constraints(full + ERROR_MARGIN, more=more)
        self.settings = replace(
            settings, objectives=self.names, constraints=constraints,
            workload=self.workload, options=Options(),
        )  # fmt: skip
        limit = "" if not more else f", {self.size} up to {more[0][1]:,.0f} bytes"
        self.text = f"error up to {100 * (full + ERROR_MARGIN):.1f} % (float {100 * full:.1f} %)"
        self.text += limit

    def whole(self, program: Program) -> float:
        """Bytes of the float parameters, in the accounting."""
        if self.size == "paper_size":  # as many words as the 16-bit model has
            return self.widest[self.size] * FLOAT_BYTES / 2
        used = (program.parameters[name] for name in program.used_parameters())
        return float(FLOAT_BYTES * sum(a.size for a in used))

    def beacons(self, task: Task, options: ReproduceOptions) -> BeaconSearch:
        """The beacon search with the conditions of the authors' code."""
        speedup = self.names[1]
        settings = BeaconSettings(
            BEACON_THRESHOLD,
            (self.full + AGAIN[0], self.full + AGAIN[1]),
            (Condition(speedup, ">", BEACON_SHARE * self.narrowest[speedup]),),
            options.most,
            RetrainOptions(epochs=options.epochs or RetrainOptions.epochs, threads=1),
        )
        store = options.out / STORE_FOLDER  # shared by both accountings
        return BeaconSearch(task.learned, task.judged, settings, store)


def _search(
    task: Task,
    data: Dataset,
    experiment: Experiment,
    bounds: _Bounds,
    folder: Path,
    options: ReproduceOptions,
    beacons: BeaconSearch | None,
) -> SearchResult:
    with resumable(folder), watch_search() as observer:
        return run_search(
            task.program,
            target=experiment.target,
            data=data,
            out=folder,
            settings=bounds.settings,
            engine=options.engine,
            memory_bytes=options.memory_bytes,
            observer=observer,
            name="speech" if options.timit is None else str(options.out / "start"),
            beacons=beacons,
            tell=lambda text: say(f"  {text}"),
        )


def _figures(
    experiment: Experiment,
    bounds: _Bounds,
    fronts: dict[str, SearchResult],
    full: float,
    program: Program,
) -> list[Figure]:
    plain = fronts["inference"].front
    first = bounds.names[1]
    match experiment.name:
        case "size":
            return size_figures(plain, full, first, bounds.whole(program))
        case "silago":
            widest, narrowest = bounds.widest, bounds.narrowest
            return share_figures(plain, full, first, bounds.names[2], widest, narrowest)
        case "beacon":
            return beacon_figures(plain, fronts["beacon"].front, first)
    return speed_figures(plain, full, first)


def _on_test(
    task: Task, bounds: _Bounds, folder: Path, figures: Sequence[Figure]
) -> list[dict[str, Any]]:
    """Test errors of the float program and of the figures' points."""
    rows: list[dict[str, Any]] = []
    args = (bounds.backend, bounds.machine, task.test)
    found = errors(task.program, *args, {"float": None}, task.metrics)
    rows.append({"name": "float", "errors": found["float"]})
    seen: set[tuple[int, ...]] = set()
    for figure in figures:
        point = figure.point
        if point is None or point.genome in seen:
            continue
        seen.add(point.genome)
        program = task.program
        if point.beacon:
            program = BeaconStore(folder.parent / STORE_FOLDER).load(point.beacon)
        name = bits_text(point.widths)
        found = errors(program, *args, {name: point.widths}, task.metrics)
        rows.append({"name": name, "errors": found[name], "genome": list(point.genome)})
    return rows


def _print(
    experiment: Experiment,
    figures: Sequence[Figure],
    measured: Sequence[dict[str, Any]],
    full: float,
    metric: str,
    task: Task,
) -> None:
    claims = experiment.claims
    if claims:
        rows = [
            (claim.what, claim.v1, claim.v3, figure.text)
            for claim, figure in zip(claims, figures, strict=True)
        ]
        columns = ("claim of the abstract", "arXiv v1", "arXiv v3", "ours")
        table("Claims beside our figures", columns, rows, text=4)
    else:
        table("Our figures (the abstract has none)", ("",), [(f.text,) for f in figures], text=1)
    say(f"ours: {error_name(metric)} on validation data, float {100 * full:.2f} %; {task.text}")
    start = measured[0]["errors"]
    lines = [
        (
            row["name"],
            *(f"{100 * row['errors'][m]:.2f} ({100 * (row['errors'][m] - start[m]):+.2f})"
              for m in task.metrics),
        )
        for row in measured
    ]  # fmt: skip
    title = f"On {len(task.test)} test utterances"
    table(title, ("weight x input bits", *(f"{m} %" for m in task.metrics)), lines, text=1)


def _result(
    experiment: Experiment,
    options: ReproduceOptions,
    task: Task,
    metric: str,
    full: float,
    bounds: _Bounds,
    figures: Sequence[Figure],
    measured: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    def described(point: Point | None) -> dict[str, Any] | None:
        if point is None:
            return None
        held = {"objectives": dict(point.objectives), "genome": list(point.genome)}
        return {**held, "beacon": point.beacon} if point.beacon else held

    return {
        "schema": "mohaq.reproduction/1",
        "experiment": experiment.name,
        "accounting": options.accounting,
        "task": task.text,
        "metric": metric,
        "float_error": full,
        "limits": bounds.text,
        "widest": {n: bounds.widest[n] for n in bounds.names[1:]},
        "narrowest": {n: bounds.narrowest[n] for n in bounds.names[1:]},
        "claims": [{"what": c.what, "arXiv v1": c.v1, "arXiv v3": c.v3} for c in experiment.claims],
        "figures": [{"text": f.text, "point": described(f.point)} for f in figures],
        "test": list(measured),
    }
