"""TIMIT's phones as the field scores them: 61 labels, 48 trained, 39 scored.

K.-F. Lee, H.-W. Hon, "Speaker-independent phone recognition using hidden Markov models", IEEE
Trans. ASSP 37(11), 1989. Silence is dropped on both sides, as `per` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.compiler.metrics.decode import collapse, decode
from mohaq.compiler.metrics.kernels import edit_distance

SILENCE = "sil"

PHONES: tuple[str, ...] = (
    SILENCE,
    *[
        "aa",
        "ae",
        "ah",
        "ao",
        "aw",
        "ax",
        "ay",
        "b",
        "ch",
        "cl",
        "d",
        "dh",
        "dx",
        "eh",
        "el",
        "en",
        "epi",
        "er",
        "ey",
        "f",
        "g",
        "hh",
        "ih",
        "ix",
        "iy",
        "jh",
        "k",
        "l",
        "m",
        "n",
        "ng",
    ],
    *["ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "vcl", "w", "y", "z", "zh"],
)
"""The 48 classes; the index is the label. Silence is class 0."""

_LABELS = {
    "ax-h": "ax", "axr": "er", "em": "m", "eng": "ng", "hv": "hh", "nx": "n", "ux": "uw",
    **dict.fromkeys(("bcl", "dcl", "gcl"), "vcl"),
    **dict.fromkeys(("kcl", "pcl", "tcl"), "cl"),
    **dict.fromkeys(("h#", "pau"), SILENCE),
    "q": SILENCE,  # left out of the 48; its frames count as silence here
}  # fmt: skip
"""Labels that are not among the 48."""

_SCORED = {
    "ao": "aa", "ax": "ah", "el": "l", "en": "n", "ix": "ih", "zh": "sh",
    **dict.fromkeys(("cl", "epi", "vcl"), SILENCE),
}  # fmt: skip
"""Which of the 48 count as one of the 39."""

_INDEX = {name: number for number, name in enumerate(PHONES)}
FOLD: npt.NDArray[np.int64] = np.array([_INDEX[_SCORED.get(p, p)] for p in PHONES])
"""[48] -> the class that each counts as."""


def phone_class(label: str) -> int | None:
    """The class of one of the 61 labels; None: unknown."""
    return _INDEX.get(_LABELS.get(label, label))


def _folded(classes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if classes.size and not 0 <= int(classes.min()) <= int(classes.max()) < len(FOLD):
        raise ValueError(f"TIMIT has {len(FOLD)} classes, got one beyond")
    return np.asarray(FOLD[classes], np.int64)


@dataclass(frozen=True)
class TimitFrameError:
    """Share of frames wrong among the 39 phones; an output beyond the 48 is wrong."""

    name: str = "timit-fer"
    label_kinds: frozenset[str] = frozenset({"frame"})
    lower_bound: bool = True

    def score(
        self, output: npt.NDArray[Any], label: npt.NDArray[Any], kind: str = "frame"
    ) -> tuple[float, float]:
        """Wrong frames and all frames; output [T, C >= 48], label [T]."""
        del kind
        if label.ndim != 1 or len(output) != len(label) or output.shape[1] < len(FOLD):
            raise ValueError(f"output {output.shape}, labels {label.shape}")
        found = output.argmax(axis=1)
        right = (found < len(FOLD)) & (FOLD[np.minimum(found, len(FOLD) - 1)] == _folded(label))
        return float(np.count_nonzero(~right)), float(len(label))


@dataclass(frozen=True)
class TimitPhoneError:
    """Edit distance among the 39 phones over the reference's phones; decoded among the 48.

    `penalty` is that of `per`.
    """

    penalty: float = 3.0
    name: str = "timit-per"
    label_kinds: frozenset[str] = frozenset({"frame"})
    lower_bound: bool = True

    def score(
        self, output: npt.NDArray[Any], label: npt.NDArray[Any], kind: str = "frame"
    ) -> tuple[float, float]:
        """Edits and reference phones; output [T, C >= 48], label [T]."""
        del kind
        if output.ndim != 2 or output.shape[1] < len(FOLD):
            raise ValueError(f"output {output.shape}")
        found = _phones(decode(output[:, : len(FOLD)], self.penalty, None))
        wanted = _phones(collapse(label, None))
        return float(edit_distance(found, wanted)), float(max(1, len(wanted)))


def _phones(runs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The scored phones of runs of classes, without silence."""
    folded = _folded(runs)
    return np.asarray(folded[folded != 0])
