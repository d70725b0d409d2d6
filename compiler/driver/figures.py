"""Estimates and measurements as plain JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mohaq.backends.base import Costs, Estimate, Workload


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


def estimate_of(data: dict[str, Any]) -> Estimate:
    """The estimate that `estimate_json` wrote; numbers are the same."""

    def costs(row: dict[str, Any]) -> Costs:
        return Costs(row["cycles"], row["seconds"], row["joules"], row["counters"])

    return Estimate(
        Workload(**data["workload"]),
        costs(data["total"]),
        {name: costs(row) for name, row in data["layers"].items()},
        data["size_bytes"],
    )
