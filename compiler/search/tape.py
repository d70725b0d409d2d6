"""Turns the body of a `qnn.scan` into the tape of the scan kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_range, int_width, shape_of
from mohaq.compiler.search import kernels
from mohaq.compiler.search.frame_code import interpolate
from mohaq.compiler.search.fusion import Fused, fuse
from mohaq.compiler.search.kernels import Ints

NO_TABLES = np.zeros((0, 1 << 16), dtype=np.int16)


@cache
def written_out(points: tuple[int, ...]) -> npt.NDArray[np.int16]:
    """An interpolated table at every input: one look in the second-level cache, no arithmetic."""
    inputs = np.arange(-(1 << 15), 1 << 15)
    return interpolate(inputs, np.array(points, dtype=np.int64)).astype(np.int16)


@dataclass(frozen=True)
class Tape:
    """A compiled scan body; see `kernels.scan` for the arrays."""

    rows: Ints
    constants: Ints
    tables: npt.NDArray[np.int16]
    arguments: tuple[tuple[int, int], ...]
    emit: Ints
    states: Ints
    reverse: bool

    @property
    def buffer(self) -> Ints:
        """A fresh scratch buffer."""
        return self.constants.copy()


class TapeBuilder:
    """Builds one tape.

    Args:
        op: the scan.
        constants: integer arrays of the values from outside that the body uses.
        tables: points of the lookup tables by name.
    """

    def __init__(
        self,
        op: qnn.ScanOp,
        constants: dict[SSAValue, npt.NDArray[np.int64]],
        tables: dict[str, tuple[int, ...]],
    ) -> None:
        self._op = op
        self._constants = constants
        self._points = tables
        self._tables: list[tuple[int, ...]] = []
        self._rows: list[tuple[int, ...]] = []
        self._place: dict[SSAValue, int] = {}
        self._owner: dict[SSAValue, SSAValue] = {}
        self._fixed: list[tuple[int, npt.NDArray[np.int64]]] = []
        self._free: dict[int, list[int]] = {}
        self._top = 0
        self._groups: dict[Operation, Fused] = {}
        self._absorbed: set[Operation] = set()

    def build(self) -> Tape:
        """The tape.

        Raises:
            MohaqError: the body holds an operation that the kernel does not have.
        """
        body = self._op.body.block
        count = len(self._op.inputs)
        for arg in body.args:
            self._place[arg] = self._room(_extent(arg))
            self._owner[arg] = arg
        for op in body.ops:
            if (group := fuse(op)) is not None:
                self._groups[op] = group
                self._absorbed.update(group.absorbed)
        last = self._last_uses()
        keep = {self._owner[arg] for arg in body.args}
        end = body.last_op
        assert isinstance(end, qnn.YieldOp)
        for position, op in enumerate(body.ops):
            if op is end:
                break
            if op in self._absorbed or isinstance(op, LoadOp):
                continue
            self._emit(op)
            for value in dict.fromkeys(self._operands(op)):
                owner = self._owner.get(value)
                if owner is not None and owner not in keep and last.get(owner) == position:
                    self._free.setdefault(_extent(owner), []).append(self._place[owner])
        values = [self._at(v) for v in end.values]
        outputs = self._op.output_count
        emit = [
            (place, _extent(v))
            for place, v in zip(values[:outputs], end.values[:outputs], strict=True)
        ]
        states = self._carry(body.args[count:], list(end.values[outputs:]), values[outputs:])
        buffer = np.zeros(self._top, dtype=np.int64)
        for place, array in self._fixed:
            buffer[place : place + array.size] = array
        return Tape(
            np.array(self._rows, dtype=np.int64).reshape(-1, kernels.ROW),
            buffer,
            np.stack([*map(written_out, self._tables)]) if self._tables else NO_TABLES,
            tuple((self._place[a], _extent(a)) for a in body.args[:count]),
            np.array(emit, dtype=np.int64).reshape(-1, 2),
            np.array(states, dtype=np.int64).reshape(-1, 3),
            self._op.direction.data == "reverse",
        )

    def _carry(
        self, args: tuple[SSAValue, ...] | list[SSAValue], nexts: list[SSAValue], places: list[int]
    ) -> list[tuple[int, int, int]]:
        """(state, next state, length); a state that yields another one goes through a copy."""
        held = []
        for arg, value, place in zip(args, nexts, places, strict=True):
            size = _extent(arg)
            if self._owner.get(value) in args:
                room = self._room(size)
                self._row(kernels.COPY, room, place, 0, size)
                held.append((self._place[arg], room, size))
            else:
                held.append((self._place[arg], place, size))
        return held

    def _last_uses(self) -> dict[SSAValue, int]:
        """Position of the last op that reads a value, slices counted for what they are cut of."""
        last: dict[SSAValue, int] = {}
        owner: dict[SSAValue, SSAValue] = {a: a for a in self._op.body.block.args}
        for position, op in enumerate(self._op.body.block.ops):
            if op in self._absorbed:
                continue
            for value in self._operands(op):
                if value in owner:
                    last[owner[value]] = position
            for result in op.results:
                source = op.operands[0] if isinstance(op, qnn.SliceOp) else result
                owner[result] = owner.get(source, result)
        return last

    def _operands(self, op: Operation) -> Sequence[SSAValue]:
        """What the row of an operation reads."""
        return self._groups[op].operands if op in self._groups else op.operands

    def _points_row(self, name: str) -> int:
        points = self._points[name]
        if points not in self._tables:
            self._tables.append(points)
        return self._tables.index(points)

    def _room(self, size: int) -> int:
        held = self._free.get(size)
        if held:
            return held.pop()
        place = self._top
        self._top += -(-size // 8) * 8  # whole cache lines
        return place

    def _at(self, value: SSAValue) -> int:
        """Offset of a value; constants from outside are placed on their first use."""
        if value not in self._place:
            if value not in self._constants:
                raise MohaqError("a scan body uses a value from outside that varies in time")
            array = self._constants[value].reshape(-1)
            self._place[value] = self._top
            self._top += -(-array.size // 8) * 8
            self._fixed.append((self._place[value], array))
        return self._place[value]

    def _row(self, code: int, y: int, a: int, b: int, n: int, *immediates: int, c: int = 0) -> None:
        rest = [0] * (kernels.IMMEDIATES - len(immediates))
        self._rows.append((code, y, a, b, c, n, *immediates, *rest))

    def _emit(self, op: Operation) -> None:
        if isinstance(op, qnn.SliceOp):
            source = op.input
            self._place[op.result] = self._at(source) + op.offset.value.data
            if source in self._owner:
                self._owner[op.result] = self._owner[source]
            return
        if isinstance(op, qnn.SplitOp):
            self._split(op)
            return
        operands = self._operands(op)
        sources = [self._at(v) for v in operands]
        (result,) = op.results
        size = _extent(result)
        place = self._room(size)
        self._place[result] = place
        self._owner[result] = result
        if isinstance(op, qnn.ConcatOp):
            offset = place
            for value, start in zip(op.operands, sources, strict=True):
                self._row(kernels.COPY, offset, start, 0, _extent(value))
                offset += _extent(value)
            return
        if isinstance(op, qnn.MatmulOp):
            if op.acc.saturates:
                edges = int_range(op.acc.width.data)
                code = kernels.SATURATING_MATRIX
                self._row(code, place, *sources, size, _extent(op.input), *edges)
            else:
                self._row(kernels.MATRIX, place, *sources, size, _extent(op.input))
            return
        if any(_extent(v) != size for v in operands):
            raise MohaqError(f"'{op.name}' in a scan body combines different extents")
        if op in self._groups:
            group = self._groups[op]
            a, b, c = (*sources, 0)[:3]
            table = () if group.table is None else (self._points_row(group.table),)
            self._row(group.code, place, a, b, size, *group.immediates, *table, c=c)
            return
        a, b = sources[0], sources[1] if len(sources) > 1 else 0
        low, high = int_range(*_signed(result))
        match op:
            case qnn.AddOp():
                self._row(kernels.ADD, place, a, b, size)
            case qnn.MulOp():
                self._row(kernels.MUL, place, a, b, size)
            case qnn.RsubOp():
                self._row(kernels.RSUB, place, a, 0, size, op.constant.value.data)
            case qnn.ShlOp():
                self._row(kernels.SHL, place, a, 0, size, op.amount.value.data)
            case qnn.SaturateOp():
                self._row(kernels.SATURATE, place, a, 0, size, low, high)
            case qnn.BiasOp():
                shifts = op.acc_shift.value.data, op.bias_shift.value.data
                self._row(kernels.BIAS, place, a, b, size, *shifts)
            case qnn.LookupOp():
                table_row = self._points_row(op.table.root_reference.data)
                self._row(kernels.LOOKUP, place, a, 0, size, table_row)
            case qnn.ShrOp():
                amounts = op.amounts()
                run = size // len(amounts)
                for k, s in enumerate(amounts):
                    skip = k * run
                    self._row(kernels.SHIFT, place + skip, a + skip, 0, run, s, low, high)
            case qnn.RequantizeOp():
                scales = op.scales()
                run = size // len(scales)
                for k, (m, s) in enumerate(scales):
                    skip = k * run
                    self._row(kernels.REQUANTIZE, place + skip, a + skip, 0, run, m, s, low, high)
            case _:
                raise MohaqError(f"the evaluator cannot run '{op.name}' inside a scan")

    def _split(self, op: qnn.SplitOp) -> None:
        """High byte, and low byte = x - 256 * high."""
        x, size = self._at(op.input), _extent(op.input)
        for value in (op.high, op.low):
            self._place[value] = self._room(size)
            self._owner[value] = value
        high, low = self._place[op.high], self._place[op.low]
        taken, negated = self._room(size), self._room(size)
        self._row(kernels.SHIFT, high, x, 0, size, 8, *int_range(8))
        self._row(kernels.SHL, taken, high, 0, size, 8)
        self._row(kernels.RSUB, negated, taken, 0, size, 0)
        self._row(kernels.ADD, low, x, negated, size)


def _signed(value: SSAValue) -> tuple[int]:
    width, signed = int_width(value)
    if not signed:
        raise MohaqError("values inside a scan are signed")
    return (width,)


def _extent(value: SSAValue) -> int:
    return shape_of(value)[-1]
