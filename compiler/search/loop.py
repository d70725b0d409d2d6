"""The generations of a search: ask, price, evaluate what is new, tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mohaq.backends.base import FloatArray, IntArray
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.beacons import Beacons
from mohaq.compiler.search.engine import Engine, Evaluation, Failure, Job, Outcome
from mohaq.compiler.search.enumeration import CHUNK, Enumeration
from mohaq.compiler.search.front import Generation, Point, hypervolume, lowered, pareto
from mohaq.compiler.search.nsga2 import Nsga2
from mohaq.compiler.search.problem import SearchProblem
from mohaq.compiler.search.record import GenerationRow, Record, evaluation_key
from mohaq.compiler.search.seeding import POINTS, SHARE, derived, probes

LEAST_FAILURES = 10
"""Evaluations before the failure share counts."""


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        event: what has just happened.
        generation: number of the running generation, 0 for the reference rows.
        generations: how many there will be.
        evaluated: evaluations made by this process.
        replayed: evaluations taken from the record.
        planned: evaluations still to make in this generation.
        remaining: candidates still to come, those of later generations included.
        skipped: candidates that broke a limit before inference.
        failed: evaluations that gave no error.
        hits, misses: layer values taken from memory and computed.
        hypervolume: after the last finished generation.
        best_error: smallest error of a feasible candidate of the finished batches.
        seconds: mean time of an evaluation in a worker.
    """

    event: Literal["evaluated", "generation", "done"]
    generation: int
    generations: int
    evaluated: int
    replayed: int
    planned: int
    remaining: int
    skipped: int
    failed: int
    hits: int
    misses: int
    hypervolume: float
    best_error: float | None
    seconds: float


Observer = Callable[[Progress], None]


