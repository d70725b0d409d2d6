"""Word error rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mohaq.compiler.metrics.decode import sequence_errors


@dataclass(frozen=True)
class WordErrorRate:
    """Edit distance of word sequences over the length of the reference, one class a word.

    For small vocabularies (digit strings): the network scores words at every frame. Equal words in
    a row are told apart only where `blank` frames lie between them.

    Attributes:
        penalty: of a change of word in the Viterbi decoder, natural log units.
        blank: class between words that is dropped, or None.
    """

    penalty: float = 8.0
    blank: int | None = 0
    name: str = "wer"
    label_kinds: frozenset[str] = frozenset({"frame", "sequence"})
    lower_bound: bool = True

    def score(
        self, output: npt.NDArray[Any], label: npt.NDArray[Any], kind: str = "sequence"
    ) -> tuple[float, float]:
        """Edits and reference words; output [T, C], label [L] or, for `frame`, [T]."""
        return sequence_errors(output, label, kind, self.penalty, self.blank)
