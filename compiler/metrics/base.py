"""What a metric is, and how its counts become one figure with a confidence interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError

Array = npt.NDArray[Any]

RESAMPLES = 1000
SEED = 20210801
"""Of the bootstrap: the interval of given counts is always the same."""


@runtime_checkable
class Metric(Protocol):
    """Counts errors; smaller is better.

    Two attributes are optional. `uses_order`: integers of one scale may be scored instead of real
    values. `lower_bound`: counts are whole numbers, never negative, and the total depends on the
    label alone, so that errors counted so far over the total of all utterances are a lower bound
    of the whole error; a search may then abandon candidates early. Both are false by default.
    """

    @property
    def name(self) -> str:
        """How commands call it."""
        ...

    @property
    def label_kinds(self) -> frozenset[str]:
        """The kinds of label (see `Dataset`) that it can use."""
        ...

    def score(self, output: Array, label: Array, kind: str = "frame") -> tuple[float, float]:
        """Errors and total of one utterance.

        Args:
            output: [T, C] the network's output.
            label: as in `Dataset.labels`.
            kind: the data set's label kind.
        """
        ...


@dataclass(frozen=True)
class Score:
    """A metric over a set of utterances.

    Attributes:
        metric: its name.
        value: sum of errors / sum of totals.
        low: lower end of the confidence interval.
        high: upper end.
        level: of the interval, such as 0.95.
        errors: sum.
        total: sum.
        utterances: how many were scored.
    """

    metric: str
    value: float
    low: float
    high: float
    level: float
    errors: float
    total: float
    utterances: int

    def __str__(self) -> str:
        text = f"{self.metric} {self.value:.4f}"
        return f"{text} [{self.low:.4f}, {self.high:.4f}] ({self.utterances} utterances)"


def aggregate(name: str, counts: Sequence[tuple[float, float]], level: float = 0.95) -> Score:
    """Sum the counts; the interval is a bootstrap over utterances.

    Utterances of one speaker are not independent, so the interval is narrower than one over
    speakers would be.

    Raises:
        MohaqError: no utterances, or totals that sum to 0.
    """
    pairs = np.asarray(counts, np.float64).reshape(-1, 2)
    errors, total = pairs.sum(axis=0)
    if not len(pairs) or not total > 0:
        raise MohaqError(f"metric '{name}' has nothing to count", why=f"{len(pairs)} utterances")
    picks = np.random.default_rng(SEED).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    sums = pairs[picks].sum(axis=1)
    values = sums[:, 0] / np.maximum(sums[:, 1], np.finfo(np.float64).tiny)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Score(
        name, float(errors / total), float(low), float(high), level,
        float(errors), float(total), len(pairs),
    )  # fmt: skip


def check_labels(metric: Metric, data: Dataset) -> None:
    """Refuse a data set whose labels the metric cannot use.

    Raises:
        MohaqError: naming the kinds that it can.
    """
    if data.label_kind not in metric.label_kinds:
        raise MohaqError(
            f"metric '{metric.name}' cannot use labels of kind '{data.label_kind}'",
            why="it needs " + " or ".join(sorted(metric.label_kinds)),
        )


def evaluate(metric: Metric, outputs: Iterable[Array], data: Dataset, level: float = 0.95) -> Score:
    """Score the outputs for a whole data set.

    Args:
        metric: what to count.
        outputs: one [T_i, C] array for each utterance of `data`, in order.
        data: with labels.
        level: of the confidence interval.

    Raises:
        MohaqError: the labels do not suit the metric, or an output does not suit its label.
    """
    check_labels(metric, data)
    counts: list[tuple[float, float]] = []
    for output, label, name in zip(outputs, data.labels, data.names, strict=True):
        try:
            counts.append(metric.score(output, label, data.label_kind))
        except (ValueError, IndexError) as error:
            raise MohaqError(
                f"metric '{metric.name}' cannot score this output", where=name, why=str(error)
            ) from None
    return aggregate(metric.name, counts, level)
