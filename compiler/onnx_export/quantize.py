"""`nn.fake_quantize` as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.onnx_export.exporter import Exporter, exports

KINDS = {
    (4, True): onnx.TensorProto.INT4,
    (4, False): onnx.TensorProto.UINT4,
    (8, True): onnx.TensorProto.INT8,
    (8, False): onnx.TensorProto.UINT8,
    (16, True): onnx.TensorProto.INT16,
    (16, False): onnx.TensorProto.UINT16,
}
"""(width, signed) -> ONNX integer type; other widths become plain arithmetic."""


@exports(nn.FakeQuantizeOp)
def fake_quantize(work: Exporter, op: nn.FakeQuantizeOp) -> list[str]:
    """A Q/DQ pair, or Div, Round, Add, Clip, Sub, Mul for widths that ONNX has no type for."""
    graph, x, axis = work.graph, work.value(op.input), op.axis.value.data
    key = (op.width.value.data, bool(op.signed.value.data))
    per_tensor = shape_of(op.scale) == (1,)
    scale = work.value(op.scale)
    zero = work.value(op.zero_point) if op.zero_point is not None else None
    if key in KINDS:
        if per_tensor:  # a scalar scale is what runtimes expect
            scale = graph.squeeze(scale, 0)
            zero = graph.squeeze(zero, 0) if zero is not None else None
        if zero is None:
            zero = graph.node("Sub", [scale, scale])  # zeros of the scale's shape
        zero = graph.node("Cast", [zero], "zero_point", to=KINDS[key])
        at = None if per_tensor else axis
        q = graph.node("QuantizeLinear", [x, scale, zero], axis=at)
        return [graph.node("DequantizeLinear", [q, scale, zero], axis=at)]
    if not per_tensor:
        shape = [1] * len(shape_of(op.input))
        shape[axis] = -1
        scale = graph.reshape(scale, shape)
        zero = graph.reshape(zero, shape) if zero is not None else None
    low, high = (graph.constant(np.float32(n)) for n in op.limits)
    q = graph.node("Round", [graph.node("Div", [x, scale])])
    if zero is None:
        return [graph.node("Mul", [graph.node("Clip", [q, low, high]), scale])]
    real = graph.node("Cast", [zero], to=helper.np_dtype_to_tensor_dtype(np.dtype(np.float32)))
    clipped = graph.node("Clip", [graph.node("Add", [q, real]), low, high])
    return [graph.node("Mul", [graph.node("Sub", [clipped, real]), scale])]
