"""The post-processing unit: a microprogram on 64-bit lanes over the elements of a tile."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.isa.instructions import (
    Add,
    Bias,
    Lookup,
    Mul,
    PostOp,
    Requantize,
    Rsub,
    Saturate,
    Shl,
)
from mohaq.compiler.diagnostics import MohaqError

Array = npt.NDArray[np.int64]
TABLE_POINTS = 257


class Registers:
    """32 registers; reading one that was never written is an error."""

    def __init__(self) -> None:
        self._held: dict[int, Array] = {}

    def __getitem__(self, number: int) -> Array:
        if number not in self._held:
            raise MohaqError(f"post-processing register {number} is read before it is written")
        return self._held[number]

    def __setitem__(self, number: int, value: Array) -> None:
        self._held[number] = value


def clamp(x: Array, width: int, signed: int) -> Array:
    """Clamp to a `width`-bit integer."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    if width >= 64:
        return x
    limited: Array = np.minimum(np.maximum(x, low), high)
    return limited


def rescale(x: Array, op: Requantize, columns: Array, channels: int) -> Array:
    """clamp((x m + 2^(s-1)) >> s); the channel's run picks (m, s)."""
    if len(op.scales) == 1:
        m, s = op.scales[0]
        return clamp((x * m + ((1 << s) >> 1)) >> s, op.width, op.signed)
    if channels % len(op.scales):
        raise MohaqError(f"{len(op.scales)} scales do not divide {channels} channels")
    run = columns // (channels // len(op.scales))
    ms = np.array([m for m, _ in op.scales], dtype=np.int64)[run]
    ss = np.array([s for _, s in op.scales], dtype=np.int64)[run]
    half = (np.int64(1) << ss) >> 1
    return clamp((x * ms + half) >> ss, op.width, op.signed)


def interpolate(x: Array, points: Array) -> Array:
    """Table of 257 points over the 16-bit range, 256 segments, rounded half up."""
    if points.shape != (TABLE_POINTS,):
        raise MohaqError(f"a table has {TABLE_POINTS} points, the stream holds {points.size}")
    if x.size and (int(x.min()) < -32768 or int(x.max()) > 32767):
        raise MohaqError("a table is looked up with more than 16 bits")
    place = x + 32768
    segment, rest = place >> 8, place & 255
    left, right = points[segment], points[segment + 1]
    value: Array = left + (((right - left) * rest + 128) >> 8)
    return value


def run_op(
    op: PostOp,
    registers: Registers,
    tiles: Mapping[int, Array],
    columns: Array,
    channels: int,
) -> None:
    """Execute one operation that is neither load nor store.

    `tiles` holds the tables, `columns` the channel number of each column of the tile.
    """
    match op:
        case Add():
            registers[op.dst] = registers[op.a] + registers[op.b]
        case Mul():
            registers[op.dst] = registers[op.a] * registers[op.b]
        case Bias():
            left, right = registers[op.a] << op.acc_shift, registers[op.b] << op.bias_shift
            registers[op.dst] = left + right
        case Shl():
            registers[op.dst] = registers[op.src] << op.amount
        case Rsub():
            registers[op.dst] = op.constant - registers[op.src]
        case Saturate():
            registers[op.dst] = clamp(registers[op.src], op.width, op.signed)
        case Requantize():
            registers[op.dst] = rescale(registers[op.src], op, columns, channels)
        case Lookup():
            if op.table not in tiles:
                raise MohaqError(f"table stream {op.table} was not loaded")
            registers[op.dst] = interpolate(registers[op.src], tiles[op.table].reshape(-1))
        case _:
            raise MohaqError(f"'{type(op).__name__}' is no post-processing operation")


def is_work(op: PostOp) -> bool:
    """Whether an operation takes lanes (loads and stores are its operand fetches)."""
    return isinstance(op, (Add, Mul, Bias, Shl, Rsub, Saturate, Requantize, Lookup))
