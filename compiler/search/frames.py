"""Framewise integer operations over blocks of frames [n, C], as exact as the reference.

Matrix products run as float32 GEMM while every sum stays below 2^24 and as float64 GEMM below
2^53: all partial sums are whole numbers of that range, so both are exact whatever their order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.compiler.search import kernels
from mohaq.compiler.search import rescale_kernels as rescale
from mohaq.compiler.search.gemm import ByteWeights, byte_sums, is_byte, product

Frames = npt.NDArray[Any]
Values = list[Frames | None]
Ints = npt.NDArray[np.int64]

BLOCK = 256
"""Rows handled at once: sums of a block stay in the second-level cache."""

SHORTEST_RUN = 16
"""Mean length from which runs of channels with one scale are rescaled together."""

VECTOR = 8
"""A sum in order costs so many times less where all channels of a frame are summed together."""


@dataclass(frozen=True)
class Ragged:
    """Where utterances end in the frames of a batch."""

    ends: Ints

    @property
    def frames(self) -> int:
        """Frames in all."""
        return int(self.ends[-1])

    @staticmethod
    def of(lengths: npt.ArrayLike) -> Ragged:
        """From the number of frames of each utterance."""
        return Ragged(np.cumsum(np.asarray(lengths, dtype=np.int64)))

    def split(self, frames: Frames) -> list[Frames]:
        """Frames of each utterance."""
        return np.split(frames, self.ends[:-1])


@dataclass(frozen=True)
class FrameOp(ABC):
    """Reads and writes numbered values of a block. Floats stand for whole numbers."""

    result: int

    @abstractmethod
    def run(self, values: Values, goal: Frames | None) -> None:
        """Compute into `values[result]`, which becomes `goal` when that suits."""


def _get(values: Values, number: int) -> Frames:
    found = values[number]
    assert found is not None
    return found


def _ints(values: Values, number: int) -> Ints:
    return _get(values, number).astype(np.int64, copy=False)


@dataclass(frozen=True)
class Matmul(FrameOp):
    """x W^T; `weight` is [K, N] in the type that keeps sums exact."""

    x: int
    weight: npt.NDArray[Any]

    def run(self, values: Values, goal: Frames | None) -> None:  # noqa: ARG002
        """See the class."""
        values[self.result] = _get(values, self.x).astype(self.weight.dtype) @ self.weight


@dataclass(frozen=True)
class ByteMatmul(FrameOp):
    """x W^T by GEMM of bytes; x lies in low..high."""

    x: int
    low: int
    high: int
    weight: ByteWeights

    @property
    def byte(self) -> bool:
        """Whether x is one byte."""
        return is_byte(self.low, self.high)

    def run(self, values: Values, goal: Frames | None) -> None:  # noqa: ARG002
        """See the class."""
        values[self.result] = product(_get(values, self.x), self.low, self.high, self.weight)


@dataclass(frozen=True)
class SaturatingMatmul(FrameOp):
    """x W^T, clamped after every addition in the order of K.

    Where the sum of |x||w| fits the accumulator no addition clamps, and the exact product is the
    value; only the other sums are formed in order. `weight` and `magnitude` are [K, N] in a type
    that keeps sums exact, `rows` is [N, K], `columns` [K, N].
    """

    x: int
    weight: npt.NDArray[Any]
    magnitude: npt.NDArray[Any]
    rows: Ints
    columns: npt.NDArray[np.int32]
    low: int
    high: int

    def run(self, values: Values, goal: Frames | None) -> None:  # noqa: ARG002
        """See the class."""
        x = _get(values, self.x)
        held = x.astype(self.weight.dtype)
        total = (held @ self.weight).astype(np.int64)
        beyond = np.abs(held) @ self.magnitude > self.high
        counts = np.count_nonzero(beyond, axis=1)
        if counts.any():
            whole = np.ascontiguousarray(x, dtype=np.int64)
            # Rows with many go through all channels at once, in vector instructions.
            many = counts * VECTOR > total.shape[1]
            crowded = np.flatnonzero(many)
            where = np.argwhere(beyond & ~many[:, None])
            kernels.saturating_sums(whole, self.rows, where, self.low, self.high, total)
            kernels.saturating_rows(whole, self.columns, crowded, self.low, self.high, total)
        values[self.result] = total


@dataclass(frozen=True)
class Sum(FrameOp):
    """Sum of several products."""

    xs: tuple[int, ...]
    weights: tuple[npt.NDArray[Any], ...]

    def run(self, values: Values, goal: Frames | None) -> None:  # noqa: ARG002
        """See the class."""
        total: Frames | None = None
        for x, weight in zip(self.xs, self.weights, strict=True):
            part = _get(values, x).astype(weight.dtype) @ weight
            total = part if total is None else np.add(total, part, out=total)
        values[self.result] = total


@dataclass(frozen=True)
class Requantize(FrameOp):
    """Rescale by channel, after an aligned bias when there is one.

    `narrow`: what is rescaled fits 32 bits, by its type.
    """

    x: int
    multipliers: Ints
    shifts: Ints
    low: int
    high: int
    acc_shift: int = 0
    bias: Ints | None = None
    narrow: bool = False

    @cached_property
    def halves(self) -> Ints:
        """2^(s-1), which rounds; 0 where s is 0."""
        return (np.int64(1) << self.shifts) >> 1

    @cached_property
    def addend(self) -> Ints:
        """The bias, or zeros."""
        return np.zeros(self.multipliers.shape, np.int64) if self.bias is None else self.bias

    @cached_property
    def word_addend(self) -> npt.NDArray[np.int32] | None:
        """The bias where all of it can be done in 32 bits."""
        held = self.addend
        fits = self.narrow and max(abs(held).max(), self.multipliers.max()) < 1 << 31
        return held.astype(np.int32) if fits else None

    @cached_property
    def runs(self) -> Ints | None:
        """Channels of one scale (`rescale_kernels`); None where they are too short to pay."""
        scales = np.stack((self.multipliers, self.halves, self.shifts), axis=1)
        starts = np.flatnonzero((scales[1:] != scales[:-1]).any(axis=1)) + 1
        first = np.concatenate(([0], starts))
        last = np.concatenate((starts, [len(scales)]))
        if len(first) * SHORTEST_RUN > len(scales):
            return None
        return np.concatenate((first[:, None], last[:, None], scales[first]), axis=1)

    def room(self, rows: int, goal: Frames | None) -> Frames:
        """Where results go."""
        fits = self.low >= -(1 << 15) and self.high < 1 << 15
        kind = np.int16 if fits else np.int64
        return np.empty((rows, len(self.multipliers)), kind) if goal is None else goal

    def run(self, values: Values, goal: Frames | None) -> None:
        """See the class."""
        x = _get(values, self.x)
        if x.dtype not in _KERNEL_TYPES:
            x = x.astype(np.int64)
        out = values[self.result] = self.room(len(x), goal)
        ends = self.low, self.high
        word = self.word_addend
        if self.runs is not None and word is not None and x.dtype.kind == "i":
            rescale.rescale_words(x, self.acc_shift, word, self.runs, *ends, out)
        elif self.bias is None:
            kernels.requantize_rows(x, self.multipliers, self.halves, self.shifts, *ends, out)
        else:
            kernels.bias_requantize_rows(
                x, self.acc_shift, self.bias, self.multipliers, self.halves, self.shifts, *ends, out
            )


@dataclass(frozen=True)
class ByteRequantize(FrameOp):
    """A product by GEMM of bytes, rescaled while its parts are joined."""

    product: ByteMatmul
    scale: Requantize

    @property
    def x(self) -> int:
        """What is multiplied."""
        return self.product.x

    def run(self, values: Values, goal: Frames | None) -> None:
        """See the class."""
        given, scale = self.product, self.scale
        sums = byte_sums(_get(values, given.x), given.low, given.high, given.weight)
        upper, lower, rows = sums.parts[0], sums.parts[-1], sums.rows
        out = values[self.result] = scale.room(len(upper), goal)
        runs = scale.runs
        assert runs is not None
        rest = (scale.acc_shift, scale.addend, runs, scale.low, scale.high, out)
        if rows is None and len(sums.parts) == 1:
            word = scale.word_addend
            assert word is not None
            rescale.rescale_words(upper, rest[0], word, *rest[2:])
        elif rows is None:
            rescale.rescale_values(upper, lower, *rest)
        elif len(sums.parts) == 1:
            rescale.rescale_weights(upper, rows, *rest)
        else:
            rescale.rescale_both(upper, lower, rows, *rest)


_KERNEL_TYPES = tuple(np.dtype(t) for t in (np.float32, np.float64, np.int16, np.int32, np.int64))


@dataclass(frozen=True)
class Shift(FrameOp):
    """clamp((x << left) >> right) by channel."""

    x: int
    left: Ints
    right: Ints
    low: int
    high: int

    def run(self, values: Values, goal: Frames | None) -> None:
        """See the class."""
        x = _get(values, self.x)
        if x.dtype not in _KERNEL_TYPES:
            x = x.astype(np.int64)
        fits = self.low >= -(1 << 15) and self.high < 1 << 15
        out = np.empty(x.shape, np.int16 if fits else np.int64) if goal is None else goal
        kernels.shift_rows(x, self.left, self.right, self.low, self.high, out)
        values[self.result] = out


@dataclass(frozen=True)
class Bias(FrameOp):
    """x * 2^acc_shift + bias (already shifted)."""

    x: int
    acc_shift: int
    bias: Ints

    def run(self, values: Values, goal: Frames | None) -> None:  # noqa: ARG002
        """See the class."""
        values[self.result] = (_ints(values, self.x) << self.acc_shift) + self.bias


@dataclass(frozen=True)
class Elementwise(FrameOp):
    """Any other operation, by a NumPy function of int64 arrays."""

    operands: tuple[int | None, ...]
    constants: tuple[Ints | None, ...]
    function: Callable[..., Ints]

    def run(self, values: Values, goal: Frames | None) -> None:  # noqa: ARG002
        """See the class."""
        given = [
            constant if number is None else _ints(values, number)
            for number, constant in zip(self.operands, self.constants, strict=True)
        ]
        values[self.result] = self.function(*given)


@dataclass(frozen=True)
class Concat(FrameOp):
    """Channels of several values side by side."""

    xs: tuple[int, ...]

    def run(self, values: Values, goal: Frames | None) -> None:
        """See the class."""
        parts = [_get(values, x) for x in self.xs]
        values[self.result] = np.concatenate(parts, axis=-1, out=goal, casting="unsafe")


@dataclass(frozen=True)
class Split(FrameOp):
    """High byte to `result`, low byte to `low`."""

    low: int
    x: int

    def run(self, values: Values, goal: Frames | None) -> None:  # noqa: ARG002
        """See the class."""
        x = _get(values, self.x)
        values[self.result] = x >> 8
        values[self.low] = x & 255
