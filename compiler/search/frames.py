"""Framewise integer operations over blocks of frames [n, C], as exact as the reference.

Matrix products run as float32 GEMM while every sum stays below 2^24 and as float64 GEMM below
2^53: all partial sums are whole numbers of that range, so both are exact whatever their order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.qnn.table import reading
from mohaq.compiler.dialects.types import int_range, int_width, shape_of
from mohaq.compiler.search import kernels
from mohaq.compiler.search.gemm import ByteWeights, byte_weights, product
from mohaq.compiler.search.products import Joined

Frames = npt.NDArray[Any]
Values = list[Frames | None]
Ints = npt.NDArray[np.int64]

BLOCK = 256
"""Rows handled at once: sums of a block stay in the second-level cache."""


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

    def run(self, values: Values, goal: Frames | None) -> None:  # noqa: ARG002
        """See the class."""
        values[self.result] = product(_get(values, self.x), self.low, self.high, self.weight)


@dataclass(frozen=True)
class SaturatingMatmul(FrameOp):
    """x W^T, clamped after every addition in the order of K.

    Where the sum of |x||w| fits the accumulator no addition clamps, and the exact product is the
    value; only the other sums are formed in order. `weight` and `magnitude` are [K, N] in a type
    that keeps sums exact, `rows` is [N, K], `columns`
    [K, N].
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
    """Rescale by channel, after an aligned bias when there is one."""

    x: int
    multipliers: Ints
    shifts: Ints
    low: int
    high: int
    acc_shift: int = 0
    bias: Ints | None = None

    @cached_property
    def halves(self) -> Ints:
        """2^(s-1), which rounds; 0 where s is 0."""
        return (np.int64(1) << self.shifts) >> 1

    def run(self, values: Values, goal: Frames | None) -> None:
        """See the class."""
        x = _get(values, self.x)
        if x.dtype not in _KERNEL_TYPES:
            x = x.astype(np.int64)
        fits = self.low >= -(1 << 15) and self.high < 1 << 15
        out = np.empty(x.shape, np.int16 if fits else np.int64) if goal is None else goal
        if self.bias is None:
            kernels.requantize_rows(
                x, self.multipliers, self.halves, self.shifts, self.low, self.high, out
            )
        else:
            kernels.bias_requantize_rows(
                x,
                self.acc_shift,
                self.bias,
                self.multipliers,
                self.halves,
                self.shifts,
                self.low,
                self.high,
                out,
            )
        values[self.result] = out


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


def gemm_dtype(bound: int) -> np.dtype[Any]:
    """Cheapest type whose sums up to `bound` are exact."""
    if bound < 1 << 24:
        return np.dtype(np.float32)
    return np.dtype(np.float64 if bound < 1 << 53 else np.int64)


def _exact_product(
    x: SSAValue, weight: Ints, bound: int, result: SSAValue, number: Callable[[SSAValue], int]
) -> FrameOp:
    """x W^T by the cheapest GEMM that is exact."""
    width, signed = int_width(x)
    held = byte_weights(weight) if width + (not signed) <= 16 else None
    if held is not None:
        return ByteMatmul(number(result), number(x), *int_range(width, signed=signed), held)
    columns = np.ascontiguousarray(weight.T, dtype=gemm_dtype(bound))
    return Matmul(number(result), number(x), columns)


def joined_op(joined: Joined, result: SSAValue, number: Callable[[SSAValue], int]) -> FrameOp:
    """The executable form of joined products."""
    if len(joined.parts) == 1:
        ((x, weight),) = joined.parts
        return _exact_product(x, weight, joined.bound, result, number)
    kind = gemm_dtype(joined.bound)
    xs = tuple(number(x) for x, _ in joined.parts)
    weights = tuple(np.ascontiguousarray(w.T, dtype=kind) for _, w in joined.parts)
    return Sum(number(result), xs, weights)


def frame_op(
    op: Operation,
    number: Callable[[SSAValue], int],
    constants: Mapping[SSAValue, Ints],
    tables: Mapping[str, tuple[int, ...]],
) -> FrameOp:
    """The executable form of a framewise operation.

    Raises:
        MohaqError: the evaluator does not know it, or an operand has the wrong kind.
    """
    if isinstance(op, qnn.MatmulOp):
        weight = constants.get(op.weight)
        if weight is None:
            raise MohaqError("a matrix product of two computed values cannot be evaluated")
        if op.acc.saturates:
            x = number(op.input)
            kind = gemm_dtype(op.acc.bound.data)
            columns = np.ascontiguousarray(weight.T, dtype=kind)
            low, high = int_range(op.acc.width.data)
            return SaturatingMatmul(
                number(op.result),
                x,
                columns,
                np.abs(columns),
                weight,
                np.ascontiguousarray(weight.T, dtype=np.int32),
                low,
                high,
            )
        return _exact_product(op.input, weight, op.acc.bound.data, op.result, number)
    if isinstance(op, qnn.RequantizeOp):
        x = number(op.input)
        return Requantize(number(op.result), x, *_scales(op), *int_range(*_range(op.result)))
    if isinstance(op, qnn.BiasOp) and op.bias in constants and op.acc not in constants:
        x = number(op.acc)
        shifted = constants[op.bias] << op.bias_shift.value.data
        return Bias(number(op.result), x, op.acc_shift.value.data, shifted)
    if isinstance(op, qnn.ConcatOp) and not any(v in constants for v in op.operands):
        xs = tuple(number(v) for v in op.operands)
        return Concat(number(op.results[0]), xs)
    if isinstance(op, qnn.ShrOp) and op.operands[0] not in constants:
        x = number(op.operands[0])
        return _shift(op, x, number(op.result))
    if isinstance(op, qnn.SplitOp):
        x = number(op.input)
        return Split(number(op.high), number(op.low), x)
    given = tuple(None if v in constants else number(v) for v in op.operands)
    fixed = tuple(constants.get(v) for v in op.operands)
    return Elementwise(number(op.results[0]), given, fixed, _function(op, tables))