class SearchLoop:
    """Runs one search; everything random is in `Nsga2`.

    Args:
        problem: genes, costs and limits.
        engine: evaluates candidates.
        record: the open log.
        context: hash of what decides an error beside the widths.
        observer: told of every evaluation and generation.
        beacons: of a beacon-based search.
    """

    def __init__(
        self,
        problem: SearchProblem,
        engine: Engine,
        record: Record,
        context: str,
        observer: Observer | None = None,
        beacons: Beacons | None = None,
    ) -> None:
        self._problem = problem
        self._engine = engine
        self._record = record
        self._context = context
        self._observer = observer
        self._beacons = beacons
        self.points: dict[tuple[int, ...], Point] = {}
        self.outcomes: dict[tuple[int, ...], Outcome] = {}
        self.generations: list[Generation] = []
        self._number = 0
        self._total = problem.settings.generations
        self._failed = 0
        self._best: float | None = None
        self._planned = 0
        self._evaluated = 0
        self._replayed = 0
        self._hits = 0
        self._misses = 0
        self._seconds = 0.0
        self._hypervolume = 0.0

    def run(self, limits: FloatArray) -> None:
        """All generations; `limits` is the reference point of the hypervolume.

        Raises:
            MohaqError: too many failures, the record cannot be written, or a replay differs.
        """
        settings = self._problem.settings
        axes = settings.axes
        search = self._source()
        front: list[Point] = []
        for number in range(1, self._total + 1):
            self._number = number
            genomes = search.ask()
            if genomes is None:
                break
            points = self._with_beacons(self.assess(genomes))
            self.check_failures()
            search.tell(
                [lowered(point, axes) for point in points],
                [point.violation for point in points],
            )
            # A point that was once dominated stays so; the reference rows came before.
            front = pareto([*front, *(points if front else self.points.values())], axes)
            self._hypervolume = hypervolume(front, axes, limits)
            evaluations = len(self.outcomes)
            self.generations.append(Generation(number, evaluations, self._hypervolume))
            self._record.end_generation(
                GenerationRow(
                    number,
                    tuple(tuple(int(v) for v in row) for row in genomes),
                    evaluations,
                    self._hypervolume,
                )
            )
            self._tell("generation")
        self._tell("done")

    def _source(self) -> Nsga2 | Enumeration:
        settings, space = self._problem.settings, self._problem.space
        if settings.resolved == "exhaustive":
            every = Enumeration(space, settings.space_limit)
            self._total = every.chunks
            return every
        self._total = settings.generations
        seeds = list(self._problem.uniform().values()) if settings.seed_uniform else []
        if settings.seed_sensitivity and self._problem.needs_error:
            seeds.extend(self._by_sensitivity())
        return Nsga2(
            space.upper,
            len(settings.objectives),
            population=settings.population,
            offspring=settings.offspring,
            seed=settings.seed,
            seeds=np.array(seeds) if seeds else None,
            algorithm=settings.resolved,
        )

    def _by_sensitivity(self) -> list[IntArray]:
        """Measures each gene alone; gives the assignments that follow from it."""
        points = self.assess(probes(self._problem.space))
        self.check_failures()
        errors = [point.objectives.get("error", math.inf) for point in points]
        # A limit that the widest assignment breaks leaves nothing to compare with.
        if not math.isfinite(errors[0]):
            return []
        most = min(POINTS, self._problem.settings.population // SHARE)
        return list(derived(self._problem.space, np.array(errors), most))

    def assess(self, genomes: IntArray) -> list[Point]:
        """Points of genomes [n, G]; evaluates those that are new and within the cost limits."""
        costs = self._problem.costs(genomes)
        widths = self._problem.widths(genomes)
        keys = [tuple(int(v) for v in row) for row in genomes]
        fresh = {g: row for row, g in reversed(list(enumerate(keys))) if g not in self.points}
        found: dict[tuple[int, ...], Outcome] = {}
        jobs: dict[str, tuple[tuple[int, ...], Job]] = {}
        for genome, row in fresh.items():
            if not self._problem.needs_error or self._problem.unfit(genome) is not None:
                continue
            if self._problem.cost_violation(_row(costs, row)) > 0:
                continue
            job = Job.of(evaluation_key(self._context, widths[row]), widths[row])
            known = self._record.get(job.key)
            if known is None:
                jobs[job.key] = (genome, job)
            else:
                self._replayed += 1
                found[genome] = known
        found.update(self._evaluate(jobs))
        for genome in keys:  # in the order asked, whatever came back first
            if genome not in self.points:
                row = fresh[genome]
                self._add(genome, widths[row], _row(costs, row), found.get(genome))
        return [self.points[genome] for genome in keys]

    def _with_beacons(self, points: list[Point]) -> list[Point]:
        """The points of a generation, better where a beacon's parameters make them so."""
        if self._beacons is None:
            return points
        jobs: dict[str, tuple[tuple[int, ...], Job]] = {}
        found: dict[tuple[int, ...], Outcome] = {}
        chosen = self._beacons.choose(self._number, points)
        for genome, beacon in chosen.items():
            widths = self.points[genome].widths
            job = Job.of(self._beacons.key(beacon, widths), widths, beacon)
            known = self._record.get(job.key)
            if known is None:
                jobs[job.key] = (genome, job)
            else:
                self._replayed += 1
                found[genome] = known
        found.update(self._evaluate(jobs))
        for genome, beacon in chosen.items():
            result = good(found[genome])
            old = self.points[genome]
            if result is None or not result.value < old.objectives["error"]:
                continue
            self.outcomes[genome] = found[genome]
            violation = self._problem.cost_violation(old.objectives)
            violation += self._problem.error_violation(result)
            self.points[genome] = replace(
                old,
                objectives={**old.objectives, "error": result.value},
                violation=violation,
                generation=self._number,
                beacon=beacon,
            )
            self._note(self.points[genome])
        return [self.points[point.genome] for point in points]

    def _evaluate(
        self, jobs: Mapping[str, tuple[tuple[int, ...], Job]]
    ) -> Iterator[tuple[tuple[int, ...], Outcome]]:
        # Candidates with the same leading layers come one after the other: memory hits.
        order = sorted(
            (job for _, job in jobs.values()),
            key=lambda job: (job.beacon, [dict(job.widths)[s] for s in self._problem.slots]),
        )
        self._planned = len(order)
        for outcome in self._engine.evaluate(order):
            genome, job = jobs[outcome.key]
            self._record.put(self._number, job, outcome)
            self._evaluated += 1
            self._planned -= 1
            self._hits += outcome.hits
            self._misses += outcome.misses
            self._seconds += outcome.seconds
            yield genome, outcome
            self._tell("evaluated")

    def _add(
        self,
        genome: tuple[int, ...],
        widths: Mapping[Slot, int],
        costs: Mapping[str, float],
        outcome: Outcome | None,
    ) -> None:
        objectives = dict(costs)
        failure = None
        unfit = self._problem.unfit(genome)
        if unfit is not None:
            objectives = {}
            violation = self._problem.room_violation(unfit)
            failure = f"illegal: {unfit}"
        else:
            violation = self._problem.cost_violation(costs)
        if outcome is not None:
            self.outcomes[genome] = outcome
            self._failed += isinstance(outcome.result, Failure)
            violation += self._problem.error_violation(outcome.result)
            if isinstance(outcome.result, Failure):
                failure = f"{outcome.result.kind}: {outcome.result.message}"
            else:
                objectives = {"error": outcome.result.value, **objectives}
        self.points[genome] = Point(
            genome, dict(widths), objectives, violation, self._number, failure
        )
        self._note(self.points[genome])

    def _note(self, point: Point) -> None:
        """Keep the smallest error."""
        if _scored(point):
            error = point.objectives["error"]
            self._best = error if self._best is None else min(self._best, error)

    def check_failures(self) -> None:
        """Stop when too large a share of the evaluations failed.

        Raises:
            MohaqError: with the most common reason.
        """
        bad = [
            outcome.result
            for outcome in self.outcomes.values()
            if isinstance(outcome.result, Failure) and outcome.result.kind != "illegal"
        ]
        share = len(bad) / max(1, len(self.outcomes))
        enough = len(self.outcomes) >= LEAST_FAILURES or len(bad) == len(self.outcomes)
        if bad and enough and share > self._problem.settings.failure_share:
            (message, count), *_ = Counter(f.message for f in bad).most_common(1)
            raise MohaqError(
                f"{len(bad)} of {len(self.outcomes)} evaluations failed; the search stops",
                why=f"{count} times: {message}",
                hint="the record keeps them; mend the cause and search in a new folder",
            )

    def _later(self) -> int:
        """Candidates that the generations after this one will ask for."""
        settings = self._problem.settings
        if settings.resolved == "exhaustive":
            asked = self._number * CHUNK
            return max(0, self._problem.space.size - asked)
        if not self._number:
            return settings.population + (settings.generations - 1) * settings.offspring
        return (settings.generations - self._number) * settings.offspring

    def _tell(self, event: Literal["evaluated", "generation", "done"]) -> None:
        if self._observer is None:
            return
        self._observer(
            Progress(
                event,
                self._number,
                self._total,
                self._evaluated,
                self._replayed,
                self._planned,
                0 if event == "done" else self._planned + self._later(),
                len(self.points) - len(self.outcomes),
                self._failed,
                self._hits,
                self._misses,
                self._hypervolume,
                self._best,
                self._seconds / max(1, self._evaluated),
            )
        )


def _row(costs: Mapping[str, FloatArray], row: int) -> dict[str, float]:
    return {name: float(values[row]) for name, values in costs.items()}


def _scored(point: Point) -> bool:
    return point.feasible and "error" in point.objectives


def good(outcome: Outcome | None) -> Evaluation | None:
    """The evaluation of an outcome, if it has one."""
    return outcome.result if outcome and isinstance(outcome.result, Evaluation) else None
