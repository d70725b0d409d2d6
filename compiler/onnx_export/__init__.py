"""`nn` programs as ONNX models (DESIGN D12).

Layers keep their names; what the passes wrote stands in the metadata of each layer's node as
JSON: `mohaq.layer`, `mohaq.quant` = {slot: {"width", "scale"}} and `mohaq.calibration` =
{slot: {width: clip}}. T and B stay symbolic.
"""

from __future__ import annotations

import json
from typing import Literal, get_args

import onnx
from onnx import helper
from xdsl.dialects.builtin import IntegerType, TensorType
from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue

import mohaq.compiler.onnx_export.dense
import mohaq.compiler.onnx_export.loops
import mohaq.compiler.onnx_export.qrnn
import mohaq.compiler.onnx_export.quantize
import mohaq.compiler.onnx_export.recurrent
import mohaq.compiler.onnx_export.shape
import mohaq.compiler.onnx_export.windows  # noqa: F401  the conversions register themselves
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import element_of, int_width
from mohaq.compiler.onnx_export.exporter import Exporter
from mohaq.compiler.onnx_export.graph import describe, finished, info
from mohaq.compiler.onnx_export.grids import GridExporter
from mohaq.compiler.onnx_export.integer import integer_to_onnx
from mohaq.compiler.onnx_export.scan import ScanExporter
from mohaq.compiler.program import Program, argument_names, result_names

Form = Literal["float", "qdq", "scan", "integer"]
FORMS: tuple[Form, ...] = get_args(Form)


def to_onnx(program: Program, form: Form = "float") -> onnx.ModelProto:
    """An ONNX model of a program in one of four forms (docs/onnx.md).

    Args:
        program: `nn` for the first three forms, with grids for `qdq` and `scan`; `qnn` for
            `integer`.
        form: `float` computes what the `nn` interpreter does (within 1e-5); `qdq` has weights in
            integers and rounds the inputs of layers; `scan` rounds states and gates, too;
            `integer` computes the integers of the reference between float borders.

    Raises:
        MohaqError: the program holds an operation without such a form, or no grids.
    """
    if form not in FORMS:
        raise MohaqError(f"no form '{form}'", hint=did_you_mean(form, FORMS))
    if form == "integer":
        return integer_to_onnx(program)
    if any(isinstance(a.type, TensorType) and _narrow(a) for a in program.entry.args):
        raise MohaqError(
            f"the form '{form}' is for float programs, this one has integers",
            hint="choose the form 'integer'",
        )
    kinds = {"float": Exporter, "qdq": GridExporter, "scan": ScanExporter}
    return _convert(program, kinds[form](program), form)


def _convert(program: Program, work: Exporter, form: Form) -> onnx.ModelProto:
    entry, graph = program.entry, work.graph
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
    model = finished(graph, inputs, outputs, work.opset)
    helper.set_model_props(model, {"mohaq.form": form})
    return model


def _narrow(value: SSAValue) -> bool:
    """Whether a value has integers that are no indices."""
    return isinstance(element_of(value), IntegerType) and int_width(value) != (64, True)


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


__all__ = ["FORMS", "Form", "to_onnx"]
