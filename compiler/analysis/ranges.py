"""Which values an integer program can hold: intervals, channel by channel.

Interval analysis over `qnn` from the types of the inputs, the actual weights and tables. Every
operation is monotone or a sum of monotone terms, so its interval is exact when its operands are
independent; a loop's states are a fixpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count as count_from

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import StringAttr
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import functions_of
from mohaq.compiler.dialects.types import DYNAMIC, int_range, int_width, shape_of
from mohaq.compiler.interpreters.integer import floor_shift, interpolate, round_shift
from mohaq.compiler.program import Program

Ints = npt.NDArray[np.int64]

ROUNDS = 6
"""Steps of a loop that are followed exactly before growing states get their type's range."""

NARROWINGS = 16
"""Steps after that at most, which win back what the types gave away."""


@dataclass(frozen=True)
class Interval:
    """[low, high] of a value, elementwise; arrays of its shape, 1 for a symbolic extent."""

    low: Ints
    high: Ints

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value of all elements."""
        return int(self.low.min()), int(self.high.max())

    @property
    def bits(self) -> int:
        """Bits of the signed integer that every value needs."""
        return signed_bits_of(*self.bounds)

    def join(self, other: Interval) -> Interval:
        """The smallest interval around both."""
        return Interval(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def equals(self, other: Interval) -> bool:
        """Whether both hold the same values."""
        return np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)


def signed_bits_of(low: int, high: int) -> int:
    """Bits of the signed integer type that holds [low, high]."""
    return 1 + max((v if v >= 0 else ~v).bit_length() for v in (low, high))


def whole_type(value: SSAValue) -> Interval:
    """Everything that a value's type can hold."""
    low, high = int_range(int_width(value)[0], signed=int_width(value)[1])
    shape = [1 if n == DYNAMIC else n for n in shape_of(value)]
    return Interval(np.full(shape, low, dtype=np.int64), np.full(shape, high, dtype=np.int64))


@dataclass
class Ranges:
    """Intervals of all values of a program, and of the partial sums of its products."""

    values: dict[SSAValue, Interval] = field(default_factory=dict)
    partial: dict[qnn.MatmulOp, Interval] = field(default_factory=dict)

    def __getitem__(self, value: SSAValue) -> Interval:
        return self.values[value]

    def operations(self) -> Iterator[Operation]:
        """The operations with results, in program order."""
        seen: set[Operation] = set()
        for value in self.values:
            if isinstance(value.owner, Operation) and value.owner not in seen:
                seen.add(value.owner)
                yield value.owner


def find_ranges(program: Program) -> Ranges:
    """The ranges of a neutral or legalized program.

    Raises:
        MohaqError: not an integer program, a parameter without data.
    """
    return _Analysis(program).run()


