"""`qnn` programs as ONNX models of integers, with the same bits as the integer reference.

Between the borders every value is int64, and every node computes exactly what docs/semantics.md
says: MatMulInteger or MatMul, Mul, Add, Sub, Div, Clip, Gather and Scan. T and B stay symbolic.
"""

from __future__ import annotations

import json
from typing import Literal, get_args

import onnx
from xdsl.dialects.builtin import IntegerType

import mohaq.compiler.onnx_export.integer.arithmetic
import mohaq.compiler.onnx_export.integer.loop
import mohaq.compiler.onnx_export.integer.products  # noqa: F401  they register themselves
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import element_of
from mohaq.compiler.onnx_export.graph import finished, info
from mohaq.compiler.onnx_export.integer.convert import convert_block
from mohaq.compiler.onnx_export.integer.work import INT64, IntegerWork
from mohaq.compiler.program import (
    Program,
    argument_grids,
    argument_names,
    result_grids,
    result_names,
)

Border = Literal["real", "integer"]
BORDERS: tuple[Border, ...] = get_args(Border)


def integer_to_onnx(program: Program, border: Border = "real") -> onnx.ModelProto:
    """An ONNX model whose outputs are those of the integer reference, bit for bit.

    Args:
        program: `qnn`, neutral or legalized.
        border: "real": float32 in and out. Inputs are rounded to their grids as the reference's
            users do, floor(x/scale + 1/2) + zero point in 64 bits, clamped; outputs are
            (q - zero point) * scale in 64 bits, rounded to float32. NaN has no integer.
            "integer": int64 in and out, which must lie in the grids of the arguments.

    Raises:
        MohaqError: no integer program, or an argument or result without a grid.
    """
    entry = program.entry
    if not all(isinstance(element_of(a), IntegerType) for a in entry.args):
        raise MohaqError(
            "this is no integer program",
            hint="lower it first (uniform or apply-assignment, lower-to-qnn), or give bits",
        )
    work = IntegerWork(program)
    graph, real = work.graph, border == "real"
    kind = onnx.TensorProto.FLOAT if real else INT64
    names = [
        graph.name(name or ("x" if number == 0 else f"state{number}"))
        for number, name in enumerate(argument_names(entry))
    ]
    taken = [graph.name(name or f"result{n}") for n, name in enumerate(result_names(entry))]
    for name, arg, grid in zip(names, entry.args, argument_grids(entry), strict=True):
        work.values[arg] = _enter(work, name, _known(grid)) if real else name
    found = convert_block(work, entry.body.block)
    end = entry.body.block.last_op
    assert end is not None
    outputs = []
    for name, made, value, grid in zip(
        taken, found, end.operands, result_grids(entry), strict=True
    ):
        left = _leave(work, made, _known(grid)) if real else made
        graph.nodes.append(onnx.helper.make_node("Identity", [left], [name], name=name))
        outputs.append(info(name, value, kind))
    inputs = [info(name, arg, kind) for name, arg in zip(names, entry.args, strict=True)]
    model = finished(graph, inputs, outputs)
    _facts(model, border, argument_grids(entry), result_grids(entry), names, taken)
    return model


def _known(grid: GridAttr | None) -> GridAttr:
    if grid is None:
        raise MohaqError("an argument or result of the program has no grid")
    return grid


def _enter(work: IntegerWork, x: str, grid: GridAttr) -> str:
    """clamp(floor(x/scale + 1/2) + zero) as int64."""
    graph = work.graph
    wide = graph.node("Cast", [x], to=onnx.TensorProto.DOUBLE)
    steps = graph.node("Div", [wide, graph.double(grid.step, "scale")])
    whole = graph.node("Floor", [graph.node("Add", [steps, graph.double(0.5, "half")])])
    if grid.zero:
        whole = graph.node("Add", [whole, graph.double(grid.zero, "zero_point")])
    ends = [graph.double(n, "end") for n in (grid.low, grid.high)]
    return graph.node("Cast", [graph.node("Clip", [whole, *ends])], to=INT64)


def _leave(work: IntegerWork, x: str, grid: GridAttr) -> str:
    """(q - zero) * scale as float32."""
    graph = work.graph
    wide = graph.node("Cast", [x], to=onnx.TensorProto.DOUBLE)
    if grid.zero:
        wide = graph.node("Sub", [wide, graph.double(grid.zero, "zero_point")])
    real = graph.node("Mul", [wide, graph.double(grid.step, "scale")])
    return graph.node("Cast", [real], to=onnx.TensorProto.FLOAT)


def _facts(
    model: onnx.ModelProto,
    border: Border,
    given: list[GridAttr | None],
    made: list[GridAttr | None],
    names: list[str],
    taken: list[str],
) -> None:
    """Form, border and grids in the model's metadata."""
    grids = zip((*names, *taken), (*given, *made), strict=True)
    held = {name: grid.facts() for name, grid in grids if grid is not None}
    facts = {"mohaq.form": "integer", "mohaq.border": border, "mohaq.grids": json.dumps(held)}
    onnx.helper.set_model_props(model, facts)


__all__ = ["BORDERS", "Border", "integer_to_onnx"]
