"""What a beacon-based search is asked to do (arXiv 2108.01192 and its authors' search code).

A beacon is a candidate whose parameters were retrained. A candidate that plain quantization ruins
is evaluated once more with the parameters of a beacon near it, quantized with the candidate's own
bits; the smaller of its two errors counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.qat import RetrainOptions

WEIGHTS = ("weight", "recurrent")
"""Slots whose widths make the distance; those of inputs do not enter."""

_CONDITION = re.compile(r"\s*(\w+)\s*([<>])\s*([0-9.eE+-]+)\s*")


@dataclass(frozen=True)
class Condition:
    """A bound on an objective that candidates keep to be worth a beacon."""

    objective: str
    side: Literal["<", ">"]
    bound: float

    @staticmethod
    def parse(text: str) -> Condition:
        """`speedup>20` or `size<2e6`, in SI units.

        Raises:
            MohaqError: something else.
        """
        found = _CONDITION.fullmatch(text)
        try:
            if found is None:
                raise ValueError
            bound = float(found[3])
        except ValueError:
            raise MohaqError(f"a condition is OBJECTIVE<BOUND or >BOUND, got '{text}'") from None
        return Condition(found[1], "<" if found[2] == "<" else ">", bound)

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether a candidate with these values keeps it."""
        value = values[self.objective]
        return value < self.bound if self.side == "<" else value > self.bound


@dataclass(frozen=True)
class BeaconSettings:
    """When a candidate gets a beacon, and how beacons are trained.

    Attributes:
        threshold: a candidate farther than this from every beacon becomes one itself. Distances
            are sums over the weight widths of |log2 a - log2 b|: steps of 2, 4, 8, 16. The
            authors' code has 5, and 6 where only the size is searched.
        error: (low, high): candidates whose error by plain quantization lies between. None: from
            2 points above the float program's error, to 0.9. The authors' code has (0.19, 0.30).
        conditions: further bounds, on any objective of the search.
        most: beacons at most; then candidates use the nearest within the threshold, or none.
        retrain: the recipe. Threads are one, so that the same recipe gives the same beacon
            whatever the search runs on.

    Raises:
        MohaqError: out of range.
    """

    threshold: float = 5.0
    error: tuple[float, float] | None = None
    conditions: tuple[Condition, ...] = ()
    most: int | None = None
    retrain: RetrainOptions = field(default_factory=lambda: RetrainOptions(threads=1))

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise MohaqError(f"a beacon's threshold is not negative, got {self.threshold}")
        if self.error is not None and not 0 <= self.error[0] < self.error[1]:
            raise MohaqError(
                f"a beacon's errors lie between two bounds, got {self.error[0]:g} and "
                f"{self.error[1]:g}"
            )
        if self.most is not None and self.most < 1:
            raise MohaqError(f"a beacon search has at least one beacon, got {self.most}")
        if self.retrain.threads != 1:
            raise MohaqError(f"beacons are trained with one thread, got {self.retrain.threads}")

    def between(self, full: float) -> tuple[float, float]:
        """The errors that are considered, by that of the float program."""
        return self.error if self.error is not None else (full + ABOVE, HIGH)


ABOVE, HIGH = 0.02, 0.9
"""Bounds of the error where none are given: too little to win, and too little left."""


@dataclass(frozen=True)
class BeaconSearch:
    """Makes a search a beacon-based one.

    Attributes:
        train: sequences with labels to retrain on; not those that the search measures on.
        validation: other ones; they choose the best epoch of each beacon.
        settings: conditions and recipe.
        store: folder of the beacons, shared by as many runs as one likes; None: in the run folder.
    """

    train: Dataset
    validation: Dataset
    settings: BeaconSettings = field(default_factory=BeaconSettings)
    store: Path | None = None

    def identity(self) -> dict[str, Any]:
        """Everything that decides the result; the store does not."""
        return {
            "train": self.train.content_hash(),
            "validation": self.validation.content_hash(),
            **asdict(self.settings),
        }

    def recipe(self) -> dict[str, Any]:
        """What decides a beacon's parameters, beside model, target, metric and widths."""
        return {
            "train": self.train.content_hash(),
            "validation": self.validation.content_hash(),
            "torch": version("torch"),
            "numpy": version("numpy"),
            **asdict(self.settings.retrain),
        }

    def check(self, data: Dataset, objectives: tuple[str, ...]) -> None:
        """Refuse what cannot work.

        Args:
            data: that the search measures on.
            objectives: of the search.

        Raises:
            MohaqError: the search has no error, beacons would learn the data that it measures on,
                a condition on an objective that the search does not have.
        """
        if "error" not in objectives:
            raise MohaqError("beacons lower errors: a beacon search needs the objective 'error'")
        for kind, one in (("trained", self.train), ("chosen", self.validation)):
            if one.content_hash() == data.content_hash():
                raise MohaqError(
                    f"beacons would be {kind} on the data that the search measures errors on",
                    hint="name other training data",
                )
        for condition in self.settings.conditions:
            if condition.objective not in objectives:
                raise MohaqError(
                    f"a beacon condition is on '{condition.objective}', which is not searched",
                    hint=f"objectives: {', '.join(objectives)}",
                )


def distance(a: Mapping[Slot, int], b: Mapping[Slot, int]) -> float:
    """Sum over the weight slots of |log2 a - log2 b|."""
    return sum(
        abs(math.log2(bits) - math.log2(b[slot]))
        for slot, bits in a.items()
        if slot.slot in WEIGHTS
    )
