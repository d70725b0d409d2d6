"""The result of a search, and its files: `front.json` and an assignment for each point.

`front.json` (schema "mohaq.front/1") holds no times of day and no durations: the same search
gives the same bytes on any machine and with any number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from mohaq.backends.base import FloatArray
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.search.settings import OBJECTIVES

SCHEMA = "mohaq.front/1"
FRONT_FILE = "front.json"
ASSIGNMENT_FOLDER = "assignments"

Widths = Mapping[Slot, int]


@dataclass(frozen=True)
class Point:
    """One candidate: what it is and what it reached.

    `violation` is 0 for a feasible point; `objectives` leaves out what was not evaluated.
    `failure` says why there is no error, if there is none.
    """

    genome: tuple[int, ...]
    widths: Widths
    objectives: Mapping[str, float]
    violation: float
    generation: int
    failure: str | None = None
    error_interval: tuple[float, float] | None = None

    @property
    def feasible(self) -> bool:
        """Whether it keeps all constraints."""
        return self.violation <= 0 and self.failure is None

    def values(self, objectives: Sequence[str]) -> tuple[float, ...]:
        """Values in the given order; NaN where unknown."""
        return tuple(self.objectives.get(name, float("nan")) for name in objectives)

    def to_json(self) -> dict[str, Any]:
        """As it stands in `evaluated`."""
        held: dict[str, Any] = {
            "genome": list(self.genome),
            "widths": widths_json(self.widths),
            "objectives": dict(self.objectives),
            "feasible": self.feasible,
            "violation": self.violation,
            "generation": self.generation,
        }
        return {**held, "failure": self.failure} if self.failure else held


@dataclass(frozen=True)
class Generation:
    """What the search had reached after a generation; evaluations count from the start."""

    generation: int
    evaluations: int
    hypervolume: float


@dataclass(frozen=True)
class SearchResult:
    """All that a search found.

    Attributes:
        header: model, target, data, settings: the first part of `front.json`.
        objectives: names, in order.
        reference: rows to compare with: {name: objectives}.
        generations: one a generation.
        evaluated: every candidate once, in the order it was first met.
        front: feasible points that no other dominates, sorted by their objectives.
        folder: where the files are.
    """

    header: Mapping[str, Any]
    objectives: tuple[str, ...]
    reference: Sequence[Mapping[str, Any]]
    generations: tuple[Generation, ...]
    evaluated: tuple[Point, ...]
    front: tuple[Point, ...]
    folder: Path

    def __repr__(self) -> str:
        last = self.generations[-1].hypervolume if self.generations else 0.0
        return (
            f"SearchResult({len(self.front)} points on the front, {len(self.evaluated)} candidates, "
            f"hypervolume {last:.4f}, {self.folder})"
        )

    def assignment(self, index: int) -> Assignment:
        """Assignment of a point of the front."""
        return Assignment(dict(self.front[index].widths))

    def write(self) -> None:
        """Write `front.json` and `assignments/*.json`; assignments come first."""
        rows = []
        for name, point in zip(point_names(len(self.front)), self.front, strict=True):
            file = f"{ASSIGNMENT_FOLDER}/{name}.json"
            Assignment(dict(sorted(point.widths.items()))).save(self.folder / file)
            rows.append(
                {
                    "id": name,
                    "widths": widths_json(point.widths),
                    "objectives": dict(point.objectives),
                    "error_interval": list(point.error_interval or ()) or None,
                    "assignment": file,
                }
            )
        keep = {f"{name}.json" for name in point_names(len(self.front))}
        for old in (self.folder / ASSIGNMENT_FOLDER).glob("s*.json"):
            if old.name not in keep:  # of a shorter search that this one continues
                old.unlink()
        data = {
            "schema": SCHEMA,
            **self.header,
            "objectives": [{"name": n, "unit": OBJECTIVES[n]} for n in self.objectives],
            "reference": list(self.reference),
            "generations": [
                {
                    "generation": g.generation,
                    "evaluations": g.evaluations,
                    "hypervolume": g.hypervolume,
                }
                for g in self.generations
            ],
            "evaluated": [point.to_json() for point in self.evaluated],
            "front": rows,
        }
        write_text(self.folder / FRONT_FILE, dump_json(data))


def widths_json(widths: Widths) -> dict[str, int]:
    """{"l0.weight": 4, ...}, sorted by slot."""
    return {str(slot): int(bits) for slot, bits in sorted(widths.items())}


def point_names(count: int) -> list[str]:
    """s00, s01, ...: as many digits as are needed, at least two."""
    digits = max(2, len(str(max(count - 1, 0))))
    return [f"s{i:0{digits}d}" for i in range(count)]


def pareto(points: Sequence[Point], objectives: Sequence[str]) -> list[Point]:
    """Feasible points that none dominates, one for equal values, sorted by values and genome."""
    unique: dict[tuple[float, ...], Point] = {}
    for point in sorted(points, key=lambda p: (p.values(objectives), p.genome)):
        if point.feasible:
            unique.setdefault(point.values(objectives), point)
    if not unique:
        return []
    values = np.array(list(unique), dtype=np.float64)
    chosen = NonDominatedSorting().do(values, only_non_dominated_front=True)
    kept = list(unique.values())
    return [kept[i] for i in sorted(int(i) for i in chosen)]


def hypervolume(points: Sequence[Point], objectives: Sequence[str], limits: FloatArray) -> float:
    """Share of the box [0, limits] that the feasible points dominate.

    `limits` are the reference point; points beyond it add nothing.
    """
    values = [p.values(objectives) for p in points if p.feasible]
    if not values:
        return 0.0
    scaled = np.array(values, dtype=np.float64) / limits
    return float(HV(ref_point=np.ones(len(objectives)))(scaled))
