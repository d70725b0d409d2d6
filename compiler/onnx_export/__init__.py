"""`nn` programs as ONNX models (DESIGN D12).

Layers keep their names; what the passes wrote stands in the metadata of each layer's node as
JSON: `mohaq.layer`, `mohaq.quant` = {slot: {"width", "scale"}} and `mohaq.calibration` =
{slot: {width: clip}}. T and B stay symbolic.
"""

from __future__ import annotations

from typing import Literal, get_args

import onnx
from onnx import helper
from xdsl.dialects.builtin import IntegerType, TensorType
from xdsl.ir import SSAValue

import mohaq.compiler.onnx_export.dense
import mohaq.compiler.onnx_export.loops
import mohaq.compiler.onnx_export.qrnn
import mohaq.compiler.onnx_export.quantize
import mohaq.compiler.onnx_export.recurrent
import mohaq.compiler.onnx_export.shape
import mohaq.compiler.onnx_export.windows  # noqa: F401  the conversions register themselves
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.dialects.types import element_of, int_width
from mohaq.compiler.onnx_export.emit import (
    deliver,
    emit,
    float_info,
    input_names,
    output_names,
    returned,
)
from mohaq.compiler.onnx_export.exporter import Exporter
from mohaq.compiler.onnx_export.graph import finished
from mohaq.compiler.onnx_export.grids import GridExporter
from mohaq.compiler.onnx_export.integer import integer_to_onnx
from mohaq.compiler.onnx_export.scan import ScanExporter
from mohaq.compiler.program import Program

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
    work = kinds[form](program)
    graph, entry = work.graph, program.entry
    names, taken = input_names(graph, program), output_names(graph, program)
    for name, made in zip(taken, emit(work, names), strict=True):
        deliver(graph, made, name)
    model = finished(
        graph,
        [float_info(name, arg) for name, arg in zip(names, entry.args, strict=True)],
        [float_info(name, value) for name, value in zip(taken, returned(program), strict=True)],
        work.opset,
    )
    helper.set_model_props(model, {"mohaq.form": form})
    return model


def _narrow(value: SSAValue) -> bool:
    """Whether a value has integers that are no indices."""
    return isinstance(element_of(value), IntegerType) and int_width(value) != (64, True)


__all__ = ["FORMS", "Form", "to_onnx"]
