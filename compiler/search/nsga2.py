"""NSGA-II and NSGA-III as an ask/tell loop over ordinal genes, around pymoo.

The path depends on the seed, the space, the settings and the told values alone, so that a
replay with the same values asks for the same genomes (DESIGN D7).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.config import Config
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.ref_dirs import get_reference_directions

from mohaq.backends.base import FloatArray, IntArray
from mohaq.compiler.diagnostics import MohaqError

Config.warnings["not_compiled"] = False

SBX_PROBABILITY, SBX_ETA, MUTATION_ETA = 1.0, 3.0, 3.0
"""Operator settings of MOHAQ's code."""

UNKNOWN = 1e30
"""Stands for an objective that was not evaluated; only infeasible candidates have it."""


class Nsga2:
    """Asks for genomes [n, G] and is told their objectives and violations.

    Args:
        upper: largest index of each gene [G].
        objectives: number of objectives.
        population: size that survives a generation.
        offspring: new genomes of a generation.
        seed: seed of all random choices.
        seeds: genomes [m, G] that the initial population starts with; the rest is random.
        algorithm: what survives a generation: by crowding (`nsga2`), or by the directions of
            Das and Dennis, as many as the population has room for (`nsga3`).
    """

    def __init__(
        self,
        upper: IntArray,
        objectives: int,
        *,
        population: int,
        offspring: int,
        seed: int,
        seeds: IntArray | None = None,
        algorithm: Literal["nsga2", "nsga3"] = "nsga2",
    ) -> None:
        self._upper = np.asarray(upper, dtype=np.int64)
        # pymoo's operators divide by the range of a gene: those without a choice stay outside.
        self._free = np.flatnonzero(self._upper > 0)
        self._asked: Any = None
        self._told_constant = False
        if not self._free.size:
            return
        problem = Problem(
            n_var=int(self._free.size),
            n_obj=objectives,
            n_ieq_constr=1,
            xl=np.zeros(self._free.size),
            xu=self._upper[self._free].astype(np.float64),
            vtype=int,
        )
        settings: dict[str, Any] = {
            "pop_size": population,
            "n_offsprings": offspring,
            "sampling": _seeded(problem, population, seed, self._given(seeds)),
            "crossover": SBX(
                prob=SBX_PROBABILITY, eta=SBX_ETA, vtype=float, repair=RoundingRepair()
            ),
            "mutation": PM(prob=1.0, eta=MUTATION_ETA, vtype=float, repair=RoundingRepair()),
            "eliminate_duplicates": True,
        }
        if algorithm == "nsga3":
            self._algorithm = NSGA3(
                _directions(objectives, population),
                selection=TournamentSelection(func_comp=_least_violation),
                **settings,
            )
        else:
            self._algorithm = NSGA2(**settings)
        self._algorithm.setup(
            problem, termination=NoTermination(), seed=seed, verbose=False, progress=False
        )

    def ask(self) -> IntArray | None:
        """The genomes [n, G] of the next generation; None when the space is exhausted.

        Raises:
            MohaqError: the last generation was not told.
        """
        if self._asked is not None:
            raise MohaqError("the last generation was not told")
        if not self._free.size:
            if self._told_constant:
                return None
            self._asked = np.zeros((1, self._upper.size), dtype=np.int64)
            return np.array(self._asked)
        asked = self._algorithm.ask()
        if asked is None or len(asked) == 0:
            return None
        self._asked = asked
        genomes = np.zeros((len(asked), self._upper.size), dtype=np.int64)
        genomes[:, self._free] = np.asarray(asked.get("X")).astype(np.int64)
        return genomes

    def tell(self, objectives: npt.ArrayLike, violation: npt.ArrayLike) -> None:
        """Give the values of the genomes last asked for.

        Args:
            objectives: [n, M], to be minimised; NaN where unknown.
            violation: [n], above 0 where a constraint is broken.

        Raises:
            MohaqError: nothing was asked, or a feasible candidate has unknown objectives.
        """
        if self._asked is None:
            raise MohaqError("no generation was asked for")
        values: FloatArray = np.array(objectives, dtype=np.float64)
        broken: FloatArray = np.array(violation, dtype=np.float64)
        unknown = ~np.isfinite(values)
        if (unknown.any(axis=1) & ~(broken > 0)).any() or not np.isfinite(broken).all():
            raise MohaqError("a feasible candidate has no finite objectives")
        values[unknown] = UNKNOWN
        asked, self._asked = self._asked, None
        if not self._free.size:
            self._told_constant = True
            return
        asked.set(
            "F", values, "G", np.maximum(broken, 0.0)[:, None], "H", np.zeros((len(broken), 0))
        )
        for one in asked:
            one.evaluated.update({"F", "G", "H"})
        self._algorithm.tell(infills=asked)

    def parents(self) -> FloatArray | None:
        """Values [k, M] of the feasible members of the population; None before there is one."""
        if not self._free.size or self._algorithm.pop is None or not len(self._algorithm.pop):
            return None
        values, feasible = self._algorithm.pop.get("F", "FEAS")
        found: FloatArray = np.array(values, dtype=np.float64)
        kept: FloatArray = found[np.array(feasible, dtype=bool).reshape(-1)]
        return kept

    def _given(self, seeds: IntArray | None) -> IntArray:
        if seeds is None or not len(seeds):
            return np.zeros((0, self._free.size), dtype=np.int64)
        given = np.asarray(seeds, dtype=np.int64)
        if (given < 0).any() or (given > self._upper).any():
            raise MohaqError("a seeded genome lies outside the gene space")
        return given[:, self._free]


def _least_violation(pop: Any, P: IntArray, random_state: Any, **_: Any) -> IntArray:
    """Winners [n, 1] of the pairs P [n, 2]: the smaller violation, else one at random.

    pymoo's own breaks ties of infeasible members with a generator that nobody seeded.
    """
    violation = pop.get("CV")[:, 0]
    winners = [
        min(pair, key=lambda i: violation[i])
        if violation[pair[0]] != violation[pair[1]]
        else random_state.choice(list(pair))
        for pair in P
    ]
    return np.array(winners, dtype=np.int64)[:, None]


def _seeded(problem: Any, population: int, seed: int, given: IntArray) -> Any:
    """Initial genomes: the given ones, then random ones (pymoo drops the duplicates)."""
    generator = np.random.default_rng([seed, 0x6D6F6861])
    drawn = IntegerRandomSampling().do(problem, population, random_state=generator)
    genomes = np.concatenate([given, np.asarray(drawn.get("X")).astype(np.int64)])
    _, first = np.unique(genomes, axis=0, return_index=True)
    return Population.new("X", genomes[np.sort(first)][:population])


def _directions(objectives: int, population: int) -> FloatArray:
    """Das and Dennis' directions [n, M]: the finest grid with at most `population` of them."""
    found = np.eye(objectives)
    for partitions in range(2, population):
        count = math.comb(objectives + partitions - 1, partitions)
        if count > population:
            break
        found = get_reference_directions("das-dennis", objectives, n_partitions=partitions)
    return np.asarray(found, dtype=np.float64)
