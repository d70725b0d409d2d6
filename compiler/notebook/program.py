"""A program as HTML: its layers, or its operations where it has no layers any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.notebook.html import block, line, table

if TYPE_CHECKING:
    from mohaq.compiler.program import Program


def program_html(program: Program) -> str:
    """Title, arguments, and a table of layers (or of operations by kind)."""
    values = sum(program.parameters[name].size for name in program.parameters)
    layers = list(program.layers())
    if not layers:
        counts = Counter(op.name for op in program.module.walk() if not isinstance(op, DeclareOp))
        title = f"Program: {sum(counts.values())} operations, {values:,} parameters"
        return block(title, table(("operation", "count"), sorted(counts.items())))
    annotated = any(layer.quant is not None for layer in layers)
    state = "annotated with bits" if annotated else "calibrated"
    if not any(layer.calibration for layer in layers):
        state = "annotated with bits" if annotated else "not calibrated"
    title = f"Program: {len(layers)} layers, {values:,} parameters, {state}"
    takes = ", ".join(_shape(arg) for arg in program.entry.args)
    columns = ("layer", "operation", *(("bits",) if annotated else ()), "result", "parameters")
    rows = _rows(program, annotated)
    return block(title, line(f"takes {takes}"), table(columns, rows, text=4 if annotated else 3))


def _rows(program: Program, annotated: bool) -> Iterator[tuple[str, ...]]:
    for op in program.entry.body.block.ops:
        if isinstance(op, (LoadOp, ReturnOp)):
            continue
        held = sum(
            program.parameters[v.owner.symbol].size
            for v in op.operands
            if isinstance(v.owner, LoadOp) and v.owner.symbol in program.parameters
        )
        yield (
            op.label if isinstance(op, LayerOp) else "",
            op.name.removeprefix("nn."),
            *((_bits(op),) if annotated else ()),
            _shape(op.results[0]) if op.results else "",
            f"{held:,}" if held else "",
        )


def _bits(op: Operation) -> str:
    """`weight 4, input 8`: the searched slots and their widths."""
    if not isinstance(op, LayerOp) or op.quant is None:
        return ""
    grids = op.quant.data
    return ", ".join(
        f"{slot} {grid.bits}"
        for slot in op.SEARCHED_SLOTS
        if isinstance(grid := grids.get(slot), GridAttr)
    )


def _shape(value: SSAValue) -> str:
    if not isinstance(value.type, TensorType):
        return str(value.type)
    return " x ".join("?" if n == DYNAMIC else str(n) for n in shape_of(value)) or "scalar"
