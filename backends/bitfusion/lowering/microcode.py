"""Elementwise operations as microprograms of the post-processing unit, with registers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from xdsl.ir import Operation, SSAValue

from mohaq.backends.bitfusion.isa.instructions import (
    REGISTERS,
    Add,
    Bias,
    Load,
    Lookup,
    Mul,
    PostOp,
    Requantize,
    Rsub,
    Saturate,
    Shl,
    Store,
)
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import int_width, shape_of


class Microprogram:
    """Emits post ops in order; a register is free again after the last use of its value."""

    def __init__(
        self, ops: Iterable[Operation], sources: Mapping[SSAValue, int], tables: Mapping[str, int]
    ) -> None:
        """Args: the operations, {value: stream it is read from}, {table: stream}."""
        self.ops: list[PostOp] = []
        self._sources = sources
        self._tables = tables
        self._registers: dict[SSAValue, int] = {}
        self._free = list(range(REGISTERS - 1, -1, -1))
        self._uses: Counter[SSAValue] = Counter(v for op in ops for v in op.operands)

    def expect(self, value: SSAValue) -> None:
        """Announce one more use of a value."""
        self._uses[value] += 1

    def read(self, value: SSAValue) -> int:
        """Register of a value; loads it from its stream at the first use."""
        if value not in self._registers:
            if value not in self._sources:
                raise MohaqError(f"a value of type {value.type} cannot be read here")
            self._registers[value] = self._take()
            self.ops.append(Load(self._registers[value], self._sources[value]))
        return self._registers[value]

    def drop(self, values: Iterable[SSAValue]) -> None:
        """Count uses as done."""
        for value in values:
            self._uses[value] -= 1
            if self._uses[value] == 0:
                self._free.append(self._registers.pop(value))

    def store(self, value: SSAValue, stream: int) -> None:
        """Write a value to a stream; a use that was announced."""
        self.ops.append(Store(self.read(value), stream))
        self.drop([value])

    def add(self, op: Operation, rows: tuple[int, int] | None = None) -> None:
        """Emit one operation; of its scales those of channels `rows` = (first, count) alone.

        Raises:
            MohaqError: an operation that the unit does not have; too many live values.
        """
        registers = [self.read(v) for v in op.operands]
        self.drop(op.operands)
        dst = self._take()
        self.ops.append(self._instruction(op, dst, registers, rows))
        (result,) = op.results
        self._registers[result] = dst
        if not self._uses[result]:
            self._free.append(self._registers.pop(result))

    def _take(self) -> int:
        if not self._free:
            raise MohaqError(f"more than {REGISTERS} values are live at once in one tile")
        return self._free.pop()

    def _instruction(
        self, op: Operation, dst: int, given: list[int], rows: tuple[int, int] | None
    ) -> PostOp:
        match op:
            case qnn.AddOp():
                return Add(dst, given[0], given[1])
            case qnn.MulOp():
                return Mul(dst, given[0], given[1])
            case qnn.BiasOp():
                shifts = op.acc_shift.value.data, op.bias_shift.value.data
                return Bias(dst, given[0], given[1], *shifts)
            case qnn.ShlOp():
                return Shl(dst, given[0], op.amount.value.data)
            case qnn.RsubOp():
                return Rsub(dst, given[0], op.constant.value.data)
            case qnn.SaturateOp():
                width, signed = int_width(op.result)
                return Saturate(dst, given[0], width, int(signed))
            case qnn.RequantizeOp():
                return _requantize(op, dst, given[0], rows)
            case qnn.LookupOp():
                return Lookup(dst, given[0], self._tables[op.table.root_reference.data])
        raise MohaqError(f"Bit Fusion cannot run '{op.name}' in its post-processing unit")


def _requantize(
    op: qnn.RequantizeOp, dst: int, src: int, rows: tuple[int, int] | None
) -> Requantize:
    width, signed = int_width(op.result)
    scales = op.scales() if rows is None else scales_of(op, *rows)
    if max(m for m, _ in op.scales()) > 32767:
        raise MohaqError(
            "a multiplier has more than 15 bits", hint="run legalize-for-bitfusion first"
        )
    return Requantize(dst, src, width, int(signed), scales)


def scales_of(op: qnn.RequantizeOp, start: int, size: int) -> tuple[tuple[int, int], ...]:
    """The scales of channels [start, start + size).

    Raises:
        MohaqError: the channels are cut where the scales are not.
    """
    scales = op.scales()
    run = shape_of(op.input)[-1] // len(scales)
    first, last = start // run, (start + size - 1) // run
    if first != last and (start % run or size % run):
        raise MohaqError("channels are cut where the scales of their rows are not")
    found = scales[first : last + 1]
    return found[:1] if len(set(found)) == 1 else found