class _Analysis:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._found = Ranges()
        self._tables = {
            name: _Extremes(points)
            for name, points in functions_of(program.module.body.block.ops).items()
        }

    def run(self) -> Ranges:
        entry = self._program.entry
        for arg in entry.args:
            self._found.values[arg] = whole_type(arg)
        self._block(entry.body.block)
        return self._found

    def _block(self, block: Block) -> None:
        values = self._found.values
        for op in block.ops:
            if isinstance(op, (ReturnOp, qnn.YieldOp)):
                continue
            if isinstance(op, LoadOp):
                held = self._program.parameters[op.symbol].astype(np.int64)
                values[op.result] = Interval(held, held)
            elif isinstance(op, qnn.ScanOp):
                self._scan(op)
            else:
                made = self._results(op, [values[v] for v in op.operands])
                values.update(zip(op.results, made, strict=True))

    def _scan(self, op: qnn.ScanOp) -> None:
        """Steps until the states stop growing; what still grows after some gets its type."""
        values, body = self._found.values, op.body.block
        count = len(op.inputs)
        for arg, given in zip(body.args[:count], op.inputs, strict=True):
            whole = values[given]
            values[arg] = Interval(whole.low.min(axis=0), whole.high.max(axis=0))
        args = body.args[count:]
        start = [values[v] for v in op.init] or [_zero(a) for a in args]
        states = start
        for number in count_from(0):
            after = self._step(op, states)
            grown = [a.join(b) for a, b in zip(states, after, strict=True)]
            if all(a.equals(b) for a, b in zip(grown, states, strict=True)):
                break
            if number >= 2 * ROUNDS:
                states = [whole_type(a) for a in args]
                break
            if number >= ROUNDS:
                grown = [_widened(a, g, v) for a, g, v in zip(states, grown, args, strict=True)]
            states = grown
        for _ in range(NARROWINGS):
            # F(S) is an upper bound of all runs when S is one, and no larger.
            after = self._step(op, states)
            less = [a.join(b) for a, b in zip(start, after, strict=True)]
            if all(a.equals(b) for a, b in zip(less, states, strict=True)):
                break
            states = less
        self._step(op, states)
        end = body.last_op
        assert isinstance(end, qnn.YieldOp)
        for number, (result, given) in enumerate(zip(op.outs, end.values, strict=True)):
            held = values[given]
            if number < op.output_count:
                shape = [1 if n == DYNAMIC else n for n in shape_of(result)]
                held = Interval(*(np.broadcast_to(x, shape) for x in (held.low, held.high)))
            values[result] = held

    def _step(self, op: qnn.ScanOp, states: Sequence[Interval]) -> list[Interval]:
        body = op.body.block
        self._found.values.update(zip(body.args[len(op.inputs) :], states, strict=True))
        self._block(body)
        end = body.last_op
        assert isinstance(end, qnn.YieldOp)
        return [self._found.values[v] for v in end.values[op.output_count :]]

    def _results(self, op: Operation, given: Sequence[Interval]) -> tuple[Interval, ...]:
        match op:
            case qnn.MatmulOp():
                total, self._found.partial[op] = _product(*given)
                if op.acc.saturates:
                    total = self._found.partial[op] = _saturated(self._found.partial[op], total, op)
                return (total,)
            case qnn.LookupOp():
                return (self._tables[op.table.root_reference.data].over(given[0]),)
            case qnn.SplitOp():
                return _split(given[0])
            case _:
                return (_elementwise(op, given),)


def _elementwise(op: Operation, given: Sequence[Interval]) -> Interval:
    """Operations that are monotone in every operand, and views."""
    low, high = [g.low for g in given], [g.high for g in given]
    match op:
        case qnn.AddOp():
            return Interval(low[0] + low[1], high[0] + high[1])
        case qnn.BiasOp():
            a, b = op.acc_shift.value.data, op.bias_shift.value.data
            return Interval((low[0] << a) + (low[1] << b), (high[0] << a) + (high[1] << b))
        case qnn.MulOp():
            corners = [p * q for p in (low[0], high[0]) for q in (low[1], high[1])]
            return Interval(np.minimum.reduce(corners), np.maximum.reduce(corners))
        case qnn.ShlOp():
            return Interval(low[0] << op.amount.value.data, high[0] << op.amount.value.data)
        case qnn.RsubOp():
            constant = op.constant.value.data
            return Interval(constant - high[0], constant - low[0])
        case qnn.SaturateOp():
            return _clamped(given[0], op.result)
        case qnn.RequantizeOp():
            return _clamped(Interval(*(_rescaled(op, x) for x in (low[0], high[0]))), op.result)
        case qnn.ShrOp():
            return _clamped(Interval(*(_shifted(op, x) for x in (low[0], high[0]))), op.result)
        case qnn.SliceOp():
            part = slice(op.offset.value.data, op.offset.value.data + op.size.value.data)
            return Interval(low[0][..., part], high[0][..., part])
        case qnn.ConcatOp():
            return Interval(np.concatenate(low, axis=-1), np.concatenate(high, axis=-1))
        case qnn.SelectOp():
            return Interval(low[0][op.index.value.data], high[0][op.index.value.data])
        case qnn.StackOp():
            return Interval(np.stack(low), np.stack(high))
        case _:
            raise MohaqError(f"'{op.name}' is no operation of an integer program")


def _rescaled(op: qnn.RequantizeOp, x: Ints) -> Ints:
    scales = op.scales()
    runs = zip(np.split(x, len(scales), axis=-1), scales, strict=True)
    joined: Ints = np.concatenate([round_shift(run * m, s) for run, (m, s) in runs], axis=-1)
    return joined


