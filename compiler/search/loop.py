"""The generations of a search: ask, price, evaluate what is new, tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from mohaq.backends.base import FloatArray, IntArray
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.beacons import Beacons
from mohaq.compiler.search.early_stop import Split
from mohaq.compiler.search.engine import Bound, Engine, Evaluation, Failure, Job, Outcome
from mohaq.compiler.search.enumeration import CHUNK, Enumeration
from mohaq.compiler.search.front import Generation, Point, hypervolume, lowered, pareto
from mohaq.compiler.search.nsga2 import Nsga2
from mohaq.compiler.search.problem import SearchProblem
from mohaq.compiler.search.progress import Event, Observer, Progress
from mohaq.compiler.search.record import GenerationRow, Record, evaluation_key
from mohaq.compiler.search.seeding import OTHERS, POINTS, derived, probes
from mohaq.compiler.search.staging import Staging

LEAST_FAILURES = 10
"""Evaluations before the failure share counts."""


class SearchLoop:
    """Runs one search; everything random is in `Nsga2`.

    Args:
        problem: genes, costs and limits.
        engine: evaluates candidates.
        record: the open log.
        context: hash of what decides an error beside the widths.
        observer: told of every evaluation and generation.
        beacons: of a beacon-based search.
        split: of the sequences, for a search that stops candidates early.
    """

    def __init__(
        self,
        problem: SearchProblem,
        engine: Engine,
        record: Record,
        context: str,
        observer: Observer | None = None,
        beacons: Beacons | None = None,
        split: Split | None = None,
    ) -> None:
        self._problem = problem
        self._engine = engine
        self._record = record
        self._context = context
        self._observer = observer
        self._beacons = beacons
        self._split = split
        self._staging = (
            None
            if split is None
            else Staging(split, problem.settings, self._known_first, self._evaluate)
        )
        self.points: dict[tuple[int, ...], Point] = {}
        self.outcomes: dict[tuple[int, ...], Outcome] = {}
        self.generations: list[Generation] = []
        self._number = 0
        self._total = problem.settings.generations
        self._failed = 0
        self._stopped = 0
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
            parents = search.parents() if self._split is not None else None
            points = self._with_beacons(self.assess(genomes, parents))
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
        most = min(POINTS, self._problem.settings.population - OTHERS)
        return list(derived(self._problem.space, np.array(errors), most))

    def assess(self, genomes: IntArray, parents: FloatArray | None = None) -> list[Point]:
        """Points of genomes [n, G]; evaluates those that are new and within the cost limits.

        With the feasible members' values [k, M] of the population, those that cannot enter the
        next one may be stopped early.
        """
        costs = self._problem.costs(genomes)
        widths = self._problem.widths(genomes)
        keys = [tuple(int(v) for v in row) for row in genomes]
        fresh = {g: row for row, g in reversed(list(enumerate(keys))) if self._open(g)}
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

        def point(genome: tuple[int, ...], outcome: Outcome | None) -> Point:
            row = fresh[genome]
            return self._point(genome, widths[row], _row(costs, row), outcome)

        if parents is None:
            found.update(self._evaluate(jobs))
        else:
            old = [self.points[g] for g in keys if g not in fresh]
            done = [*old, *(point(g, outcome) for g, outcome in found.items())]
            assert self._staging is not None
            found.update(self._staging.run(jobs, parents, done, point))
        for genome in dict.fromkeys(keys):  # in the order asked, whatever came back first
            if genome in fresh:
                self._add(point(genome, found.get(genome)), found.get(genome))
        return [self.points[genome] for genome in keys]

    def _open(self, genome: tuple[int, ...]) -> bool:
        """Whether a genome is new, or was stopped early when it came up last."""
        return genome not in self.points or self.points[genome].bound is not None

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

    def _known_first(self, key: str) -> Evaluation | None:
        assert self._split is not None
        held = self._record.bound(key, self._split.first)
        self._replayed += held is not None
        return held

    def _evaluate(
        self,
        jobs: Mapping[str, tuple[tuple[int, ...], Job]],
        firsts: Mapping[tuple[int, ...], Evaluation] = MappingProxyType({}),
    ) -> Iterator[tuple[tuple[int, ...], Outcome]]:
        """Outcomes of jobs, recorded. Those for the rest of the sequences are joined with `firsts`."""
        # Candidates with the same leading layers come one after the other: memory hits.
        order = sorted(
            (job for _, job in jobs.values()),
            key=lambda job: (job.beacon, [dict(job.widths)[s] for s in self._problem.slots]),
        )
        self._planned = len(order)
        for outcome in self._engine.evaluate(order):
            genome, job = jobs[outcome.key]
            result = good(outcome)
            if self._split is None or job.part == "all" or result is None:
                self._record.put(self._number, job, outcome)
            elif job.part == "first":
                self._record.put_bound(self._number, job, self._split, outcome)
            else:
                whole = self._split.joined(firsts[genome], result)
                outcome = replace(outcome, result=whole)  # noqa: PLW2901
                self._record.put(self._number, job, outcome)
            self._evaluated += job.part != "rest"
            self._planned -= 1
            self._hits += outcome.hits
            self._misses += outcome.misses
            self._seconds += outcome.seconds
            yield genome, outcome
            self._tell("evaluated")

    def _add(self, point: Point, outcome: Outcome | None) -> None:
        if outcome is not None:
            self.outcomes[point.genome] = outcome
            self._failed += isinstance(outcome.result, Failure)
        before = self.points.get(point.genome)
        # One that was stopped early stays of the generation that asked for it first.
        self.points[point.genome] = (
            point if before is None else replace(point, generation=before.generation)
        )
        self._stopped += (point.bound is not None) - (before is not None)
        self._note(point)

    def _point(
        self,
        genome: tuple[int, ...],
        widths: Mapping[Slot, int],
        costs: Mapping[str, float],
        outcome: Outcome | None,
    ) -> Point:
        """What an outcome makes of a candidate; None: it is not run."""
        bound = None
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
            violation += self._problem.error_violation(outcome.result)
            match outcome.result:
                case Failure(kind, message):
                    failure = f"{kind}: {message}"
                case Bound(value):
                    bound = value
                case Evaluation():
                    objectives = {"error": outcome.result.value, **objectives}
        return Point(
            genome, dict(widths), objectives, violation, self._number, failure, bound=bound
        )

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

    def _tell(self, event: Event) -> None:
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
                self._stopped,
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
