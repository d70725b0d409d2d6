"""Choices of a scheduler: which are Pareto-optimal, and which one a preference takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

SLACK = 1.01
"""A choice this close to the best by the first criterion may be better by the second."""


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A schedule with its figures: cycles, energy [pJ], bits of DRAM traffic."""

    cycles: float
    energy: float
    dram_bits: float
    what: T

    @property
    def figures(self) -> tuple[float, float, float]:
        """What choices are compared by; less is better."""
        return self.cycles, self.energy, self.dram_bits


def pareto(choices: Sequence[Choice[T]]) -> tuple[Choice[T], ...]:
    """The choices that no other one beats or equals in everything, fastest first.

    Of choices with equal figures the first stays.
    """
    kept: list[Choice[T]] = []
    # In this order nothing that comes later can dominate what is kept.
    for one in sorted(choices, key=lambda c: c.figures):
        if not any(
            all(a <= b for a, b in zip(other.figures, one.figures, strict=True)) for other in kept
        ):
            kept.append(one)
    return tuple(kept)


def pick(front: Sequence[Choice[T]], prefer: str) -> Choice[T]:
    """The choice that a preference takes.

    `latency`: the least energy within 1 % of the fewest cycles; `energy`: the fewest cycles within
    1 % of the least energy; `balanced`: the least product of both.
    """
    if prefer == "balanced":
        return min(front, key=lambda c: (c.cycles * c.energy, c.figures))
    if prefer == "energy":
        least = min(c.energy for c in front)
        return min((c for c in front if c.energy <= least * SLACK), key=lambda c: c.figures)
    fewest = min(c.cycles for c in front)
    near = [c for c in front if c.cycles <= fewest * SLACK]
    return min(near, key=lambda c: (c.energy, c.cycles))
