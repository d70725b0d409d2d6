"""Classification of whole utterances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class UtteranceError:
    """Share of utterances whose class is wrong: 1 - accuracy, since metrics count errors.

    The class is the largest entry of the outputs' mean over time.
    """

    name: str = "accuracy"
    label_kinds: frozenset[str] = frozenset({"utterance"})
    lower_bound: bool = True

    def score(
        self, output: npt.NDArray[Any], label: npt.NDArray[Any], kind: str = "utterance"
    ) -> tuple[float, float]:
        """1 or 0 errors of 1; output [T, C], label [] or [1]."""
        del kind
        if label.size != 1:
            raise ValueError(f"one class is needed, got labels {label.shape}")
        found = int(np.mean(output, axis=0, dtype=np.float64).argmax())
        return float(found != int(label.reshape(-1)[0])), 1.0
