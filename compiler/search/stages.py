"""Candidates whose sequences are run in two parts (`early_stop`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mohaq.compiler.assignment import Slot
from mohaq.compiler.search.engine import Candidates, Evaluation, Part
from mohaq.compiler.search.evaluator import Evaluator


class Staged:
    """An evaluator, and itself on some of the sequences; all share what they keep.

    Args:
        whole: evaluates all sequences.
        first: numbers of the sequences of the part `first`; all others are `rest`.
    """

    def __init__(self, whole: Evaluator, first: Sequence[int]) -> None:
        rest = sorted(set(range(whole.sequences)) - set(first))
        self._parts: dict[Part, Evaluator] = {
            "all": whole,
            "first": whole.restricted(first),
            "rest": whole.restricted(rest),
        }

    def evaluate(self, widths: Mapping[Slot, int]) -> Evaluation:
        """Error over all sequences; raises like the evaluator."""
        return self._parts["all"].evaluate(widths)

    def part(self, part: Part) -> Candidates:
        """The candidates on a part of the sequences."""
        return self._parts[part]

    def counters(self) -> tuple[int, int]:
        """(hits, misses) of the value memory so far."""
        return self._parts["all"].counters()
