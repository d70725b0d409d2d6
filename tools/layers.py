"""Operations of an `nn` program as a table, whatever they are."""

from __future__ import annotations

from xdsl.dialects.builtin import IntegerAttr, IntegerType, StringAttr
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, Operation, SSAValue

from mohaq.compiler.dialects.nn import FunctionAttr, LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.program import Program, argument_names
from mohaq.tools.console import say, table

QUIET = {"op_name", "calibration", "quant"}
"""Attributes that other columns and commands show."""

USUAL = (StringAttr("forward"), StringAttr("none"), StringAttr("identity"))
"""Values that say nothing special."""

SPEAKING = {"direction", "kind", "mode"}
"""Attributes whose value needs no name beside it."""


def print_operations(program: Program) -> None:
    """Arguments, operations with their facts, shapes and numbers of parameters."""
    entry = program.entry
    given = [
        f"{name or f'argument {n}'} {shape_text(arg)}"
        for n, (name, arg) in enumerate(zip(argument_names(entry), entry.args, strict=True))
    ]
    say("takes " + ", ".join(given))
    rows = [
        _row(program, op) for op in entry.body.block.ops if not isinstance(op, (LoadOp, ReturnOp))
    ]
    count = sum(program.parameters[name].size for name in program.parameters)
    rows.append(("all", "", "", "", f"{count:,}"))
    table("Operations", ("layer", "operation", "facts", "result", "parameters"), rows, text=4)


def _row(program: Program, op: Operation) -> tuple[str, ...]:
    held = sum(
        program.parameters[v.owner.symbol].size for v in op.operands if isinstance(v.owner, LoadOp)
    )
    facts = [text for key, value in op.attributes.items() if (text := fact_text(key, value))]
    return (
        op.label if isinstance(op, LayerOp) else "",
        op.name.removeprefix("nn."),
        ", ".join(facts),
        shape_text(op.results[0]),
        f"{held:,}" if held else "",
    )


def fact_text(key: str, value: Attribute) -> str:
    """What an attribute says in a few words; nothing if it says nothing special."""
    if key in QUIET or value in USUAL:
        return ""
    if isinstance(value, FunctionAttr):
        return value.kind
    if isinstance(value, StringAttr):
        return value.data if key in SPEAKING else f"{key} {value.data}"
    if isinstance(value, IntegerAttr):
        number = value.value.data
        if isinstance(value.type, IntegerType) and value.type.width.data == 1:
            return key if number else ""
        return f"{key} {number}"
    return ""


def shape_text(value: SSAValue) -> str:
    """Extents such as `?x?x12`."""
    return "x".join("?" if n == DYNAMIC else str(n) for n in shape_of(value)) or "scalar"
