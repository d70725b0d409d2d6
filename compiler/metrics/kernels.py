"""Compiled inner loops of the metrics (numba)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def best_path(scores: Array, penalty: float) -> Array:
    """Viterbi path where every change of class costs `penalty`.

    Args:
        scores: [T, C] log probabilities.
        penalty: cost of one change, in the same unit.

    Returns:
        [T] int64 classes.
    """
    steps, classes = scores.shape
    path = np.empty(steps, np.int64)
    if steps == 0:
        return path
    stayed = np.zeros((steps, classes), np.bool_)
    origin = np.zeros(steps, np.int64)
    total = scores[0].astype(np.float64)
    for t in range(1, steps):
        best = 0
        for k in range(1, classes):
            if total[k] > total[best]:
                best = k
        origin[t] = best
        changed = total[best] - penalty
        for k in range(classes):
            if total[k] >= changed:
                stayed[t, k] = True
            else:
                total[k] = changed
            total[k] += scores[t, k]
    last = 0
    for k in range(1, classes):
        if total[k] > total[last]:
            last = k
    path[steps - 1] = last
    for t in range(steps - 1, 0, -1):
        if not stayed[t, last]:
            last = origin[t]
        path[t - 1] = last
    return path


@njit(cache=True, nogil=True)
def edit_distance(found: Array, wanted: Array) -> int:
    """Levenshtein distance of two [*] int64 sequences: fewest insertions, deletions, changes."""
    row = np.arange(len(wanted) + 1)
    for i in range(len(found)):
        corner = row[0]
        row[0] = i + 1
        for j in range(len(wanted)):
            change = corner + (0 if found[i] == wanted[j] else 1)
            corner = row[j + 1]
            row[j + 1] = min(change, row[j] + 1, corner + 1)
    return int(row[len(wanted)])
