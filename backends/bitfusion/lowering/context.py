"""What the builders of blocks share: views of values, constants, streams."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from xdsl.dialects.func import FuncOp
from xdsl.ir import BlockArgument, SSAValue

from mohaq.backends.base import NoRoom
from mohaq.backends.bitfusion.isa.blocks import Axis, Stream
from mohaq.backends.bitfusion.isa.instructions import (
    NO_STREAM,
    Extent,
    Pad,
)
from mohaq.backends.bitfusion.lowering.groups import JOINS, Group, claimed, extent_of
from mohaq.backends.bitfusion.lowering.placement import Memory, Region, View, storage_bits
from mohaq.backends.bitfusion.machine import Machine
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE, TableOp
from mohaq.compiler.dialects.types import DYNAMIC, int_width, shape_of
from mohaq.compiler.program import Program


@dataclass
class Lowering:
    """State of one lowering: where every value and constant lives."""

    program: Program
    machine: Machine
    prefer: str
    memory: Memory
    constants: dict[str, Region] = field(default_factory=dict)
    views: dict[SSAValue, View] = field(default_factory=dict)

    @property
    def entry(self) -> FuncOp:
        """The function that is lowered."""
        return self.program.entry

    def snapshot(self) -> Lowering:
        """A copy that can be continued instead of this one."""
        other = replace(self, memory=self.memory.copy(), views=dict(self.views))
        other._stacks = {key: list(views) for key, views in self._stacks.items()}
        return other

    def place_constants(self) -> None:
        """Give every loaded parameter and used table its region, in program order."""
        tables = {
            op.sym_name.data for op in self.program.module.body.block.ops if isinstance(op, TableOp)
        }
        for op in self.entry.walk():
            if isinstance(op, LoadOp) and op.symbol not in self.constants:
                size = 1
                for extent in shape_of(op.result):
                    size *= extent
                width = storage_bits(int_width(op.result)[0])
                self.constants[op.symbol] = self.memory.constant(op.symbol, size, width)
            elif isinstance(op, qnn.LookupOp):
                name = op.table.root_reference.data
                key = f"table {name}"
                if name in tables and key not in self.constants:
                    self.constants[key] = self.memory.constant(name, TABLE_SIZE, 16, table=True)

    def view(self, value: SSAValue) -> View:
        """Where a value lives; places it at the first request."""
        if value not in self.views:
            self.views[value] = self._place(value)
        return self.views[value]

    def parts(self, value: SSAValue) -> list[View]:
        """Views of a stacked value [D, B, C], one an entry."""
        owner = value.owner
        if isinstance(owner, qnn.StackOp):
            return [self.joined(owner, n) for n in range(len(owner.parts))]
        shape = shape_of(value)
        if not isinstance(owner, qnn.StackOp) and not isinstance(value, BlockArgument):
            raise MohaqError(f"Bit Fusion cannot place a value of type {value.type}")
        if len(shape) != 3 or shape[0] == DYNAMIC or shape[1] != DYNAMIC:
            raise MohaqError(f"Bit Fusion cannot place a value of type {value.type}")
        key = id(value)
        if key not in self._stacks:
            width, signed = int_width(value)
            self._stacks[key] = [
                self.memory.data(f"arg_{n}", Extent.BATCH, shape[2], width, signed=signed)
                for n in range(shape[0])
            ]
        return self._stacks[key]

    def joined(self, op: qnn.ConcatOp | qnn.StackOp, number: int) -> View:
        """Where part `number` of a join lives."""
        if isinstance(op, qnn.ConcatOp):
            offset = sum(shape_of(p)[-1] for p in op.parts[:number])
            return self.view(op.result).channel(offset, shape_of(op.parts[number])[-1])
        key = id(op)
        if key not in self._stacks:
            width, signed = int_width(op.result)
            extent, channels = extent_of(op.parts[0])
            self._stacks[key] = [
                self.memory.data(f"stack_{n}", extent, channels, width, signed=signed)
                for n in range(len(op.parts))
            ]
        return self._stacks[key][number]

    def _place(self, value: SSAValue) -> View:
        owner = value.owner
        if isinstance(owner, qnn.SliceOp):
            start, size = owner.offset.value.data, owner.size.value.data
            return self.view(owner.input).channel(start, size)
        if isinstance(owner, qnn.SplitOp):
            high = value is owner.high
            return self.view(owner.input).byte(int(high), signed=high)
        if isinstance(owner, qnn.SelectOp):
            return self.parts(owner.input)[owner.index.value.data]
        home = claimed(value)
        if home is not None and isinstance(home[0], JOINS):
            return self.joined(home[0], home[1])
        if isinstance(owner, LoadOp):
            raise MohaqError(f"parameter '{owner.symbol}' cannot be used like a computed value")
        extent, channels = extent_of(value)
        width, signed = int_width(value)
        hint = f"arg{value.index}" if isinstance(value, BlockArgument) else "value"
        return self.memory.data(hint, extent, channels, width, signed=signed)

    def __post_init__(self) -> None:
        self._stacks: dict[int, list[View]] = {}


class Streams:
    """Streams of a block under construction."""

    def __init__(self) -> None:
        self.made: list[Stream] = []

    def add(
        self, pad: Pad, width: int, axes: tuple[Axis, ...], address: int = 0, *, signed: bool = True
    ) -> int:
        """A new stream; gives its id.

        Raises:
            NoRoom: the block needs too many.
        """
        number = len(self.made)
        if number >= NO_STREAM:
            raise NoRoom(f"a block needs more than {NO_STREAM} streams")
        self.made.append(Stream(number, pad, width, signed, address, axes))
        return number

    def of_view(self, pad: Pad, view: View, axes: tuple[Axis, ...]) -> int:
        """A stream over a view."""
        return self.add(pad, view.width, axes, view.address, signed=view.signed)


def stored_outside(group: Group, value: SSAValue) -> bool:
    """Whether something outside the group reads the value."""
    return any(use.operation not in group.ops for use in value.uses)
