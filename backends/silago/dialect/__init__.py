"""`silago`: the instructions of the cells as operations (docs/isa/silago.md).

One operation an instruction with the field names of isa/fields.py, and five around them: the
program, memory rows, segments of cell programs and their launches.
"""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.ir import Dialect

from mohaq.backends.silago.dialect.base import InstructionOp, op_class
from mohaq.backends.silago.dialect.program import CellOp, ImageOp, LaunchOp, ProgramOp, SegmentOp
from mohaq.backends.silago.isa.instructions import KINDS, Instruction

OP_OF: Mapping[type[Instruction], type[InstructionOp]] = {
    kind: op_class(kind) for kind in KINDS.values()
}
"""The operation of each instruction."""


def op_of(instruction: Instruction) -> InstructionOp:
    """The operation that stands for an instruction."""
    return OP_OF[type(instruction)](instruction)


Silago = Dialect("silago", [*OP_OF.values(), ImageOp, CellOp, SegmentOp, LaunchOp, ProgramOp], [])

__all__ = [
    "OP_OF", "CellOp", "ImageOp", "InstructionOp", "LaunchOp", "ProgramOp", "SegmentOp", "Silago",
    "op_of",
]  # fmt: skip
