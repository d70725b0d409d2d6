"""The result of a search, and its files: `front.json` and an assignment for each point.

`front.json` (schema "mohaq.front/1") holds no times of day and no durations: the same search
gives the same bytes on any machine and with any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from pymoo.indicators.hv import HV

from mohaq.backends.base import FloatArray
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.search.objectives import ERROR, Objective

SCHEMA = "mohaq.front/1"
FRONT_FILE = "front.json"
ASSIGNMENT_FOLDER = "assignments"

Widths = Mapping[Slot, int]


@dataclass(frozen=True)
class Point:
    """One candidate: what it is and what it reached.

    `violation` is 0 for a feasible point; `objectives` leaves out what was not evaluated.
    `failure` says why there is no error, if there is none. `beacon` is the hash of the retrained
    program whose parameters gave the error; empty: the searched program's own did. `generation` is
    the one in which the values were found. `bound` is what the error is at least, of a candidate
    that was abandoned because it could not enter the population any more.
    """

    genome: tuple[int, ...]
    widths: Widths
    objectives: Mapping[str, float]
    violation: float
    generation: int
    failure: str | None = None
    error_interval: tuple[float, float] | None = None
    beacon: str = ""
    bound: float | None = None

    @property
    def feasible(self) -> bool:
        """Whether it is known to keep all constraints."""
        return self.violation <= 0 and self.failure is None and self.bound is None

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
        if self.failure:
            held["failure"] = self.failure
        if self.beacon:
            held["beacon"] = self.beacon
        if self.bound is not None:
            held["bound"] = self.bound
        return held


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
        axes: the objectives, in order.
        reference: rows to compare with: {name: objectives}.
        generations: one a generation.
        evaluated: every candidate once, in the order it was first met.
        front: feasible points that no other dominates, sorted by their objectives, best first.
        unmet: where no candidate is feasible: each limit that none kept, and by how much.
        folder: where the files are.
    """

    header: Mapping[str, Any]
    axes: tuple[Objective, ...]
    reference: Sequence[Mapping[str, Any]]
    generations: tuple[Generation, ...]
    evaluated: tuple[Point, ...]
    front: tuple[Point, ...]
    folder: Path
    unmet: tuple[str, ...] = ()

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the objectives, in order."""
        return tuple(axis.name for axis in self.axes)

    def __repr__(self) -> str:
        last = self.generations[-1].hypervolume if self.generations else 0.0
        return (
            f"SearchResult({len(self.front)} points on the front, {len(self.evaluated)} candidates, "
            f"hypervolume {last:.4f}, {self.folder})"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the front as a table and a plot."""
        from mohaq.compiler.search.notebook import search_html

        return search_html(self)

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
                    **({"beacon": point.beacon} if point.beacon else {}),
                }
            )
        keep = {f"{name}.json" for name in point_names(len(self.front))}
        for old in (self.folder / ASSIGNMENT_FOLDER).glob("s*.json"):
            if old.name not in keep:  # of a shorter search that this one continues
                old.unlink()
        data = {
            "schema": SCHEMA,
            **self.header,
            "objectives": [
                {"name": a.name, "unit": a.unit, "direction": a.direction} for a in self.axes
            ],
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
            **({"unmet": list(self.unmet)} if self.unmet else {}),
        }
        write_text(self.folder / FRONT_FILE, dump_json(data))


def widths_json(widths: Widths) -> dict[str, int]:
    """{"l0.weight": 4, ...}, sorted by slot."""
    return {str(slot): int(bits) for slot, bits in sorted(widths.items())}


def point_names(count: int) -> list[str]:
    """s00, s01, ...: as many digits as are needed, at least two."""
    digits = max(2, len(str(max(count - 1, 0))))
    return [f"s{i:0{digits}d}" for i in range(count)]


def pareto(points: Iterable[Point], axes: Sequence[Objective]) -> list[Point]:
    """Feasible points that none dominates, one for equal values, sorted by values and genome."""
    rows = [(lowered(point, axes), point) for point in points if point.feasible]
    unique: dict[tuple[float, ...], Point] = {}
    for values, point in sorted(rows, key=lambda row: (row[0], row[1].genome)):
        unique.setdefault(values, point)
    if not unique:
        return []
    chosen = moocore.is_nondominated(np.array(list(unique), dtype=np.float64))
    return [point for point, kept in zip(unique.values(), chosen, strict=True) if kept]


def lowered(point: Point, axes: Sequence[Objective]) -> tuple[float, ...]:
    """Values in the order of the axes, as numbers to minimise; NaN where unknown.

    A bound stands for the error.
    """
    held = dict(point.objectives)
    if point.bound is not None:
        held[ERROR] = point.bound
    return tuple(a.lower(held.get(a.name, float("nan"))) for a in axes)


def hypervolume(points: Sequence[Point], axes: Sequence[Objective], limits: FloatArray) -> float:
    """Share of the box between perfection and `limits` that the feasible points dominate.

    `limits` [M] are the reference point; points beyond it add nothing. Perfection is 0, and
    infinity for what is maximised: such a value counts as limit / value.
    """
    rows = [
        [
            point.objectives[a.name] / limit
            if a.direction == "min"
            else limit / max(point.objectives[a.name], np.finfo(np.float64).tiny)
            for a, limit in zip(axes, limits, strict=True)
        ]
        for point in points
        if point.feasible
    ]
    if not rows:
        return 0.0
    return hypervolume_of(np.array(rows, dtype=np.float64))


def hypervolume_of(rows: FloatArray) -> float:
    """Share of the unit box that points [n, M], as shares of the reference point, dominate."""
    return float(HV(ref_point=np.ones(rows.shape[1]))(rows))
