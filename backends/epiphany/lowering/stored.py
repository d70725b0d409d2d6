"""Which values of a program lie in shared memory between stages."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.func import ReturnOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from mohaq.backends.epiphany.lowering.nodes import Link
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_range, int_width
from mohaq.compiler.program import Program

STORED_BITS = 16


class Stored:
    """Values that one stage writes and another reads, in program order.

    Arguments of the program and sequences that loops yield; of a linear layer the value that
    its sums are rescaled to. Joins of those are places side by side, no values of their own.
    """

    def __init__(self, program: Program) -> None:
        self.entry = program.entry.body.block
        self.values: list[SSAValue] = []
        for op in self.entry.ops:
            if isinstance(op, qnn.MatmulOp):
                for value, _ in self.pieces(op.input):
                    self._add(value)
        for value in self.results():
            for part in self.parts(value):
                self._add(part)

    def results(self) -> tuple[SSAValue, ...]:
        """What the program returns."""
        end = self.entry.last_op
        assert isinstance(end, ReturnOp)
        return tuple(end.operands)

    def _add(self, value: SSAValue) -> None:
        if value not in self.values:
            if int_width(value)[0] > STORED_BITS or not int_width(value)[1]:
                raise MohaqError(
                    f"Epiphany stores signed values of up to {STORED_BITS} bits, not {value.type}"
                )
            self.values.append(value)

    def parts(self, value: SSAValue) -> list[SSAValue]:
        """The values that a join is made of; the value itself when it is none."""
        owner = value.owner
        if isinstance(owner, (qnn.ConcatOp, qnn.StackOp)):
            return [p for part in owner.parts for p in self.parts(part)]
        return [value]

    def is_stored(self, value: SSAValue) -> bool:
        """Whether a stage reads the value from shared memory."""
        owner = value.owner
        if isinstance(owner, qnn.SelectOp):
            return self.is_stored(owner.input)
        return isinstance(owner, qnn.ScanOp) or (
            isinstance(value, BlockArgument) and value.owner is self.entry
        )

    def pieces(self, value: SSAValue) -> Iterator[tuple[SSAValue, tuple[Link, ...]]]:
        """(stored value, operations on it) of the columns of a product's operand.

        Raises:
            MohaqError: the operand is computed in a way that the exchange cannot follow.
        """
        owner = value.owner
        if self.is_stored(value) or not isinstance(owner, Operation):
            yield value, ()
        elif isinstance(owner, qnn.ConcatOp) and not all(self.is_stored(p) for p in owner.parts):
            for part in owner.parts:
                yield from self.pieces(part)
        elif isinstance(owner, qnn.ConcatOp):
            yield value, ()
        elif (link := link_of(owner, value)) is not None and self._reaches(owner.operands[0]):
            for stored, before in self.pieces(owner.operands[0]):
                yield stored, (*before, link)
        elif _holds(value):
            yield value, ()
        else:
            raise MohaqError(f"the operand of a product comes from '{owner.name}'")

    def _reaches(self, value: SSAValue) -> bool:
        owner = value.owner
        if self.is_stored(value) or not isinstance(owner, Operation) or _holds(value):
            return True
        if isinstance(owner, qnn.ConcatOp):
            return all(self._reaches(p) for p in owner.parts)
        return link_of(owner, value) is not None and self._reaches(owner.operands[0])


def _holds(value: SSAValue) -> bool:
    """Whether a value may be stored: the rescaled sums of a layer."""
    owner = value.owner
    return isinstance(owner, qnn.RequantizeOp) and int_width(value)[0] <= STORED_BITS


def link_of(op: Operation, value: SSAValue) -> Link | None:
    """An elementwise operation of one operand, the same for all channels."""
    match op:
        case qnn.RequantizeOp() if len(op.scales()) == 1:
            return Link("requantize", (*op.scales()[0], *edges(value)))
        case qnn.SaturateOp():
            return Link("saturate", edges(value))
        case qnn.SplitOp():
            return Link("high" if value is op.high else "low", ())
        case _:
            return None


def edges(value: SSAValue) -> tuple[int, int]:
    """Smallest and largest value of a type."""
    width, signed = int_width(value)
    return int_range(width, signed=signed)


def captured(value: SSAValue) -> bool:
    """Whether a value is a parameter."""
    return isinstance(value.owner, LoadOp)
