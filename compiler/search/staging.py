"""Evaluates a generation in stages, so that some of its candidates are stopped early."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mohaq.backends.base import FloatArray
from mohaq.compiler.search.early_stop import Split, undecided
from mohaq.compiler.search.engine import Bound, Evaluation, Job, Outcome
from mohaq.compiler.search.front import Point, lowered
from mohaq.compiler.search.settings import SearchSettings

Genome = tuple[int, ...]
Jobs = Mapping[str, tuple[Genome, Job]]


@dataclass(frozen=True)
class Staging:
    """How a search evaluates the candidates of a generation (`early_stop` has the proof).

    Attributes:
        split: of the sequences.
        settings: of the search.
        held: what the record knows of a key on the first sequences.
        evaluate: runs jobs and records what they give; with the evaluations on the first
            sequences, the jobs are for the rest and their outcomes for all.
    """

    split: Split
    settings: SearchSettings
    held: Callable[[str], Evaluation | None]
    evaluate: Callable[[Jobs, Mapping[Genome, Evaluation]], Iterator[tuple[Genome, Outcome]]]

    def run(
        self,
        jobs: Jobs,
        parents: FloatArray,
        done: Sequence[Point],
        point: Callable[[Genome, Outcome], Point],
    ) -> dict[Genome, Outcome]:
        """Outcomes of candidates; of those that cannot enter the next population, a bound.

        Args:
            jobs: of the candidates that are not known yet.
            parents: [k, M] values of the feasible members of the population.
            done: the candidates of the generation that are known.
            point: what an outcome makes of a candidate.
        """
        axes = self.settings.axes
        found, firsts = self._first(jobs)
        known = [*parents.tolist(), *(lowered(p, axes) for p in done if p.feasible)]
        known += [lowered(p, axes) for p in map(point, found, found.values()) if p.feasible]
        waiting = {
            genome: (job, Outcome(job.key, Bound(self.split.bound(firsts[genome]))))
            for genome, job in jobs.values()
            if genome in firsts
        }
        while waiting:
            bounds = [point(genome, outcome) for genome, (_, outcome) in waiting.items()]
            chosen = undecided(
                np.array(known, dtype=np.float64).reshape(-1, len(axes)),
                np.array([lowered(p, axes) for p in bounds], dtype=np.float64),
                np.array([p.violation > 0 for p in bounds]),
                self.settings.population,
                ranked=self.settings.resolved == "nsga2",
            )
            going = [g for g, more in zip(waiting, chosen, strict=True) if more]
            if not going:
                break
            rest = {}
            for genome in going:
                job, _ = waiting.pop(genome)
                rest[job.key] = (genome, replace(job, part="rest"))
            found |= self.evaluate(rest, firsts)
            known += [lowered(p, axes) for g in going if (p := point(g, found[g])).feasible]
        return found | {genome: outcome for genome, (_, outcome) in waiting.items()}

    def _first(self, jobs: Jobs) -> tuple[dict[Genome, Outcome], dict[Genome, Evaluation]]:
        """Failures, and evaluations on the first sequences."""
        failed: dict[Genome, Outcome] = {}
        firsts: dict[Genome, Evaluation] = {}
        asked: dict[str, tuple[Genome, Job]] = {}
        for key, (genome, job) in jobs.items():
            held = self.held(key)
            if held is None:
                asked[key] = (genome, replace(job, part="first"))
            else:
                firsts[genome] = held
        for genome, outcome in self.evaluate(asked, {}):
            if isinstance(outcome.result, Evaluation):
                firsts[genome] = outcome.result
            else:
                failed[genome] = outcome
        return failed, firsts
