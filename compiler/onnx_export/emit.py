"""The operations of an `nn` program, one after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence

import onnx
from xdsl.dialects.builtin import IntegerType
from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import element_of
from mohaq.compiler.onnx_export.exporter import Exporter
from mohaq.compiler.onnx_export.graph import OnnxGraph, describe, info
from mohaq.compiler.program import Program, argument_names, result_names


def emit(work: Exporter, arguments: Sequence[str]) -> list[str]:
    """Emit all operations; gives the names of what the program returns.

    Args:
        work: exporter of the program.
        arguments: names of the values of its arguments.

    Raises:
        MohaqError: an operation without an ONNX form.
    """
    entry, graph = work.program.entry, work.graph
    work.values.update(zip(entry.args, arguments, strict=True))
    for op in entry.body.block.ops:
        if isinstance(op, ReturnOp):
            return [work.value(v) for v in op.operands]
        if isinstance(op, LoadOp):
            continue
        conversion = work.conversion(op)
        if conversion is None:
            raise MohaqError(f"'{op.name}' has no ONNX form")
        before = len(graph.nodes)
        if isinstance(op, LayerOp):
            work.enter(op)
        made = conversion(work, op)
        work.leave()
        work.values.update(zip(op.results, made, strict=True))
        if isinstance(op, LayerOp):
            for node in graph.nodes[before:]:
                _annotate(node, op)
    raise AssertionError("a function without an end")


def input_names(graph: OnnxGraph, program: Program) -> list[str]:
    """Names of the arguments: the user's, else x, state1, state2, ..."""
    return [
        graph.name(name or ("x" if number == 0 else f"state{number}"))
        for number, name in enumerate(argument_names(program.entry))
    ]


def output_names(graph: OnnxGraph, program: Program) -> list[str]:
    """Names of the results: the user's, else result0, result1, ..."""
    named = result_names(program.entry)
    return [graph.name(name or f"result{number}") for number, name in enumerate(named)]


def returned(program: Program) -> list[SSAValue]:
    """Values that the program returns."""
    end = program.entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    return list(end.operands)


def deliver(graph: OnnxGraph, made: str, name: str) -> None:
    """Give a value the name of an output."""
    graph.nodes.append(onnx.helper.make_node("Identity", [made], [name], name=name))


def float_info(name: str, value: SSAValue) -> onnx.ValueInfoProto:
    """Of a float tensor, or of one of indices."""
    whole = isinstance(element_of(value), IntegerType)
    return info(name, value, onnx.TensorProto.INT64 if whole else onnx.TensorProto.FLOAT)


def _annotate(node: onnx.NodeProto, op: LayerOp) -> None:
    slots = (*op.SEARCHED_SLOTS, *op.FIXED_SLOTS)
    grids = {s: g for s in slots if (g := op.grid(s)) is not None}
    facts: dict[str, object] = {
        "quant": {s: g.facts() for s, g in grids.items()},
        "calibration": {s: c for s in slots if (c := op.clips(s))},
    }
    held = {"mohaq.layer": op.label}
    held |= {f"mohaq.{k}": json.dumps(v, sort_keys=True) for k, v in facts.items() if v}
    describe(node, held)
