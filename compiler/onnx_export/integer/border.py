"""Where real numbers become integers and integers real numbers, in 64 bits as the quantizer does."""

from __future__ import annotations

import json
from collections.abc import Mapping

import onnx

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.onnx_export.graph import OnnxGraph
from mohaq.compiler.onnx_export.integer.work import INT64


def enter(graph: OnnxGraph, x: str, grid: GridAttr | None) -> str:
    """clamp(floor(x/scale + 1/2) + zero point) as int64."""
    grid = _known(grid)
    wide = graph.node("Cast", [x], to=onnx.TensorProto.DOUBLE)
    steps = graph.node("Div", [wide, graph.double(grid.step, "scale")])
    whole = graph.node("Floor", [graph.node("Add", [steps, graph.double(0.5, "half")])])
    if grid.zero:
        whole = graph.node("Add", [whole, graph.double(grid.zero, "zero_point")])
    ends = [graph.double(n, "end") for n in (grid.low, grid.high)]
    return graph.node("Cast", [graph.node("Clip", [whole, *ends])], to=INT64)


def leave(graph: OnnxGraph, x: str, grid: GridAttr | None) -> str:
    """(q - zero point) * scale as float32."""
    grid = _known(grid)
    wide = graph.node("Cast", [x], to=onnx.TensorProto.DOUBLE)
    if grid.zero:
        wide = graph.node("Sub", [wide, graph.double(grid.zero, "zero_point")])
    real = graph.node("Mul", [wide, graph.double(grid.step, "scale")])
    return graph.node("Cast", [real], to=onnx.TensorProto.FLOAT)


def _known(grid: GridAttr | None) -> GridAttr:
    if grid is None:
        raise MohaqError("an argument or result of the program has no grid")
    return grid


def facts(model: onnx.ModelProto, border: str, grids: Mapping[str, GridAttr | None]) -> None:
    """Form, border and the grids of inputs and outputs in the model's metadata."""
    held = {name: grid.facts() for name, grid in grids.items() if grid is not None}
    found = {"mohaq.form": "integer", "mohaq.border": border}
    if held:
        found["mohaq.grids"] = json.dumps(held)
    onnx.helper.set_model_props(model, found)
