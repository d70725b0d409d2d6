"""What the operations of `bitfusion` share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import ClassVar

from xdsl.dialects.builtin import I64, IntegerAttr, StringAttr, i64
from xdsl.irdl import IRDLOperation
from xdsl.utils.exceptions import VerifyException

from mohaq.backends.bitfusion.isa import instructions as isa
from mohaq.compiler.diagnostics import MohaqError

Int = IntegerAttr[I64]


def number(value: int) -> Int:
    """A plain integer attribute."""
    return IntegerAttr(value, i64)


def name_of(value: int, kind: type[isa.Pad] | type[isa.Kind] | type[isa.Extent]) -> StringAttr:
    """An enumeration's code as text."""
    return StringAttr(kind(value).name.lower())


def code_of(text: StringAttr, kind: type[isa.Pad] | type[isa.Kind] | type[isa.Extent]) -> int:
    """The code of a text.

    Raises:
        VerifyException: the enumeration has no such name.
    """
    try:
        return int(kind[text.data.upper()])
    except KeyError:
        known = ", ".join(k.name.lower() for k in kind)
        raise VerifyException(f"'{text.data}' is none of {known}") from None


class InstructionOp(IRDLOperation, ABC):
    """An operation that stands for one instruction."""

    @abstractmethod
    def instruction(self) -> isa.Instruction:
        """The instruction, not checked."""

    def verify_(self) -> None:
        try:
            self.instruction().check()
        except MohaqError as error:
            raise VerifyException(error.message()) from None


class PlainOp(InstructionOp, ABC):
    """An instruction whose fields are all integers with the property names."""

    KIND: ClassVar[type[isa.Instruction]]

    def __init__(self, i: isa.Instruction) -> None:
        super().__init__(properties={f.name: number(int(getattr(i, f.name))) for f in fields(i)})

    def instruction(self) -> isa.Instruction:
        values = {n: p.value.data for n, p in self.properties.items() if isinstance(p, IntegerAttr)}
        return self.KIND(**values)
