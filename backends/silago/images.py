"""Rows of the memory tiles that hold weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mohaq.backends.silago.schedule.layout import late
from mohaq.backends.silago.schedule.tasks import MatrixTask


def weight_rows(weights: npt.NDArray[np.int64], task: MatrixTask) -> npt.NDArray[np.int16]:
    """Rows of the tiles [runs of all bands, cells, groups * chunks, 16] of a weight matrix [N, K].

    Lane l of word k of group g holds W[L g + l][k]. In rows for cells of row 1 the first words
    belong to the next row; the last row of a part has those of its first one. Where halves of
    groups take turns in the tile, one more row comes first: the row before the first one.
    """
    at, lanes = task.place, task.lanes
    made = []
    for band, runs in zip(task.bands, task.runs, strict=True):
        groups = runs * at.groups * task.cells
        full = np.zeros((groups * lanes, at.chunks * 16), dtype=np.int64)
        mine = np.concatenate([weights[first : first + size] for first, size in band.runs])
        full[: len(mine), : task.features] = mine
        packed = np.zeros((groups, at.chunks * 16), dtype=np.int64)
        for lane in range(lanes):
            packed |= (full[lane::lanes] & ((1 << task.bits) - 1)) << (task.bits * lane)
        dealt = packed.reshape(runs, at.groups, task.cells, at.chunks, 16).transpose(0, 2, 1, 3, 4)
        for number, (row, _) in enumerate(task.places):
            early = dealt[:, number, ..., : late(row, weights=True)]
            for first, count in at.parts:
                part = early[:, :, first : first + count]
                flat = part.reshape(runs, at.groups * count, -1)
                part[...] = np.roll(flat, -1, axis=1).reshape(part.shape)
        rows = dealt.reshape(runs, task.cells, -1, 16)
        made.append(np.concatenate([rows[:, :, -1:], rows], axis=2) if at.turn else rows)
    return np.concatenate(made).astype(np.uint16).view(np.int16)
