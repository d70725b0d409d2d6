"""Frame error rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class FrameErrorRate:
    """Share of frames whose largest output is not the labelled class.

    Attributes:
        uses_order: the search may score integers of one scale instead of real values.
    """

    name: str = "fer"
    label_kinds: frozenset[str] = frozenset({"frame"})
    uses_order: bool = True
    lower_bound: bool = True

    def score(
        self, output: npt.NDArray[Any], label: npt.NDArray[Any], kind: str = "frame"
    ) -> tuple[float, float]:
        """Wrong frames and all frames; output [T, C], label [T]."""
        del kind
        if label.ndim != 1 or len(output) != len(label):
            raise ValueError(f"{len(output)} frames of output, labels {label.shape}")
        return float(np.count_nonzero(output.argmax(axis=1) != label)), float(len(label))
