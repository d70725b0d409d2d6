"""Operations that stand for one instruction each."""

from __future__ import annotations

from abc import ABC
from dataclasses import fields
from typing import Any, ClassVar

from xdsl.dialects.builtin import I64, IntegerAttr, i64
from xdsl.irdl import IRDLOperation, irdl_op_definition, prop_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from mohaq.backends.silago.isa.fields import FORMATS, Field
from mohaq.backends.silago.isa.instructions import Dpu, Instruction
from mohaq.compiler.diagnostics import MohaqError

Int = IntegerAttr[I64]


def number(value: int) -> Int:
    """A plain integer attribute."""
    return IntegerAttr(value, i64)


class InstructionOp(IRDLOperation, ABC):
    """An instruction; its properties are the fields of the dataclass `KIND`.

    Text form: `silago.refi(port_no = r0, l1_iter = 7)`; fields at their defaults are left out,
    values are numbers or the symbols of the field table.
    """

    KIND: ClassVar[type[Instruction]]

    def __init__(self, i: Instruction) -> None:
        super().__init__(properties={f.name: number(int(getattr(i, f.name))) for f in fields(i)})

    def instruction(self) -> Instruction:
        """The instruction, not checked."""
        values = {n: p.value.data for n, p in self.properties.items() if isinstance(p, IntegerAttr)}
        return self.KIND(**values)

    def verify_(self) -> None:
        try:
            self.instruction().check()
        except MohaqError as error:
            raise VerifyException(error.message()) from None

    def print(self, printer: Printer) -> None:
        """Print the fields that are not at their defaults."""
        instruction = self.instruction()
        parts = []
        for item in _items(self.KIND):
            value = int(getattr(instruction, item.name))
            if value != item.default or item.name not in vars(self.KIND):
                parts.append(f"{item.name} = {_symbol(item, value)}")
        if parts:
            printer.print_string(f"({', '.join(parts)})")

    @classmethod
    def parse(cls, parser: Parser) -> InstructionOp:
        """Parse what `print` writes."""
        items = {item.name: item for item in _items(cls.KIND)}
        values: dict[str, int] = {}
        if parser.parse_optional_punctuation("(") is not None:
            while parser.parse_optional_punctuation(")") is None:
                if values:
                    parser.parse_punctuation(",")
                name = parser.parse_identifier()
                if name not in items:
                    parser.raise_error(f"{cls.KIND.NAME} has no field '{name}'")
                if name in values:
                    parser.raise_error(f"field '{name}' is given twice")
                parser.parse_punctuation("=")
                values[name] = _value(parser, items[name])
        missing = [n for n in items if n not in values and n not in vars(cls.KIND)]
        if missing:
            parser.raise_error(f"{cls.KIND.NAME} needs field '{missing[0]}'")
        return cls(cls.KIND(**values))


def _items(kind: type[Instruction]) -> tuple[Field, ...]:
    shift = (Field("shift", 5, 0),) if kind is Dpu else ()
    return (*(f for f in FORMATS[kind.NAME].fields if not f.fixed), *shift)


def _symbol(item: Field, value: int) -> str:
    for name, code in item.symbols.items():
        if code == value and name.isidentifier():
            return name
    return str(value)


def _value(parser: Parser, item: Field) -> int:
    text = parser.parse_optional_identifier()
    if text is None:
        return parser.parse_integer(allow_boolean=False)
    if text not in item.symbols:
        parser.raise_error(f"'{text}' is no value of field '{item.name}'")
    return item.symbols[text]


def op_class(kind: type[Instruction]) -> type[InstructionOp]:
    """The operation of an instruction: `silago.<name>` with one property a field."""
    members: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": kind.__doc__,
        "name": f"silago.{kind.NAME.lower()}",
        "__annotations__": {"KIND": ClassVar[type[Instruction]]},
        "KIND": kind,
    }
    members |= {f.name: prop_def(Int) for f in fields(kind)}
    made: type[InstructionOp] = type(f"{kind.__name__}Op", (InstructionOp,), members)
    return irdl_op_definition(made)