def _shifted(op: qnn.ShrOp, x: Ints) -> Ints:
    runs = zip(np.split(x, len(op.amounts()), axis=-1), op.amounts(), strict=True)
    joined: Ints = np.concatenate([floor_shift(run, s) for run, s in runs], axis=-1)
    return joined


def _saturated(partial: Interval, total: Interval, op: qnn.MatmulOp) -> Interval:
    """Sums of a clamping accumulator: exact where no partial sum leaves it."""
    low, high = int_range(op.acc.width.data)
    safe = (partial.low >= low) & (partial.high <= high)
    return Interval(np.where(safe, total.low, low), np.where(safe, total.high, high))


def _clamped(found: Interval, result: SSAValue) -> Interval:
    edges = whole_type(result)
    low, high = int(edges.low.min()), int(edges.high.max())
    return Interval(np.clip(found.low, low, high), np.clip(found.high, low, high))


def _product(x: Interval, w: Interval) -> tuple[Interval, Interval]:
    """(sums, partial sums): sums of any terms in any order lie in the second."""
    if np.array_equal(w.low, w.high):
        up, down = np.maximum(w.low, 0).T, np.minimum(w.low, 0).T
        total = Interval(x.low @ up + x.high @ down, x.high @ up + x.low @ down)
        # A partial sum leaves terms out, so a term counts for 0 where that is farther.
        below, above = np.minimum(x.low, 0), np.maximum(x.high, 0)
        return total, Interval(below @ up + above @ down, above @ up + below @ down)
    corners = [p[..., None, :] * q for p in (x.low, x.high) for q in (w.low, w.high)]  # [..., N, K]
    least, most = np.minimum.reduce(corners), np.maximum.reduce(corners)
    total = Interval(least.sum(axis=-1), most.sum(axis=-1))
    return total, Interval(np.minimum(least, 0).sum(axis=-1), np.maximum(most, 0).sum(axis=-1))


def _split(x: Interval) -> tuple[Interval, Interval]:
    """High and low bytes; the low one is anything when the high one varies."""
    high = Interval(x.low >> 8, x.high >> 8)
    same = high.low == high.high
    low = Interval(np.where(same, x.low & 255, 0), np.where(same, x.high & 255, 255))
    return high, low


def _zero(state: SSAValue) -> Interval:
    shape = [1 if n == DYNAMIC else n for n in shape_of(state)]
    return Interval(np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64))


def _widened(before: Interval, now: Interval, state: SSAValue) -> Interval:
    """The type's edge wherever a state still grows."""
    edges = whole_type(state)
    return Interval(
        np.where(now.low < before.low, edges.low, now.low),
        np.where(now.high > before.high, edges.high, now.high),
    )


class _Extremes:
    """Smallest and largest result of a table over runs of its inputs, in constant time.

    Level k holds the extremes of every 2^k neighbours.
    """

    def __init__(self, points: Sequence[int]) -> None:
        inputs = np.arange(-(1 << 15), 1 << 15)
        every = interpolate(inputs, np.array(points, dtype=np.int64))
        self._least, self._most = [every], [every]
        for k in range(16):
            step = 1 << k
            for levels, choose in ((self._least, np.minimum), (self._most, np.maximum)):
                levels.append(choose(levels[-1][:-step], levels[-1][step:]))

    def over(self, x: Interval) -> Interval:
        """The extremes over each interval."""
        first, last = x.low.reshape(-1) + (1 << 15), x.high.reshape(-1) + (1 << 15)
        levels = np.frexp((last - first + 1).astype(np.float64))[1] - 1  # floor(log2)
        low, high = np.empty_like(first), np.empty_like(first)
        for k in np.unique(levels):
            at = levels == k
            a, b = first[at], last[at] - (1 << int(k)) + 1
            low[at] = np.minimum(self._least[k][a], self._least[k][b])
            high[at] = np.maximum(self._most[k][a], self._most[k][b])
        return Interval(low.reshape(x.low.shape), high.reshape(x.low.shape))


def layer_of(op: Operation) -> str:
    """The layer that an operation was lowered from, or nothing."""
    at: Operation | None = op
    while at is not None:
        mark = at.attributes.get("layer")
        if isinstance(mark, StringAttr):
            return mark.data
        at = at.parent_op()
    return ""
