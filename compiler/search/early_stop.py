"""Candidates that are abandoned before all sequences are run, because the rest cannot matter.

Errors counted so far over the totals of all sequences are a lower bound of a candidate's error (for
metrics that say so). In a generation all new candidates run the sequences that are hardest for the
float program; then those that may still enter the next population run the rest, and the others
keep their bound.

Sound for NSGA-II (`undecided`). Let P members survive, K be the feasible members whose values
are known (parents and offspring), |K| >= P, rank(x) the front of x in the non-dominated sorting of
K, and s the first front with which fronts 0..s hold P members. Let every undecided candidate r
be infeasible for sure, or let a member d of K with rank(d) >= s dominate r's bound, hence r itself
whatever its error. Then:

- No feasible r dominates an x of K with rank(x) <= s: d dominates r, so d would dominate x, and
  rank(x) > rank(d) >= s.
- So all that dominate such an x are in K and in earlier fronts, and by induction its front among
  K and all r is rank(x). All other members of K stay behind s, and so does r, behind d.
- Fronts 0..s are thus those of K and hold P members. pymoo sorts feasible members apart from
  infeasible ones and looks no further than front s: crowding, random draws, survivors and their
  order are the same with any errors of the r, the true ones among them. No r is on the front
  of all feasible candidates, for d dominates it.

NSGA-III normalises by the worst values of all feasible members, dominated ones too, so there only
candidates that are infeasible for sure are abandoned; with P feasible members known, none of them
survives.

Nothing here depends on the order in which workers answer: bounds of all new candidates are known
before the first decision, and errors of those that go on before the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np
import numpy.typing as npt

from mohaq.backends.base import FloatArray
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Evaluation

FIRST_SHARE = 2 / 3
"""Of all frames, in the sequences that are run first: where the frames saved were most
(docs/search.md)."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Sequences that every candidate runs first, and the totals of all.

    Attributes:
        first: numbers of sequences, ascending.
        totals: of the metric, one for each sequence.
    """

    first: tuple[int, ...]
    totals: tuple[float, ...]

    @property
    def rest(self) -> tuple[int, ...]:
        """The other sequences."""
        return tuple(sorted(set(range(len(self.totals))) - set(self.first)))

    def bound(self, first: Evaluation) -> float:
        """Least error that a candidate with these errors of the first sequences can have."""
        return sum(first.errors) / sum(self.totals)

    def joined(self, first: Evaluation, rest: Evaluation) -> Evaluation:
        """The evaluation over all sequences.

        Raises:
            MohaqError: the metric's totals depend on the outputs, so that bounds would be wrong.
        """
        counts = dict(zip(self.first, zip(first.errors, first.totals, strict=True), strict=True))
        counts |= zip(self.rest, zip(rest.errors, rest.totals, strict=True), strict=True)
        pairs = [counts[i] for i in range(len(self.totals))]
        if tuple(total for _, total in pairs) != self.totals:
            raise MohaqError(
                "the metric's totals depend on the outputs",
                why="then errors counted so far are no lower bound",
                hint="let the metric not say `lower_bound`, or search with --no-early-stop",
            )
        errors = tuple(error for error, _ in pairs)
        return Evaluation(errors, self.totals, sum(errors) / sum(self.totals))


def split_of(full: Evaluation, lengths: Sequence[int]) -> Split | None:
    """The sequences with the highest share of errors of the float program, two thirds of all frames.

    Args:
        full: evaluation of the float program.
        lengths: frames of each sequence.

    Returns:
        None where there is nothing to divide.
    """
    rate = np.array(full.errors) / np.maximum(full.totals, 1.0)
    order = np.argsort(-rate, kind="stable")
    frames = np.cumsum(np.asarray(lengths)[order])
    if len(order) < 2:
        return None
    count = min(int(np.searchsorted(frames, FIRST_SHARE * frames[-1])) + 1, len(order) - 1)
    split = Split(tuple(sorted(int(i) for i in order[:count])), full.totals)
    # A metric may have nothing to count in a sequence; a part must have something.
    parts = (split.first, split.rest)
    return split if all(sum(full.totals[i] for i in part) > 0 for part in parts) else None


def undecided(
    known: FloatArray, bounds: FloatArray, hopeless: BoolArray, survivors: int, *, ranked: bool
) -> BoolArray:
    """Which candidates may still enter the next population.

    Args:
        known: [k, M] values to minimise of the feasible members that are known.
        bounds: [r, M] the same of the candidates, with the bound in place of the error.
        hopeless: [r] whether the bound breaks a limit of the error.
        survivors: size of the population.
        ranked: whether fronts decide what survives (NSGA-II), so that dominated ones may go.
    """
    if len(known) < survivors:
        return np.ones(len(bounds), dtype=bool)
    found: BoolArray = ~hopeless
    if ranked:
        ranks = np.asarray(moocore.pareto_rank(np.asarray(known, dtype=np.float64)))
        split = np.sort(ranks)[survivors - 1]
        beaten = known[ranks >= split]
        no_worse = (beaten[None] <= bounds[:, None]).all(axis=2)
        better = (beaten[None] < bounds[:, None]).any(axis=2)
        found &= ~(no_worse & better).any(axis=1)
    return found
