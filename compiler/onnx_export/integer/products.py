"""`qnn.matmul`: MatMulInteger where that is exact, MatMul of int64 elsewhere.

Both operands of MatMulInteger are uint8, signed ones with zero point 128. Kernels for one signed operand may
saturate pairs of products to 16 bits on x86 without VNNI (onnxruntime's documentation on
quantization, "U8S8"); with two unsigned ones no kernel does.
"""

from __future__ import annotations

import numpy as np
import onnx

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import int_width
from mohaq.compiler.onnx_export.integer.work import INT64, Array, IntegerWork, converts, name_of

MIDDLE = 128
"""Zero point that makes a signed byte an unsigned one."""

INT32_SUM = 2**31


@converts(qnn.MatmulOp)
def matmul(work: IntegerWork, op: qnn.MatmulOp) -> list[str]:
    """x W^T.

    Raises:
        MohaqError: the sum may saturate, so that the order of its additions counts.
    """
    if op.acc.saturates:
        raise MohaqError(
            "a sum that may saturate after any of its additions has no integer ONNX form",
            where=f"the product with '{name_of(op.weight)}'",
            why=f"|sum| can reach {op.acc.bound.data}, the accumulator has {op.acc.width.data} bits",
            hint="fewer bits for the weights or the input of this layer, or leave --target out",
        )
    held = work.array(op.weight)
    if held is not None and in_bytes(op, held):
        return [_bytes(work, op, held)]
    if held is not None:
        weight = work.narrow(np.ascontiguousarray(held.T), f"{name_of(op.weight)}.T")
    else:
        weight = work.graph.node("Transpose", [work.value(op.weight)], perm=[1, 0])
    return [work.graph.node("MatMul", [work.value(op.input), weight])]


def in_bytes(op: qnn.MatmulOp, weight: Array) -> bool:
    """Whether operands fit bytes and every sum, of the shifted operands too, fits 32 bits."""
    widths = (int_width(op.input)[0], int_width(op.weight)[0])
    fits = op.acc.bound.data < INT32_SUM and weight.shape[1] * 255 * 255 < INT32_SUM
    return max(widths) <= 8 and fits


def _bytes(work: IntegerWork, op: qnn.MatmulOp, held: Array) -> str:
    graph, top = work.graph, work.top
    middles = [MIDDLE * int_width(v)[1] for v in (op.input, op.weight)]
    x = work.value(op.input)
    if middles[0]:
        x = graph.node("Add", [x, work.constant(middles[0])])
    x = graph.node("Cast", [x], "byte", to=onnx.TensorProto.UINT8)
    moved = np.ascontiguousarray((held.T + middles[1]).astype(np.uint8))
    weight = top.constant(moved, f"{name_of(op.weight)}.T")
    zeros = [top.constant(np.uint8(n), "zero_point") for n in middles]
    total = graph.node("MatMulInteger", [x, weight, *zeros])
    return graph.node("Cast", [total], "sum", to=INT64)
