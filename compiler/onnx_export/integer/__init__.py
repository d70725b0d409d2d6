"""`qnn` programs as ONNX models of integers, with the same bits as the integer reference.

Between the borders every value is int64, and every node computes exactly what docs/semantics.md
says: MatMulInteger or MatMul, Mul, Add, Sub, Div, Clip, Gather and Scan. T and B stay symbolic.
"""

from __future__ import annotations

from typing import Literal, get_args

import onnx
from xdsl.dialects.builtin import IntegerType

import mohaq.compiler.onnx_export.integer.arithmetic
import mohaq.compiler.onnx_export.integer.loop
import mohaq.compiler.onnx_export.integer.products  # noqa: F401  they register themselves
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import element_of
from mohaq.compiler.onnx_export.emit import deliver, input_names, output_names, returned
from mohaq.compiler.onnx_export.graph import finished, info
from mohaq.compiler.onnx_export.integer.border import enter, facts, leave
from mohaq.compiler.onnx_export.integer.convert import convert_block
from mohaq.compiler.onnx_export.integer.joined import joined_to_onnx
from mohaq.compiler.onnx_export.integer.work import INT64, IntegerWork
from mohaq.compiler.program import Program, argument_grids, result_grids

Border = Literal["real", "integer"]
BORDERS: tuple[Border, ...] = get_args(Border)


def integer_to_onnx(
    program: Program, border: Border = "real", *, like: Program | None = None
) -> onnx.ModelProto:
    """An ONNX model whose outputs are those of the integer reference, bit for bit.

    Args:
        program: `qnn`, neutral or legalized.
        border: "real": float32 in and out. Inputs are rounded to their grids as the reference's
            users do, floor(x/scale + 1/2) + zero point in 64 bits, clamped; outputs are
            (q - zero point) * scale in 64 bits, rounded to float32. NaN has no integer.
            "integer": int64 in and out, which must lie in the grids of the arguments.
        like: the `nn` program that it came from, for the names of inputs and outputs.

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
    names, taken = input_names(graph, like or program), output_names(graph, like or program)
    given, made = argument_grids(entry), result_grids(entry)
    for name, arg, grid in zip(names, entry.args, given, strict=True):
        work.values[arg] = enter(graph, name, grid) if real else name
    found = convert_block(work, entry.body.block)
    for name, value, grid in zip(taken, found, made, strict=True):
        deliver(graph, leave(graph, value, grid) if real else value, name)
    model = finished(
        graph,
        [info(name, arg, kind) for name, arg in zip(names, entry.args, strict=True)],
        [info(name, value, kind) for name, value in zip(taken, returned(program), strict=True)],
    )
    grids = zip((*names, *taken), (*given, *made), strict=True)
    facts(model, border, dict(grids))
    return model


__all__ = ["BORDERS", "Border", "integer_to_onnx", "joined_to_onnx"]
