"""Sequences of a data set as the arguments of a program, many at a time where that is safe.

Sequences of different lengths are padded only when nothing in the program can see the padding:
recurrent layers get the lengths, all else works on frames alone. Otherwise sequences of equal
length run together, or one by one when the program has no batch extent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from xdsl.dialects.func import ReturnOp

from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn as ops
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.driver.host import HostPlan
from mohaq.compiler.program import Program

_FRAMES = (ops.LinearOp, ops.RecurrentOp, ops.UnaryOp, ops.TransposeOp, LoadOp, ReturnOp)
"""Operations that work on every frame alone, or take lengths."""


@dataclass(frozen=True)
class Chunk:
    """Sequences that run together.

    members: their numbers [B]. x: the program's first argument. lengths: [B]; None when all have
    the same (a program of rows, which has them one below the other, always needs them).
    """

    members: npt.NDArray[np.int64]
    x: Tensor
    lengths: Tensor | None


class Feeder:
    """Makes arguments of sequences, and outputs of sequences of results.

    Raises:
        MohaqError: the program takes indices or lengths beside the sequence.
    """

    def __init__(self, program: Program, plan: HostPlan) -> None:
        self._plan = plan
        self._rows = len(plan.arguments[0].shape) == 2
        self._axis = None if self._rows else plan.batch_axis
        self._result_axis = None if self._rows else plan.result_batch_axis
        for number, argument in enumerate(plan.arguments):
            if argument.indices:
                raise MohaqError(
                    "retraining knows one sequence input and initial states only",
                    where=f"input {number} of the program",
                    why="it takes whole numbers",
                )
        self.padded = (self._rows or self._axis is not None) and all(
            isinstance(op, _FRAMES) and getattr(op, "lengths", None) is None
            for op in program.entry.body.block.ops
        )

    def chunks(self, data: Dataset, members: npt.NDArray[np.int64]) -> Iterator[Chunk]:
        """The sequences `members` [B] in as few runs as possible."""
        lengths = data.lengths[members]
        if self.padded:
            yield self._stacked(data, members, lengths)
            return
        order = members[np.argsort(lengths, kind="stable")]
        for _, group in groupby(order, key=lambda i: len(data.inputs[i])):
            equal = np.array(list(group))
            for part in [equal] if self._axis is not None else equal[:, None]:
                yield self._stacked(data, part, data.lengths[part])

    def _stacked(
        self, data: Dataset, members: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> Chunk:
        given = [self._plan.first_argument(data.inputs[i]) for i in members]
        equal = bool((lengths == lengths[0]).all())
        if self._axis is None:
            x = torch.from_numpy(np.concatenate(given))  # rows, or the only one
            return Chunk(members, x, torch.from_numpy(lengths))
        if not equal:
            time = 1 - self._axis  # of [T, B, F] and [B, T, F] alike
            for place, one in enumerate(given):
                widths = [(0, 0)] * one.ndim
                widths[time] = (0, int(lengths.max()) - one.shape[time])
                given[place] = np.pad(one, widths)
        x = torch.from_numpy(np.concatenate(given, axis=self._axis))
        return Chunk(members, x, None if equal else torch.from_numpy(lengths))

    def arguments(self, chunk: Chunk) -> list[Tensor]:
        """All arguments of the program; states start at zero."""
        found = [chunk.x]
        for argument in self._plan.arguments[1:]:
            # Symbolic extents of a state count sequences.
            shape = [len(chunk.members) if n is None else n for n in argument.shape]
            found.append(chunk.x.new_zeros(shape))
        return found

    def outputs(self, result: Tensor, chunk: Chunk) -> list[Tensor]:
        """First result of each sequence of a chunk: [T, C]; T is 1 where it has no frames."""
        if self._result_axis is None or result.dim() < 2:
            alone = result.reshape(-1, result.shape[-1])
            if len(chunk.members) == 1:
                return [alone]
            if not self._rows or chunk.lengths is None:
                raise MohaqError("the first result does not tell sequences apart")
            return list(torch.split(alone, chunk.lengths.tolist()))
        found = []
        for place, one in enumerate(result.unbind(self._result_axis)):
            frames = one[None] if one.dim() == 1 else one.reshape(-1, one.shape[-1])
            long = None if chunk.lengths is None else int(chunk.lengths[place])
            found.append(frames if long is None else frames[:long])
        return found


def batches(
    data: Dataset, size: int, rng: np.random.Generator | None = None
) -> Sequence[npt.NDArray[np.int64]]:
    """Numbers of the sequences of each batch, of similar length; `rng` mixes them."""
    keys: npt.NDArray[Any] = data.lengths.astype(np.float64)
    if rng is not None:
        keys *= rng.uniform(0.9, 1.1, len(keys))
    order = np.argsort(keys, kind="stable").astype(np.int64)
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    return groups if rng is None else [groups[i] for i in rng.permutation(len(groups))]
