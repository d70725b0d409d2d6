"""Instructions as text, one line each, as they stand in a listing."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mohaq.backends.bitfusion.isa.instructions import BlockEnd, Instruction, Setup


def instruction_line(address: int, instruction: Instruction) -> str:
    """Word address, name and fields; all but the ends of a block are indented."""
    said = " ".join(f"{f.name}={_field(getattr(instruction, f.name))}" for f in fields(instruction))
    indent = "" if isinstance(instruction, (Setup, BlockEnd)) else "  "
    return f"{address:06d} {indent}{type(instruction).__name__.lower()} {said}".rstrip()


def _field(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{m}>>{s}" for m, s in value)
    return str(int(value))
