"""Mean squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class MeanSquaredError:
    """Mean of squared differences to targets [T, C] (`frame`) or [C] of the last frame."""

    name: str = "mse"
    label_kinds: frozenset[str] = frozenset({"frame", "utterance"})

    def score(
        self, output: npt.NDArray[Any], label: npt.NDArray[Any], kind: str = "frame"
    ) -> tuple[float, float]:
        """Sum of squares and number of values."""
        found = np.asarray(output if kind == "frame" else output[-1], np.float64)
        wanted = np.asarray(label, np.float64)
        frames_differ = kind == "frame" and len(found) != len(wanted)
        if frames_differ or found.size != wanted.size:
            raise ValueError(f"output {found.shape}, target {wanted.shape}")
        difference = found.reshape(-1) - wanted.reshape(-1)
        return float(difference @ difference), float(found.size)
