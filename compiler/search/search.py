"""`search`: the precision search from a calibrated program to a front of assignments."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mohaq.backends.base import IntArray, Options, Target, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.metrics import Metric, check_labels, get_metric
from mohaq.compiler.plugins import owner
from mohaq.compiler.program import Program
from mohaq.compiler.search.beacon_settings import BeaconSearch
from mohaq.compiler.search.beacon_store import BeaconStore
from mohaq.compiler.search.beacon_training import BeaconTrainer, Tell
from mohaq.compiler.search.beacons import STORE_FOLDER, Beacons
from mohaq.compiler.search.early_stop import split_of
from mohaq.compiler.search.engine import Engine, Evaluation, Job, Outcome
from mohaq.compiler.search.engines import EngineName, EngineOptions, make_engine
from mohaq.compiler.search.enumeration import Enumeration
from mohaq.compiler.search.evaluator import DEFAULT_MEMORY
from mohaq.compiler.search.front import Point, SearchResult, pareto, widths_json
from mohaq.compiler.search.loop import SearchLoop, good
from mohaq.compiler.search.problem import SearchProblem
from mohaq.compiler.search.progress import Observer
from mohaq.compiler.search.recipe import write_inputs
from mohaq.compiler.search.record import BEACONS, Record, context_hash
from mohaq.compiler.search.scoring import bootstrap, score
from mohaq.compiler.search.settings import Algorithm, Constraints, SearchSettings

SEMANTICS = "qnn/1"
"""Version of the integer semantics; part of every record."""


def search(
    program: Program,
    *,
    target: str | Path,
    data: Dataset,
    out: str | Path,
    metric: str = "fer",
    objectives: Sequence[str] = ("error", "latency", "energy", "size"),
    preset: str = "default",
    generations: int | None = None,
    population: int | None = None,
    offspring: int | None = None,
    algorithm: Algorithm | None = None,
    space_limit: int | None = None,
    freeze: Mapping[str, int] | None = None,
    ties: Sequence[Sequence[str]] = (),
    seed: int = 1,
    engine: EngineName = "local",
    workers: int = 0,
    address: str | None = None,
    timeout: float | None = None,
    retries: int = 2,
    constraints: Constraints | None = None,
    workload: Workload | None = None,
    options: Options | None = None,
    observer: Observer | None = None,
    name: str = "model",
    memory_bytes: int = DEFAULT_MEMORY,
    beacons: BeaconSearch | None = None,
    tell: Tell | None = None,
    early_stop: bool = True,
) -> SearchResult:
    """Search the widths of a program's precision slots.

    Args:
        program: calibrated `nn` program, for every width that the target allows.
        target: name of a target, or the path of its TOML file.
        data: validation data; must not be what the program was calibrated or will be tested on.
        out: run folder. Repeating the same call resumes it; only `generations`, `memory_bytes`
            and what is said of the engine may differ.
        metric: scores an utterance (fer, per, wer, accuracy, mse, or an installed one).
        objectives: error, latency, energy, size, speedup, sram, or installed ones, in any order.
        preset: `default`, or `mohaq` for the settings of the paper's code; what is given beside it
            stands.
        generations: of the algorithm, the initial population included.
        population: candidates that survive a generation; left open, 16 where NSGA-II searches up
            to 100,000 assignments, else 40.
        offspring: candidates that a generation adds.
        algorithm: auto (NSGA-II up to three objectives, NSGA-III beyond), nsga2, nsga3, or
            exhaustive, which evaluates every assignment of a small space.
        space_limit: largest space that is enumerated.
        freeze: {slot or pattern such as `*.input`: bits}.
        ties: groups of slots or patterns that share one width.
        seed: of all random choices.
        engine: local, dask or ray; the result is the same on every one.
        workers: processes. 0: `local` evaluates in this process, the others use the whole
            cluster, or a process a core of this machine.
        address: of a running cluster; without one, dask and ray start one on this machine.
        timeout: seconds for one candidate; None waits for ever.
        retries: repeats of a candidate whose worker died or that took too long; then it counts
            as failed.
        constraints: limits of feasible candidates.
        workload: what latency and energy are for; by default the data's mean length, one
            sequence at a time.
        options: timing and scheduling.
        observer: told of every evaluation and generation.
        name: of the model, for reports.
        memory_bytes: layer values and compiled layers that each worker keeps, beacons included.
        beacons: retrain candidates that quantization ruins, and what is near them with it.
        tell: told of the beacons' training.
        early_stop: stop candidates that cannot enter the next population before all sequences are
            run; the front is the same without. A resumed search may change it.

    Raises:
        MohaqError: the program is not calibrated, the data do not fit, the folder is in use or
            holds another search, too many evaluations fail, the engine is not installed or its
            cluster does not answer.
    """
    engines = EngineOptions(engine, workers, address, timeout, retries)
    settings = SearchSettings.of(
        preset,
        objectives=tuple(objectives),
        metric=metric,
        generations=generations,
        population=population,
        offspring=offspring,
        algorithm=algorithm,
        space_limit=space_limit,
        freeze=tuple((freeze or {}).items()),
        ties=tuple(tuple(tie) for tie in ties),
        seed=seed,
        constraints=constraints or Constraints(),
        options=options or Options(),
        workload=workload,
        early_stop=early_stop,
    )
    return run_search(
        program,
        target=str(target),
        data=data,
        out=Path(out),
        settings=settings,
        engine=engines,
        observer=observer,
        name=name,
        memory_bytes=memory_bytes,
        beacons=beacons,
        tell=tell,
    )


def run_search(
    program: Program,
    *,
    target: str,
    data: Dataset,
    out: Path,
    settings: SearchSettings,
    engine: Engine | EngineOptions | None = None,
    observer: Observer | None = None,
    name: str = "model",
    memory_bytes: int = DEFAULT_MEMORY,
    beacons: BeaconSearch | None = None,
    tell: Tell | None = None,
) -> SearchResult:
    """`search` with settings as one object, and with any engine (None: in this process)."""
    backend, machine = find_target(target)
    metric = get_metric(settings.metric)
    check_labels(metric, data)
    workload = settings.workload or Workload(max(1, round(data.frames / len(data))))
    settings = replace(settings, workload=workload)
    program = program.clone()
    program.seal()  # a program has one hash, saved or not
    calibrated = backend.obeyed(calibrated_table(program), machine)
    problem = SearchProblem(calibrated, backend, machine, settings, workload)
    settings = problem.settings = settings.for_space(problem.space.size)
    problem.check_limits()
    if settings.resolved == "exhaustive":
        Enumeration(problem.space, settings.space_limit)  # refuses before anything is written
    decides = _decides(program, machine, data, settings)
    header = _header(decides, settings)
    store: BeaconStore | None = None
    if beacons is not None:
        beacons.check(data, settings.objectives)
        header[BEACONS] = json.dumps(beacons.identity(), sort_keys=True)
        store = BeaconStore((beacons.store or out / STORE_FOLDER).absolute())
    with Record(out, header) as record:
        context = context_hash(decides)
        full = _float_error(program, data, metric, record, context) if problem.needs_error else None
        own = engine is None or isinstance(engine, EngineOptions)
        split = None
        if full is not None and own and beacons is None and settings.stops_early:
            split = (
                split_of(full, data.lengths.tolist())
                if getattr(metric, "lower_bound", False)
                else None
            )
        recipe = write_inputs(
            out,
            program,
            machine,
            data,
            settings.metric,
            memory_bytes,
            store.folder if store else None,
            split.first if split else (),
        )
        made = (
            make_engine(recipe, engine or EngineOptions())
            if engine is None or isinstance(engine, EngineOptions)
            else engine
        )
        try:
            held: Beacons | None = None
            if beacons is not None and store is not None and full is not None:
                trainer = BeaconTrainer(out, recipe.target, settings.metric, beacons, tell)
                held = Beacons(beacons, trainer, record, store, decides, full.value, tell)
            loop = SearchLoop(problem, made, record, context, observer, held, split)
            uniform = problem.uniform()
            if uniform:
                loop.assess(np.array(list(uniform.values())))
                loop.check_failures()
            reference = _reference(loop, uniform, full)  # by plain quantization
            limits = problem.reference_point(full.value if full else 0.0)
            loop.run(limits)
        finally:
            made.close()
        front = pareto(loop.points.values(), settings.axes)
        result = SearchResult(
            {
                "model": {"name": name, "hash": decides["model"]},
                "target": {
                    "name": machine.name,
                    "backend": backend.name,
                    "hash": decides["target"],
                },
                "seed": settings.seed,
                "workload": asdict(workload),
                "metric": {"name": settings.metric},
                "dataset": {
                    "hash": decides["dataset"],
                    "utterances": len(data),
                    "frames": data.frames,
                },
                "settings": {
                    "algorithm": settings.resolved,
                    "population": settings.population,
                    "offspring": settings.offspring,
                    "generations": settings.generations,
                    "constraints": asdict(settings.constraints),
                    "options": asdict(settings.options),
                },
                "genes": [
                    {
                        "name": group.name,
                        "slots": [str(slot) for slot in group.slots],
                        "choices": [list(choice) for choice in group.choices],
                    }
                    for group in problem.space.groups
                ],
                "hypervolume_reference": dict(
                    zip(settings.objectives, map(float, limits), strict=True)
                ),
                **({"beacons": held.to_json(out.absolute())} if held else {}),
            },
            tuple(
                replace(a, unit=backend.latency_unit(machine)) if a.name == "latency" else a
                for a in settings.axes
            ),
            reference,
            tuple(loop.generations),
            tuple(loop.points.values()),
            tuple(_with_interval(point, loop.outcomes) for point in front),
            out,
            () if front else tuple(problem.unmet(p.objectives for p in loop.points.values())),
        )
        result.write()
    return result


def target_hash(target: Target) -> str:
    """Hash of everything that a target file says."""
    said = {
        "name": target.name,
        "backend": target.backend,
        "constants": {k: asdict(c) for k, c in sorted(target.constants.items())},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _decides(
    program: Program, target: Target, data: Dataset, settings: SearchSettings
) -> dict[str, str]:
    """Everything beside the widths that decides an error."""
    return {
        "model": program.content_hash(),
        "dataset": data.content_hash(),
        "metric": settings.metric,
        "target": target_hash(target),
        "numerics": settings.options.numerics,
        "semantics": SEMANTICS,
    }


def _header(decides: Mapping[str, str], settings: SearchSettings) -> dict[str, str]:
    held = {**decides, "pymoo": version("pymoo"), "numpy": version("numpy")}
    for key, value in settings.identity().items():
        held.setdefault(key, json.dumps(value, sort_keys=True))
    return held


def _float_error(
    program: Program, data: Dataset, metric: Metric, record: Record, context: str
) -> Evaluation | None:
    """Error of the float program; kept in the record like a candidate.

    Raises:
        MohaqError: the metric cannot score it, so it will score no candidate.
    """
    job = Job(f"float:{context}", ())
    known = record.get(job.key)
    if known is None:
        outputs = [run_float(program, [x[:, None, :]])[0][:, 0] for x in data.inputs]
        where = f"metric '{metric.name}', outputs of the float program"
        try:
            found = score(metric, outputs, data)
        except MohaqError:
            raise
        except Exception as error:  # another package's code
            plugin = owner(type(metric))
            of = "" if plugin is None else f" of {plugin.package}"
            why = f"{type(error).__name__}: {error}"
            raise MohaqError(f"the metric{of} failed", where=where, why=why) from error
        if not math.isfinite(found.value):
            raise MohaqError(f"the error is {found.value}", where=where)
        known = Outcome(job.key, found)
        record.put(0, job, known)
    return good(known)


def _reference(
    loop: SearchLoop, uniform: Mapping[int, IntArray], full: Evaluation | None
) -> list[dict[str, Any]]:
    """Rows to compare with: the float program and the legal uniform assignments."""
    rows: list[dict[str, Any]] = []
    if full is not None:
        interval = list(bootstrap(full))
        rows.append(
            {"name": "float", "objectives": {"error": full.value}, "error_interval": interval}
        )
    for bits, genome in uniform.items():
        key = tuple(int(v) for v in genome)
        point = _with_interval(loop.points[key], loop.outcomes)
        rows.append(
            {
                "name": f"uniform {bits}",
                "widths": widths_json(point.widths),
                "objectives": dict(point.objectives),
                "feasible": point.feasible,
                "error_interval": list(point.error_interval or ()) or None,
            }
        )
    return rows


def _with_interval(point: Point, outcomes: Mapping[tuple[int, ...], Outcome]) -> Point:
    found = good(outcomes.get(point.genome))
    return point if found is None else replace(point, error_interval=bootstrap(found))
