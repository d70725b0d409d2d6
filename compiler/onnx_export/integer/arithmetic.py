"""Elementwise `qnn` operations, tables and views."""

from __future__ import annotations

import numpy as np

from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.qnn.table import reading
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.onnx_export.integer.work import IntegerWork, converts, limits


@converts(qnn.BiasOp)
def bias(work: IntegerWork, op: qnn.BiasOp) -> list[str]:
    """acc * 2^i + b * 2^j; a constant b is shifted here."""
    acc = _shifted(work, work.value(op.acc), op.acc_shift.value.data)
    amount, held = op.bias_shift.value.data, work.array(op.bias)
    if held is not None:
        return [work.graph.node("Add", [acc, work.narrow(held << amount, "bias")])]
    return [work.graph.node("Add", [acc, _shifted(work, work.value(op.bias), amount)])]


@converts(qnn.RequantizeOp)
def requantize(work: IntegerWork, op: qnn.RequantizeOp) -> list[str]:
    """Mul, the shift, Clip where the result's type is too narrow."""
    x, (low, high), (least, most) = work.value(op.input), limits(op.input), limits(op.result)
    multipliers, shifts = zip(*op.scales(), strict=True)
    repeat = shape_of(op.input)[-1] // len(shifts) if len(shifts) > 1 else 1
    if set(multipliers) != {1}:
        x = work.graph.node("Mul", [x, work.scalar(multipliers, repeat)])
    largest = max(multipliers)
    bounds = (min(low * largest, 0), max(high * largest, 0))
    x = work.shift_right(x, bounds, shifts, repeat, rounds=True)
    ends = [
        (v * m + (1 << s) // 2) >> s
        for m, s in zip(multipliers, shifts, strict=True)
        for v in (low, high)
    ]
    return [x if least <= min(ends) and max(ends) <= most else work.clamp(x, least, most)]


@converts(qnn.SaturateOp)
def saturate(work: IntegerWork, op: qnn.SaturateOp) -> list[str]:
    """Clip."""
    return [work.clamp(work.value(op.input), *limits(op.result))]


@converts(qnn.AddOp)
def add(work: IntegerWork, op: qnn.AddOp) -> list[str]:
    """Add."""
    return [work.graph.node("Add", [work.value(op.lhs), work.value(op.rhs)])]


@converts(qnn.MulOp)
def mul(work: IntegerWork, op: qnn.MulOp) -> list[str]:
    """Mul."""
    return [work.graph.node("Mul", [work.value(op.lhs), work.value(op.rhs)])]


@converts(qnn.ShlOp)
def shl(work: IntegerWork, op: qnn.ShlOp) -> list[str]:
    """Mul by a power of two."""
    return [_shifted(work, work.value(op.input), op.amount.value.data)]


@converts(qnn.ShrOp)
def shr(work: IntegerWork, op: qnn.ShrOp) -> list[str]:
    """Mul where the shift is to the left, the shift to the right, Clip."""
    amounts = op.amounts()
    repeat = shape_of(op.input)[-1] // len(amounts)
    x, factors = work.value(op.input), [1 << max(-s, 0) for s in amounts]
    if set(factors) != {1}:
        x = work.graph.node("Mul", [x, work.scalar(factors, repeat)])
    low, high = (edge * max(factors) for edge in limits(op.input))
    x = work.shift_right(x, (low, high), [max(s, 0) for s in amounts], repeat, rounds=False)
    return [work.clamp(x, *limits(op.result))]


@converts(qnn.RsubOp)
def rsub(work: IntegerWork, op: qnn.RsubOp) -> list[str]:
    """Sub from a constant."""
    constant = work.constant(op.constant.value.data)
    return [work.graph.node("Sub", [constant, work.value(op.input)])]


def _shifted(work: IntegerWork, x: str, amount: int) -> str:
    return work.graph.node("Mul", [x, work.constant(1 << amount)]) if amount else x


@converts(qnn.LookupOp)
def lookup(work: IntegerWork, op: qnn.LookupOp) -> list[str]:
    """Gather of a point, and of the slope behind it when the table has lines.

    With P the points, D their differences and r the position within a segment,
    P + floor((D*r + half) / 2^s) = floor(((P + 2^15)*2^s + half + D*r) / 2^s) - 2^15, and what is
    divided is never negative.
    """
    graph, top = work.graph, 1 << 15
    name = op.table.root_reference.data
    points = np.asarray(work.tables[name], dtype=np.int64)
    shift, between = reading(len(points))
    step = work.constant(1 << shift)
    position = graph.node("Add", [work.value(op.input), work.constant(top)])
    segment = graph.node("Div", [position, step]) if shift else position
    if not between:
        return [graph.node("Gather", [_table(work, f"{name}.points", points), segment])]
    starts = ((points[:-1] + top) << shift) + (1 << shift) // 2
    start = graph.node("Gather", [_table(work, f"{name}.starts", starts), segment])
    slope = graph.node("Gather", [_table(work, f"{name}.slopes", np.diff(points)), segment])
    rest = graph.node("BitwiseAnd", [position, work.constant((1 << shift) - 1)])
    moved = graph.node("Add", [start, graph.node("Mul", [slope, rest])])
    return [graph.node("Sub", [graph.node("Div", [moved, step]), work.constant(top)])]


def _table(work: IntegerWork, name: str, values: np.ndarray) -> str:
    if name not in work.top.constants:
        held = work.top.constant(values, name)
        assert held == name
    return name


@converts(qnn.SplitOp)
def split(work: IntegerWork, op: qnn.SplitOp) -> list[str]:
    """x >> 8 and x & 255."""
    x = work.value(op.input)
    high = work.shift_right(x, limits(op.input), [8], 1, rounds=False)
    return [high, work.graph.node("BitwiseAnd", [x, work.constant(255)])]


@converts(qnn.SliceOp)
def slice_(work: IntegerWork, op: qnn.SliceOp) -> list[str]:
    """Slice of the last extent."""
    start = op.offset.value.data
    numbers = (start, start + op.size.value.data, -1)
    inputs = [work.value(op.input), *(work.constant([n]) for n in numbers)]
    return [work.graph.node("Slice", inputs)]


@converts(qnn.ConcatOp)
def concat(work: IntegerWork, op: qnn.ConcatOp) -> list[str]:
    """Concat along the last extent."""
    return [work.graph.node("Concat", [work.value(p) for p in op.parts], axis=-1)]


@converts(qnn.SelectOp)
def select(work: IntegerWork, op: qnn.SelectOp) -> list[str]:
    """Gather of one entry."""
    inputs = [work.value(op.input), work.constant(op.index.value.data)]
    return [work.graph.node("Gather", inputs, axis=0)]


@converts(qnn.StackOp)
def stack(work: IntegerWork, op: qnn.StackOp) -> list[str]:
    """Unsqueeze and Concat."""
    axis = work.constant([0])
    parts = [work.graph.node("Unsqueeze", [work.value(p), axis]) for p in op.parts]
    return [parts[0] if len(parts) == 1 else work.graph.node("Concat", parts, axis=0)]
