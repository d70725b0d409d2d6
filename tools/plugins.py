"""Tries everything that other packages add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mohaq.backends.registry import usable_backends
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.metrics.registry import BUILT_IN as METRICS
from mohaq.compiler.plugins import Plugin, Plugins, installed
from mohaq.compiler.search.objectives import find_objective, own_names
from mohaq.passes.registry import FROM_XDSL, MODULES, outside_passes


@dataclass(frozen=True)
class Tried:
    """One plug-in and why it cannot be used (None: it can)."""

    kind: str
    name: str
    package: str
    error: MohaqError | None


def survey() -> list[Tried]:
    """Every plug-in of every kind, loaded."""
    broken = usable_backends()[1]

    def backend(plugin: Plugin) -> None:
        if plugin.where in broken:
            raise broken[plugin.where]

    passes = outside_passes()[0]
    kinds: dict[str, tuple[Plugins, Callable[[Plugin], object]]] = {
        "backend": (installed("backend"), backend),
        "pass": (installed("pass", {*MODULES, *FROM_XDSL}), lambda p: passes[p.name]()),
        "objective": (installed("objective", own_names()), lambda p: find_objective(p.name)),
        "metric": (installed("metric", METRICS), lambda p: get_metric(p.name)),
    }
    made = []
    for kind, (found, use) in kinds.items():
        others = [p for p in found.usable.values() if not p.ours]
        made += [Tried(kind, p.name, p.package, _error(use, p)) for p in others]
        made += [Tried(kind, p.name, p.package, error) for p, error in found.refused]
    return made


def _error(use: Callable[[Plugin], object], plugin: Plugin) -> MohaqError | None:
    try:
        use(plugin)
    except MohaqError as error:
        return error
    return None
