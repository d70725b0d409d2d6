"""Names of values and texts of operations, exactly as the printer gives them."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

from xdsl.ir import Block, Operation, SSAValue
from xdsl.printer import Printer

from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.program import Program

SHOWN = 400
"""Characters of an operation that are shown; constants may be long."""


class _Recorder(Printer):
    """Prints a module and keeps where everything stands."""

    def __init__(self) -> None:
        self.written = StringIO()
        super().__init__(stream=self.written)
        self.names: dict[SSAValue, str] = {}
        self.places: dict[Operation, tuple[int, int]] = {}

    def print_ssa_value(self, value: SSAValue) -> str:
        name = super().print_ssa_value(value)
        self.names.setdefault(value, f"%{name}")
        return name

    def print_op(self, op: Operation) -> None:
        start = self.written.tell()
        super().print_op(op)
        self.places[op] = (start, self.written.tell())


class Printed:
    """A program beside its text."""

    def __init__(self, program: Program) -> None:
        recorder = _Recorder()
        recorder.print_op(program.module)
        self._text = recorder.written.getvalue()
        self._places = recorder.places
        self.names = recorder.names

    def text(self, op: Operation) -> str:
        """The operation as it stands in the program's text, cut when it is long."""
        start, end = self._places[op]
        lines = self._text[start:end].split("\n")
        return "\n".join(shortened(line) for line in lines)

    def name(self, value: SSAValue) -> str:
        """`%3`."""
        return self.names[value]


def shortened(text: str, most: int = SHOWN) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def type_text(value: SSAValue) -> str:
    """`?x?x12 si4`: extents, then what the elements are."""
    shape = getattr(value.type, "get_shape", None)
    if shape is None:
        return str(value.type)
    element = value.type.element_type  # type: ignore[attr-defined]
    extents = "x".join("?" if n == DYNAMIC else str(n) for n in shape()) or "scalar"
    return f"{extents} {element}"


def nested(block: Block, depth: int = 0) -> Iterator[tuple[Operation, int]]:
    """Operations of a block and of the regions inside, each with its depth."""
    for op in block.ops:
        yield op, depth
        for region in op.regions:
            for inner in region.blocks:
                yield from nested(inner, depth + 1)
