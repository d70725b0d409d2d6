"""What the report page shows, independent of the files it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mohaq.compiler.diagnostics import MohaqError

Bits = Mapping[str, Mapping[str, int]]
"""{layer: {slot: bits}}."""

_ERRORS = {"fer": "FER", "per": "PER", "wer": "WER", "accuracy": "wrong sequences"}
"""Metrics that are shares of one, as people call them."""


@dataclass(frozen=True)
class Objective:
    """One axis: name, unit, the factor and unit that people read it in, and what is better."""

    name: str
    label: str
    unit: str
    factor: float = 1.0
    direction: str = "min"

    @staticmethod
    def of(name: str, unit: str, largest: float = 0.0, metric: str = "") -> Objective:
        """An axis for values up to `largest`, with a readable unit."""
        if name == "error":
            if metric in _ERRORS:
                return Objective(name, _ERRORS[metric], "%", 100.0)
            return Objective(name, f"error ({metric})" if metric else "error", "")
        if unit == "bytes":
            return Objective(name, name, "KiB", 1 / 1024)
        if unit in {"s", "J"} and largest > 0:
            power = min(max(math.floor(math.log10(largest) / 3), -4), 0)
            return Objective(name, name, f"{('', 'm', 'µ', 'n', 'p')[-power]}{unit}", 1000**-power)
        return Objective(name, name, unit)


@dataclass(frozen=True)
class Point:
    """One assignment: objective values in SI units and bits.

    `extra` holds more columns of the front table, such as the error on test data. `assignment`
    is the path of its file, for the command that compiles it; `interval` is of the error.
    `generation` is the one in which it was found. `program` is the retrained program that has
    this error, where it is not the searched one.
    """

    name: str
    values: Mapping[str, float]
    bits: Bits
    extra: Mapping[str, float] = field(default_factory=dict)
    assignment: str | None = None
    interval: tuple[float, float] | None = None
    generation: int = 0
    program: str | None = None
    estimate: Mapping[str, Any] | None = None
    """As `estimates.front_estimates` gives it."""


def breakdown(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of an estimate: latency, energy and weights by layer, and the counters behind them."""
    total, layers = estimate["total"], estimate["layers"]
    clock = estimate["latency_unit"] != "cycles"
    key = "seconds" if clock else "cycles"
    latency = Objective.of("latency", "s" if clock else "cycles", float(total[key]))
    energy = Objective.of("energy", "J", float(total["joules"]))

    def row(name: str, costs: Mapping[str, Any], weights: float) -> list[Any]:
        share = 100 * costs[key] / total[key] if total[key] else 0.0
        values = costs[key] * latency.factor, share, costs["joules"] * energy.factor
        return [name, *map(float, values), weights / 1024]

    held = estimate["weight_bytes"]
    names = list(dict.fromkeys(n for c in (total, *layers.values()) for n in c["counters"]))
    return {
        "frames": estimate["workload"]["frames"],
        "head": [
            "layer",
            f"latency [{latency.unit}]",
            "share [%]",
            f"energy [{energy.unit}]",
            "weights [KiB]",
        ],
        "rows": [row(name, costs, held.get(name, 0.0)) for name, costs in layers.items()],
        "total": row("all", total, sum(held.values())),
        "size": estimate["size_bytes"] / 1024,
        "counters": names,
        "counts": [
            [name, *(costs["counters"].get(n, 0) for n in names)]
            for name, costs in (*layers.items(), ("all", total))
        ],
    }


@dataclass(frozen=True)
class Report:
    """Everything on the page."""

    title: str
    facts: tuple[tuple[str, str], ...]
    objectives: tuple[Objective, ...]
    front: tuple[Point, ...]
    evaluated: tuple[Point, ...] = ()
    references: tuple[Point, ...] = ()
    hypervolume: tuple[tuple[int, float], ...] = ()
    chosen: str | None = None
    model: str = "MODEL"
    target: str = "TARGET"
    notes: tuple[str, ...] = ()

    def payload(self) -> dict[str, Any]:
        """The page's data: values scaled to the units shown, bits as rows of a common table.

        Raises:
            MohaqError: no points, or a value that is not finite.
        """
        if not self.front:
            raise MohaqError("the front is empty: there is nothing to report")
        slots: list[tuple[str, str]] = []
        for point in (*self.front, *self.evaluated, *self.references):
            for layer, row in point.bits.items():
                slots.extend((layer, s) for s in row if (layer, s) not in slots)
        return {
            "title": self.title,
            "facts": [list(f) for f in self.facts],
            "notes": list(self.notes),
            "objectives": [
                {"name": o.name, "label": o.label, "unit": o.unit, "direction": o.direction}
                for o in self.objectives
            ],
            "slots": [list(s) for s in slots],
            "extra": sorted({key for p in (*self.front, *self.references) for key in p.extra}),
            "front": [self._row(p, slots) for p in self.front],
            "evaluated": [self._row(p, slots) for p in self.evaluated],
            "references": [self._row(p, slots) for p in self.references],
            "hypervolume": [list(h) for h in self.hypervolume],
            "chosen": self.chosen,
            "model": self.model,
            "target": self.target,
        }

    def _row(self, point: Point, slots: list[tuple[str, str]]) -> dict[str, Any]:
        values: list[float | None] = []
        for objective in self.objectives:
            value = point.values.get(objective.name)
            if value is not None and not math.isfinite(value):
                raise MohaqError(f"'{objective.name}' of point '{point.name}' is not finite")
            values.append(None if value is None else value * objective.factor)
        return {
            "name": point.name,
            "values": values,
            "bits": [point.bits.get(layer, {}).get(slot) for layer, slot in slots],
            "extra": dict(point.extra),
            "assignment": point.assignment,
            "interval": self._interval(point),
            "generation": point.generation,
            "program": point.program,
            "estimate": None if point.estimate is None else breakdown(point.estimate),
        }

    def _interval(self, point: Point) -> list[float] | None:
        error = next((o for o in self.objectives if o.name == "error"), None)
        if error is None or point.interval is None:
            return None
        if not all(map(math.isfinite, point.interval)):
            raise MohaqError(f"the error interval of point '{point.name}' is not finite")
        return [end * error.factor for end in point.interval]
