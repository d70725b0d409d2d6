"""A program as stages, and small questions about its operations."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation, SSAValue

from mohaq.backends.epiphany.lowering.nodes import Plane, Stage
from mohaq.compiler.dialects import qnn
from mohaq.compiler.program import Program


@dataclass
class Staged:
    """A program as stages, with its planes and ports."""

    stages: list[Stage]
    planes: list[Plane]
    inputs: list[Plane]
    outputs: list[Plane]
    arguments: tuple[SSAValue, ...] = ()
    results: tuple[SSAValue, ...] = ()
    tables: dict[str, tuple[int, ...]] = field(default_factory=dict)


def layer_name(op: Operation) -> str | None:
    """The layer an operation came from, by its mark."""
    at: Operation | None = op
    while at is not None:
        mark = at.attributes.get("layer")
        if isinstance(mark, StringAttr):
            return mark.data
        at = at.parent_op()
    return None


def qnn_tables(program: Program) -> dict[str, tuple[int, ...]]:
    """{symbol: points} of a program's tables."""
    return {
        op.sym_name.data: op.values()
        for op in program.module.body.block.ops
        if isinstance(op, qnn.TableOp)
    }
