"""Integers between the parts of a program that run on the host, which stay in float32."""

from __future__ import annotations

import onnx

from mohaq.compiler.onnx_export.emit import (
    deliver,
    emit,
    float_info,
    input_names,
    output_names,
    returned,
)
from mohaq.compiler.onnx_export.exporter import Exporter
from mohaq.compiler.onnx_export.graph import OnnxGraph, finished
from mohaq.compiler.onnx_export.integer.border import enter, facts, leave
from mohaq.compiler.onnx_export.integer.convert import convert_block
from mohaq.compiler.onnx_export.integer.work import IntegerWork
from mohaq.compiler.partition import Partition
from mohaq.compiler.program import Program, argument_grids, result_grids


def joined_to_onnx(program: Program, cut: Partition, integers: Program) -> onnx.ModelProto:
    """An ONNX model of a whole program of which a part is in integers.

    The integer part has the bits of the reference for the float values that reach it.

    Args:
        program: the whole `nn` program.
        cut: its parts.
        integers: the core, lowered (and legalized).

    Raises:
        MohaqError: an operation of the host without an ONNX form.
    """
    graph = OnnxGraph()
    names, taken = input_names(graph, program), output_names(graph, program)
    made = {"argument": names}
    if cut.before is not None:
        made["before"] = emit(Exporter(cut.before, graph), names)
    core = IntegerWork(integers, graph)
    entry = integers.entry
    given = [made[s.part][s.number] for s in cut.core_inputs]
    for arg, name, grid in zip(entry.args, given, argument_grids(entry), strict=True):
        core.values[arg] = enter(graph, name, grid)
    found = convert_block(core, entry.body.block)
    made["core"] = [
        leave(graph, x, grid) for x, grid in zip(found, result_grids(entry), strict=True)
    ]
    if cut.after is not None:
        inputs = [made[s.part][s.number] for s in cut.after_inputs]
        made["after"] = emit(Exporter(cut.after, graph), inputs)
    for source, name in zip(cut.results, taken, strict=True):
        deliver(graph, made[source.part][source.number], name)
    model = finished(
        graph,
        [float_info(n, a) for n, a in zip(names, program.entry.args, strict=True)],
        [float_info(n, v) for n, v in zip(taken, returned(program), strict=True)],
    )
    facts(model, "real", {})
    return model
