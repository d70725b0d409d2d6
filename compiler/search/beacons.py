"""Beacons of a running search: who gets one, and which (DESIGN D6, D7).

Everything is decided at the end of a generation, in the order in which its candidates were asked
for, from errors and widths alone. So a replay decides the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.beacon_settings import BeaconSearch, distance
from mohaq.compiler.search.beacon_store import BeaconStore
from mohaq.compiler.search.beacon_training import BeaconTrainer, Tell
from mohaq.compiler.search.front import Point
from mohaq.compiler.search.record import BeaconRow, Record, context_hash, evaluation_key

STORE_FOLDER = "beacons"


@dataclass(frozen=True)
class Beacon:
    """A retrained candidate.

    Attributes:
        program: hash of its program.
        widths: that it was trained for.
        generation: in which it was made.
        facts: validation errors and epochs of its training.
    """

    program: str
    widths: Mapping[Slot, int]
    generation: int
    facts: Mapping[str, Any]


class Beacons:
    """Chooses beacons for candidates and trains those that are missing.

    Args:
        search: data, conditions and recipe.
        trainer: makes a beacon.
        record: the open log.
        store: where beacons are kept.
        decides: everything beside the widths that decides an error (the search's).
        full: error of the float program.
        tell: told what is going on.
    """

    def __init__(
        self,
        search: BeaconSearch,
        trainer: BeaconTrainer,
        record: Record,
        store: BeaconStore,
        decides: Mapping[str, str],
        full: float,
        tell: Tell | None = None,
    ) -> None:
        self._settings = search.settings
        self._trainer = trainer
        self._record = record
        self._store = store
        self._decides = dict(decides)
        self._recipe = context_hash(
            {**decides, **{f"beacon {k}": repr(v) for k, v in search.recipe().items()}}
        )
        self._low, self._high = self._settings.between(full)
        self._tell = tell or (lambda _: None)
        self._considered: set[tuple[int, ...]] = set()
        self._contexts: dict[str, str] = {}
        self._failed: list[Mapping[Slot, int]] = []
        self.made: list[Beacon] = []

    def choose(self, generation: int, points: Sequence[Point]) -> dict[tuple[int, ...], str]:
        """{genome: hash of the beacon to evaluate it with}; every genome is considered once.

        Args:
            generation: number of the one that has ended.
            points: its candidates, in the order in which they were asked for.

        Raises:
            MohaqError: a beacon cannot be trained, or is not the one in the log.
        """
        chosen: dict[tuple[int, ...], str] = {}
        for point in points:
            if point.genome in self._considered:
                continue
            self._considered.add(point.genome)
            if self._worth(point) and (beacon := self._nearest(generation, point)) is not None:
                chosen[point.genome] = beacon.program
        return chosen

    def key(self, beacon: str, widths: Mapping[Slot, int]) -> str:
        """Key of a candidate with a beacon's parameters: that of a search of the beacon."""
        if beacon not in self._contexts:
            self._contexts[beacon] = context_hash({**self._decides, "model": beacon})
        return evaluation_key(self._contexts[beacon], widths)

    def to_json(self, folder: Path) -> list[dict[str, Any]]:
        """The beacons for `front.json` of a run folder."""
        rows = []
        for one in self.made:
            path = self._store.path(one.program)
            inside = path.is_relative_to(folder)
            rows.append(
                {
                    "hash": one.program,
                    "program": (path.relative_to(folder) if inside else path).as_posix(),
                    "generation": one.generation,
                    "widths": {str(s): b for s, b in sorted(one.widths.items())},
                    "before": one.facts["before"],
                    "after": one.facts["after"],
                    "best_epoch": one.facts["best_epoch"],
                }
            )
        return rows

    def _worth(self, point: Point) -> bool:
        """Whether a candidate's error can be won back and is worth it."""
        error = point.objectives.get("error")
        return (
            error is not None
            and self._low < error < self._high
            and all(c.holds(point.objectives) for c in self._settings.conditions)
        )

    def _nearest(self, generation: int, point: Point) -> Beacon | None:
        """The nearest beacon within the threshold, made if there is none and room for one.

        Where a training has failed, none near it is tried.
        """
        ranked = sorted(
            (distance(point.widths, one.widths), number) for number, one in enumerate(self.made)
        )
        if ranked and ranked[0][0] <= self._settings.threshold:
            return self.made[ranked[0][1]]
        if any(distance(point.widths, w) <= self._settings.threshold for w in self._failed):
            return None
        if self._settings.most is not None and len(self.made) >= self._settings.most:
            return None
        return self._add(generation, point)

    def _add(self, generation: int, point: Point) -> Beacon | None:
        """The beacon of a candidate: from the log, the store, or training; None: it diverged."""
        recipe = evaluation_key(self._recipe, point.widths)
        logged = self._record.beacon(recipe)
        if logged is not None and logged.failure:
            self._failed.append(point.widths)
            return None
        found = self._store.find(recipe)
        held = found if found is not None else self._train(generation, recipe, point.widths)
        failure = str(held.get("failure", ""))
        row = BeaconRow(recipe, generation, point.widths, held.get("beacon", ""), failure)
        if logged is None:
            self._record.put_beacon(row)
        elif logged.program != row.program:
            raise MohaqError(
                "a beacon that is made again differs from that in the log",
                where=str(self._store.folder),
                why=f"{row.program[:12] or failure}, recorded {logged.program[:12]}",
                hint="put the recorded beacon back, or search in a new folder: training gives the "
                "same bits on the same machine and library versions only",
            )
        if failure:
            self._failed.append(point.widths)
            return None
        made = Beacon(row.program, dict(point.widths), generation, held)
        self.made.append(made)
        return made

    def _train(self, generation: int, recipe: str, widths: Mapping[Slot, int]) -> dict[str, Any]:
        number = len(self.made) + 1
        self._tell(f"generation {generation}: train beacon {number}")
        done = self._trainer.train(recipe, Assignment(dict(sorted(widths.items()))))
        if done.program is None:
            self._tell(f"beacon {number} failed: {done.failure}")
            return {"failure": done.failure}
        beacon = self._store.add(recipe, done.program, done.facts)
        after = f"{done.facts['before']:.4f} -> {done.facts['after']:.4f}"
        self._tell(f"beacon {number}: validation {after}, epoch {done.facts['best_epoch']}")
        return {**done.facts, "beacon": beacon}
