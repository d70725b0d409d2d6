"""From framewise `qnn` operations to what the evaluator executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.qnn.table import reading
from mohaq.compiler.dialects.types import int_range, int_width, shape_of
from mohaq.compiler.search.frames import (
    Bias,
    ByteMatmul,
    ByteRequantize,
    Concat,
    Elementwise,
    FrameOp,
    Ints,
    Matmul,
    Requantize,
    SaturatingMatmul,
    Shift,
    Split,
    Sum,
)
from mohaq.compiler.search.gemm import byte_weights
from mohaq.compiler.search.products import Joined


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
        width, signed = int_width(op.input)
        ends = int_range(*_range(op.result))
        narrow = width + (not signed) <= 32
        return Requantize(number(op.result), x, *_scales(op), *ends, narrow=narrow)
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
    """Join products of bytes, biases and requantizations that nothing else reads between."""
    readers: dict[int, int] = {}
    for op in ops:
        for number in _reads(op):
            readers[number] = readers.get(number, 0) + 1
    inner = {
        op.result: op
        for op in ops
        if isinstance(op, (Bias, ByteMatmul))
        and readers.get(op.result) == 1
        and op.result not in kept
    }
    fused: list[FrameOp] = []
    gone: set[int] = set()
    for op in ops:
        made = op
        if isinstance(made, Requantize) and isinstance(bias := inner.get(made.x), Bias):
            gone.add(bias.result)
            made = replace(made, x=bias.x, acc_shift=bias.acc_shift, bias=bias.bias)
        if isinstance(made, Requantize) and isinstance(product := inner.get(made.x), ByteMatmul):
            # One product of bytes alone is rescaled in 32 bits.
            single = not product.weight.wide and product.byte
            if made.runs is not None and (not single or made.word_addend is not None):
                gone.add(product.result)
                made = ByteRequantize(made.result, product, made)
        fused.append(made)
    return [op for op in fused if op.result not in gone]


def _reads(op: FrameOp) -> tuple[int, ...]:
    if isinstance(op, Elementwise):
        return tuple(n for n in op.operands if n is not None)
    if isinstance(op, (Sum, Concat)):
        return op.xs
    if isinstance(
        op, (Matmul, ByteMatmul, SaturatingMatmul, ByteRequantize, Requantize, Shift, Bias, Split)
    ):
        return (op.x,)
    raise MohaqError(f"unknown operation {type(op).__name__}")
