"""Writes a scheduled program as a plain list of operations with its integers beside it.

program.json           schema "mohaq.reference/1": constants, inputs, ops, results
integers.safetensors   parameters as integers
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from mohaq.backends.base import Target
from mohaq.backends.reference.estimate import computes, layer_of, load_facts
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, int_width, shape_of
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.program import Program

SCHEMA = "mohaq.reference/1"
PROGRAM_FILE = "program.json"
INTEGER_FILE = "integers.safetensors"


def emit_program(program: Program, folder: Path, target: Target) -> None:
    """Write the folder; the same program always gives the same bytes.

    Raises:
        MohaqError: the program holds an operation that the target does not run.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    entry = program.entry
    writer = _Writer()
    inputs = [writer.described(arg) for arg in entry.args]
    ops = writer.block(entry.body.block)
    end = entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    used = {op.symbol for op in entry.walk() if isinstance(op, LoadOp)}
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "target": target.name,
        "constants": {name: c.value for name, c in sorted(target.constants.items())},
        "tables": {
            op.sym_name.data: list(op.values())
            for op in program.module.body.block.ops
            if isinstance(op, qnn.TableOp)
        },
        "inputs": inputs,
        "ops": ops,
        "results": [writer.number(v) for v in end.operands],
    }
    program.parameters.save(folder / INTEGER_FILE, dict.fromkeys(sorted(used)))
    write_text(folder / PROGRAM_FILE, dump_json(data))


class _Writer:
    """Numbers values and turns operations into rows."""

    def __init__(self) -> None:
        self._numbers: dict[SSAValue, int] = {}

    def number(self, value: SSAValue) -> int:
        """Number of a value."""
        return self._numbers.setdefault(value, len(self._numbers))

    def described(self, value: SSAValue) -> dict[str, Any]:
        """A block argument: number, shape (null: any), width."""
        shape = [None if n == DYNAMIC else n for n in shape_of(value)]
        return {"value": self.number(value), "shape": shape, "bits": int_width(value)[0]}

    def block(self, block: Block) -> list[dict[str, Any]]:
        """Rows of all operations but the terminator."""
        rows = []
        for op in block.ops:
            if op is block.last_op:
                break
            kind = op.name.removeprefix("qnn.").removeprefix("param.")
            row: dict[str, Any] = {
                "op": kind,
                "in": [self.number(v) for v in op.operands],
                "out": [self.number(v) for v in op.results],
            }
            row.update(self._facts(op))
            rows.append(row)
        return rows

    def _facts(self, op: Operation) -> dict[str, Any]:
        for kind, facts in _FACTS.items():
            if isinstance(op, kind):
                return facts(op)
        if isinstance(op, qnn.ScanOp):
            body = op.body.block
            arguments = [self.number(a) for a in body.args]
            ops = self.block(body)
            end = body.last_op
            assert isinstance(end, qnn.YieldOp)
            return {
                "layer": layer_of(op),
                "computes": computes(op),
                "inputs": len(op.inputs),
                "reverse": op.direction.data == "reverse",
                "arguments": arguments,
                "states": [shape_of(a)[-1] for a in body.args[len(op.inputs) :]],
                "body": ops,
                "yield": [self.number(v) for v in end.values],
            }
        raise MohaqError(f"the reference backend does not run '{op.name}'")


def _matmul(op: Any) -> dict[str, Any]:
    return {"layer": layer_of(op), "bits": int_width(op.weight)[0], "bound": op.acc.bound.data}


def _load(op: LoadOp) -> dict[str, Any]:
    layer, bits = load_facts(op)
    return {"name": op.symbol, "layer": layer, "bits": bits}


def _range(op: Any) -> dict[str, Any]:
    bits, signed = int_width(op.result)
    return {"bits": bits, "signed": signed}


_FACTS: dict[type[Operation], Callable[[Any], dict[str, Any]]] = {
    LoadOp: _load,
    qnn.MatmulOp: _matmul,
    qnn.RequantizeOp: lambda op: {"scales": [list(s) for s in op.scales()], **_range(op)},
    qnn.BiasOp: lambda op: {"shifts": [op.acc_shift.value.data, op.bias_shift.value.data]},
    qnn.AddOp: lambda _: {},
    qnn.MulOp: lambda _: {},
    qnn.ConcatOp: lambda _: {},
    qnn.StackOp: lambda _: {},
    qnn.SplitOp: lambda _: {},
    qnn.ShlOp: lambda op: {"amount": op.amount.value.data},
    qnn.RsubOp: lambda op: {"constant": op.constant.value.data},
    qnn.SaturateOp: _range,
    qnn.LookupOp: lambda op: {"table": op.table.root_reference.data},
    qnn.SliceOp: lambda op: {"first": op.offset.value.data, "size": op.size.value.data},
    qnn.SelectOp: lambda op: {"index": op.index.value.data},
}
