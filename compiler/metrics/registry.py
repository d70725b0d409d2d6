"""Metrics by name: ours and those of the entry-point group `mohaq.metrics`."""

from __future__ import annotations

from collections.abc import Callable

from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.metrics.accuracy import UtteranceError
from mohaq.compiler.metrics.base import Metric
from mohaq.compiler.metrics.fer import FrameErrorRate
from mohaq.compiler.metrics.mse import MeanSquaredError
from mohaq.compiler.metrics.per import PhoneErrorRate
from mohaq.compiler.metrics.timit import TimitFrameError, TimitPhoneError
from mohaq.compiler.metrics.wer import WordErrorRate
from mohaq.compiler.plugins import installed

BUILT_IN: dict[str, Callable[[], Metric]] = {
    "accuracy": UtteranceError,
    "fer": FrameErrorRate,
    "mse": MeanSquaredError,
    "per": PhoneErrorRate,
    "timit-fer": TimitFrameError,
    "timit-per": TimitPhoneError,
    "wer": WordErrorRate,
}


def metric_names() -> tuple[str, ...]:
    """Every name that `get_metric` knows, sorted."""
    return tuple(sorted({*BUILT_IN, *installed("metric", BUILT_IN).usable}))


def get_metric(name: str | Metric) -> Metric:
    """The metric of that name (a metric object is given back as it is).

    An entry point names a `Metric` or something that returns one when called without arguments.

    Raises:
        MohaqError: an unknown name, or an entry point that does not load or is no metric.
    """
    if not isinstance(name, str):
        return name
    if name in BUILT_IN:
        return BUILT_IN[name]()
    plugin = installed("metric", BUILT_IN).require(name)
    if plugin is not None:
        found = plugin.load()
        try:
            metric = found() if isinstance(found, type) or not hasattr(found, "score") else found
        except Exception as error:
            raise plugin.failed("making it", error) from error
        if not isinstance(metric, Metric):
            raise MohaqError(
                f"'{plugin.entry.value}' is no metric",
                where=plugin.where,
                hint="it needs name, label_kinds and score",
            )
        return metric
    raise MohaqError(f"unknown metric '{name}'", hint=did_you_mean(name, metric_names()))
