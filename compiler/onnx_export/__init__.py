"""`nn` programs as ONNX models (DESIGN D12).

Layers keep their names; what the passes wrote stands in the metadata of each layer's node as
JSON: `mohaq.layer`, `mohaq.quant` = {slot: {"width", "scale"}} and `mohaq.calibration` =
{slot: {width: clip}}. T and B stay symbolic.
"""

from __future__ import annotations

import json

import onnx
from xdsl.dialects.builtin import IntegerType
from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue

import mohaq.compiler.onnx_export.dense
import mohaq.compiler.onnx_export.loops
import mohaq.compiler.onnx_export.qrnn
import mohaq.compiler.onnx_export.quantize
import mohaq.compiler.onnx_export.recurrent
import mohaq.compiler.onnx_export.shape
import mohaq.compiler.onnx_export.windows  # noqa: F401  the conversions register themselves
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import element_of
from mohaq.compiler.onnx_export.exporter import CONVERSIONS, Exporter
from mohaq.compiler.onnx_export.graph import describe, finished, info
from mohaq.compiler.program import Program, argument_names, result_names


def to_onnx(program: Program) -> onnx.ModelProto:
    """An ONNX model (opset 21) that computes what the `nn` interpreter does (within 1e-5).

    Raises:
        MohaqError: the program holds an operation without an ONNX form, or the model is not
            valid.
    """
    entry = program.entry
    work = Exporter(program)
    graph = work.graph
    for number, (arg, name) in enumerate(zip(entry.args, argument_names(entry), strict=True)):
        work.values[arg] = graph.name(name or ("x" if number == 0 else f"state{number}"))
    inputs = [_info(work.values[arg], arg) for arg in entry.args]
    outputs: list[onnx.ValueInfoProto] = []
    for op in entry.body.block.ops:
        if isinstance(op, LoadOp):
            continue
        if isinstance(op, ReturnOp):
            for number, (value, name) in enumerate(
                zip(op.operands, result_names(entry), strict=True)
            ):
                held = graph.node("Identity", [work.value(value)], name or f"result{number}")
                outputs.append(_info(held, value))
            continue
        conversion = CONVERSIONS.get(type(op))
        if conversion is None:
            raise MohaqError(f"'{op.name}' has no ONNX form")
        before = len(graph.nodes)
        work.values.update(zip(op.results, conversion(work, op), strict=True))
        if isinstance(op, LayerOp):
            for node in graph.nodes[before:]:
                _annotate(node, op)
    return finished(graph, inputs, outputs)


def _info(name: str, value: SSAValue) -> onnx.ValueInfoProto:
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


__all__ = ["to_onnx"]
