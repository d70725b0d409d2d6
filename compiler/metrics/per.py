"""Phone error rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mohaq.compiler.metrics.decode import sequence_errors


@dataclass(frozen=True)
class PhoneErrorRate:
    """Edit distance of phone sequences over the length of the reference.

    Attributes:
        penalty: of a change of phone in the Viterbi decoder, natural log units; the default was
            chosen on the validation split of the default corpus.
        silence: class that is dropped on both sides, or None.
    """

    penalty: float = 3.0
    silence: int | None = 0
    name: str = "per"
    label_kinds: frozenset[str] = frozenset({"frame", "sequence"})
    lower_bound: bool = True

    def score(
        self, output: npt.NDArray[Any], label: npt.NDArray[Any], kind: str = "frame"
    ) -> tuple[float, float]:
        """Edits and reference phones; output [T, C], label [T] or, for `sequence`, [L]."""
        return sequence_errors(output, label, kind, self.penalty, self.silence)
