"""Estimates and measurements as plain JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mohaq.backends.base import Costs, Estimate


def costs_json(costs: Costs) -> dict[str, Any]:
    """Costs as plain JSON."""
    return {
        "cycles": costs.cycles,
        "seconds": costs.seconds,
        "joules": costs.joules,
        "counters": dict(costs.counters),
    }


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """An estimate (or the figures measured by a run) as plain JSON."""
    return {
        "workload": asdict(estimate.workload),
        "size_bytes": estimate.size_bytes,
        "total": costs_json(estimate.total),
        "layers": {name: costs_json(c) for name, c in estimate.layers.items()},
    }
