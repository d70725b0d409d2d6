"""What a search tells of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Event = Literal["evaluated", "generation", "done"]


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        event: what has just happened.
        generation: number of the running generation, 0 for the reference rows.
        generations: how many there will be.
        evaluated: evaluations made by this process.
        replayed: evaluations taken from the record.
        planned: evaluations still to make in this generation.
        remaining: candidates still to come, those of later generations included.
        skipped: candidates that broke a limit before inference.
        failed: evaluations that gave no error.
        stopped: candidates that were stopped early and have a bound in place of an error.
        hits, misses: layer values taken from memory and computed.
        hypervolume: after the last finished generation.
        best_error: smallest error of a feasible candidate of the finished batches.
        seconds: mean time of an evaluation in a worker.
    """

    event: Event
    generation: int
    generations: int
    evaluated: int
    replayed: int
    planned: int
    remaining: int
    skipped: int
    failed: int
    stopped: int
    hits: int
    misses: int
    hypervolume: float
    best_error: float | None
    seconds: float


Observer = Callable[[Progress], None]
