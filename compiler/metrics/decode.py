"""From frame scores to a sequence of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.compiler.metrics.kernels import best_path, edit_distance

Array = npt.NDArray[Any]


def log_softmax(output: Array) -> npt.NDArray[np.float64]:
    """[T, C] log probabilities of scores of any finite size."""
    scores = np.asarray(output, np.float64)
    shifted: npt.NDArray[np.float64] = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def collapse(frames: Array, dropped: int | None) -> npt.NDArray[np.int64]:
    """One entry for each run of equal frames, without the runs of class `dropped`."""
    frames = np.asarray(frames, np.int64)
    if not len(frames):
        return frames
    runs = frames[np.r_[True, frames[1:] != frames[:-1]]]
    return runs if dropped is None else runs[runs != dropped]


def decode(output: Array, penalty: float, dropped: int | None) -> npt.NDArray[np.int64]:
    """Classes in order: Viterbi with one switching penalty, runs collapsed.

    Args:
        output: [T, C] scores before the softmax.
        penalty: cost of one change of class, natural log units.
        dropped: class (silence) that is left out, or None.
    """
    return collapse(best_path(log_softmax(output), penalty), dropped)


def sequence_errors(
    output: Array, label: Array, kind: str, penalty: float, dropped: int | None
) -> tuple[float, float]:
    """Edit distance of the decoded output to the reference, and the reference's length.

    Frame labels are collapsed to a sequence first. An empty reference counts as one, so that what
    was inserted is not lost.
    """
    wanted = collapse(label, dropped) if kind == "frame" else np.asarray(label, np.int64)
    found = decode(output, penalty, dropped)
    return float(edit_distance(found, wanted)), float(max(1, len(wanted)))