def _scales(op: qnn.RequantizeOp) -> tuple[Ints, Ints]:
    scales = np.array(op.scales(), dtype=np.int64)
    run = shape_of(op.result)[-1] // len(scales)
    return np.repeat(scales[:, 0], run), np.repeat(scales[:, 1], run)


def _range(value: SSAValue) -> tuple[int]:
    width, signed = int_width(value)
    if not signed:
        raise MohaqError("a value is requantized to an unsigned type")
    return (width,)


def _function(op: Operation, tables: Mapping[str, tuple[int, ...]]) -> Callable[..., Ints]:
    match op:
        case qnn.AddOp():
            return lambda x, y: x + y
        case qnn.MulOp():
            return lambda x, y: x * y
        case qnn.ShlOp():
            amount = op.amount.value.data
            return lambda x: x << amount
        case qnn.RsubOp():
            constant = op.constant.value.data
            return lambda x: constant - x
        case qnn.BiasOp():
            a, b = op.acc_shift.value.data, op.bias_shift.value.data
            return lambda x, y: (x << a) + (y << b)
        case qnn.SaturateOp():
            width, signed = int_width(op.result)
            low, high = int_range(width, signed=signed)
            return lambda x: np.clip(x, low, high)
        case qnn.SliceOp():
            start = op.offset.value.data
            stop = start + op.size.value.data
            return lambda x: x[..., start:stop]
        case qnn.LookupOp():
            points = np.array(tables[op.table.root_reference.data], dtype=np.int64)
            return lambda x: interpolate(x, points)
        case _:
            raise MohaqError(f"the evaluator cannot run '{op.name}' on frames")


def _shift(op: qnn.ShrOp, x: int, result: int) -> Shift:
    amounts = np.array(op.amounts(), dtype=np.int64)
    each = np.repeat(amounts, shape_of(op.result)[-1] // len(amounts))
    width, signed = int_width(op.result)
    low, high = int_range(width, signed=signed)
    return Shift(result, x, np.maximum(-each, 0), np.maximum(each, 0), low, high)


def interpolate(x: Ints, points: Ints) -> Ints:
    """A table of 2^k + 1 points with lines between them, or of 2^k steps, at 16-bit inputs."""
    shift, between = reading(len(points))
    position = x + 32768
    i, r = position >> shift, position & ((1 << shift) - 1)
    found: Ints = points[i]
    if between:
        found = found + (((points[i + 1] - found) * r + (1 << (shift - 1))) >> shift)
    return found


def fuse(ops: list[FrameOp], kept: set[int]) -> list[FrameOp]:
    """Join a bias with the requantize that is its only reader."""
    readers: dict[int, int] = {}
    for op in ops:
        for number in _reads(op):
            readers[number] = readers.get(number, 0) + 1
    biases = {
        op.result: op
        for op in ops
        if isinstance(op, Bias) and readers.get(op.result) == 1 and op.result not in kept
    }
    fused: list[FrameOp] = []
    gone: set[int] = set()
    for op in ops:
        if isinstance(op, Requantize) and op.x in biases:
            bias = biases[op.x]
            gone.add(bias.result)
            fused.append(
                Requantize(
                    op.result,
                    bias.x,
                    op.multipliers,
                    op.shifts,
                    op.low,
                    op.high,
                    bias.acc_shift,
                    bias.bias,
                )
            )
        else:
            fused.append(op)
    return [op for op in fused if op.result not in gone]


def _reads(op: FrameOp) -> tuple[int, ...]:
    if isinstance(op, Elementwise):
        return tuple(n for n in op.operands if n is not None)
    if isinstance(op, (Sum, Concat)):
        return op.xs
    if isinstance(op, (Matmul, ByteMatmul, SaturatingMatmul, Requantize, Shift, Bias, Split)):
        return (op.x,)
    raise MohaqError(f"unknown operation {type(op).__name__}")
