"""Named error measures: `fer`, `per`, `wer`, `accuracy`, `mse`, and those of users."""

from mohaq.compiler.metrics.base import Metric, Score, aggregate, check_labels, evaluate
from mohaq.compiler.metrics.registry import get_metric, metric_names

__all__ = [
    "Metric",
    "Score",
    "aggregate",
    "check_labels",
    "evaluate",
    "get_metric",
    "metric_names",
]
