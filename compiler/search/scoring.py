"""Metric of a whole data set from what is counted for each utterance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import Metric, aggregate, check_labels
from mohaq.compiler.search.engine import Evaluation


def score(metric: Metric, outputs: Sequence[npt.NDArray[Any]], data: Dataset) -> Evaluation:
    """Score real-valued outputs [T_i, C], one for each utterance.

    Raises:
        MohaqError: the labels do not suit the metric, or count to nothing.
    """
    check_labels(metric, data)
    counted: list[tuple[float, float]] = []
    for output, label, name in zip(outputs, data.labels, data.names, strict=True):
        try:
            errors, total = metric.score(output, label, data.label_kind)
        except (ValueError, IndexError) as error:
            raise MohaqError(
                f"metric '{metric.name}' cannot score this output", where=name, why=str(error)
            ) from None
        counted.append((float(errors), float(total)))
    total = sum(t for _, t in counted)
    if total == 0:
        raise MohaqError(f"metric '{metric.name}' has nothing to count")
    return Evaluation(
        tuple(e for e, _ in counted),
        tuple(t for _, t in counted),
        sum(e for e, _ in counted) / total,
    )


def bootstrap(found: Evaluation) -> tuple[float, float]:
    """95 % interval of an error over utterances, the same for the same counts."""
    counts = list(zip(found.errors, found.totals, strict=True))
    made = aggregate("error", counts)
    return made.low, made.high
