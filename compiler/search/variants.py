"""Evaluators of a program and of its beacons in one worker."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program
from mohaq.compiler.search.beacon_store import BeaconStore
from mohaq.compiler.search.engine import Candidates, Evaluation

KEPT = 2
"""Evaluators of beacons that a worker keeps: jobs come sorted by beacon."""

Build = Callable[[Program], Candidates]


class Variants:
    """Candidates of the searched program, and of its beacons (`of`).

    Args:
        base: evaluator of the searched program.
        build: makes one for a beacon's program.
        store: folder of the beacons.
    """

    def __init__(self, base: Candidates, build: Build, store: Path) -> None:
        self.base = base
        self._build = build
        self._store = BeaconStore(store)
        self._kept: OrderedDict[str, Candidates] = OrderedDict()
        self._gone = (0, 0)

    def evaluate(self, widths: Mapping[Slot, int]) -> Evaluation:
        """Error with the searched program's own parameters; raises like the evaluator."""
        return self.base.evaluate(widths)

    def of(self, beacon: str) -> Candidates:
        """The evaluator of a beacon.

        Raises:
            MohaqError: the store does not hold it.
        """
        if beacon not in self._kept:
            self._kept[beacon] = self._build(self._store.load(beacon))
            while len(self._kept) > KEPT:
                _, old = self._kept.popitem(last=False)
                hits, misses = old.counters()
                self._gone = (self._gone[0] + hits, self._gone[1] + misses)
        self._kept.move_to_end(beacon)
        return self._kept[beacon]

    def counters(self) -> tuple[int, int]:
        """(hits, misses) of all value memories so far."""
        every = [self._gone, self.base.counters(), *(c.counters() for c in self._kept.values())]
        return sum(h for h, _ in every), sum(m for _, m in every)


def variant(candidates: Candidates, beacon: str) -> Candidates:
    """The evaluator that a job means: of the program itself, or of a beacon.

    Raises:
        MohaqError: these candidates know no beacons.
    """
    if not beacon:
        return candidates
    if not isinstance(candidates, Variants):
        raise MohaqError("this evaluator knows no beacons")
    return candidates.of(beacon)
