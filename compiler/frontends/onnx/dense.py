"""Products, norms, embeddings."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.einsum import UnwritableError
from mohaq.compiler.frontends.einsum import einsum as written
from mohaq.compiler.frontends.onnx.convert import (
    Array,
    GraphImporter,
    GridConstant,
    Held,
    Node,
    converts,
)


def _constant(found: Held) -> Array | None:
    if isinstance(found, GridConstant):
        return found.array
    if isinstance(found, np.ndarray) and found.dtype != object:
        return found
    return None


def weight_value(
    work: GraphImporter, node: Node, position: int, title: str, array: Array, axis: int | None
) -> SSAValue:
    """A weight that may have come in a grid, whose channels now lie on `axis`."""
    held = work.held(node, position)
    if isinstance(held, GridConstant):
        from mohaq.compiler.frontends.onnx.quantized import quantized_parameter

        return quantized_parameter(work, node, title, held, array, axis)
    return work.parameter(title, np.ascontiguousarray(array))


def _linear(
    work: GraphImporter,
    node: Node,
    x: SSAValue,
    position: int,
    weight: Array,
    bias: SSAValue | None,
    *,
    turned: bool,
) -> SSAValue:
    """x W^T with W [N, K] = the input at `position`, or its transpose (`turned`)."""
    held = work.held(node, position)
    axis = None
    if isinstance(held, GridConstant):
        axis = 1 - held.grid.axis if turned else held.grid.axis
    label = work.label(node, "linear")
    ours = weight.T if turned else weight
    value = weight_value(work, node, position, f"{label}.weight", ours, axis)
    return work.add(node, nn.LinearOp(label, x, value, bias))


@converts("MatMul", to="nn.linear or nn.matmul")
def matmul(work: GraphImporter, node: Node) -> Held:
    """A linear layer when one side is a constant matrix."""
    left, right = (_constant(work.held(node, n)) for n in (0, 1))
    if right is not None and right.ndim == 2:
        x = work.tensor(node, 0)
        return _linear(work, node, x, 1, right, None, turned=True)
    if left is not None and left.ndim == 2 and len(shape_of(work.tensor(node, 1))) == 2:
        # W x = (x^T W^T)^T
        x = work.add(node, nn.TransposeOp(work.tensor(node, 1), (1, 0)))
        made = _linear(work, node, x, 0, left, None, turned=False)
        return work.add(node, nn.TransposeOp(made, (1, 0)))
    a, b = work.tensor(node, 0), work.tensor(node, 1)
    one_a, one_b = len(shape_of(a)) == 1, len(shape_of(b)) == 1
    if one_a:
        a = work.add(node, nn.UnsqueezeOp(a, [0]))
    if one_b:
        b = work.add(node, nn.UnsqueezeOp(b, [1]))
    made = work.add(node, nn.MatmulOp(a, b))
    rank = len(shape_of(made))
    gone = [rank - 2] * one_a + [rank - 1] * one_b
    return work.add(node, nn.SqueezeOp(made, gone)) if gone else made


@converts("Gemm", to="nn.linear")
def gemm(work: GraphImporter, node: Node) -> Held:
    """alpha A' B' + beta C."""
    a = work.tensor(node, 0)
    if node.get("transA", 0):
        a = work.add(node, nn.TransposeOp(a, (1, 0)))
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    weight = _constant(work.held(node, 1))
    turned = bool(node.get("transB", 0))
    constant_bias = _constant(work.held(node, 2)) if node.given(2) else None
    if weight is not None:
        outputs = weight.shape[0 if turned else 1]
        bias = None
        if constant_bias is not None and constant_bias.size in (1, outputs) and alpha == 1.0:
            flat = np.broadcast_to(constant_bias.reshape(-1), (outputs,)) * beta
            bias = work.parameter(node.inputs[2], np.ascontiguousarray(flat, dtype=np.float32))
        made = _linear(work, node, a, 1, weight, bias, turned=not turned)
        if bias is not None:
            return made
    else:
        b = work.tensor(node, 1)
        if turned:
            b = work.add(node, nn.TransposeOp(b, (1, 0)))
        made = work.add(node, nn.MatmulOp(a, b))
    if alpha != 1.0:
        made = work.add(node, nn.UnaryOp(FunctionAttr.of("affine", alpha), made))
    if node.given(2):
        c = work.tensor(node, 2)
        if beta != 1.0:
            c = work.add(node, nn.UnaryOp(FunctionAttr.of("affine", beta), c))
        made = work.add(node, nn.BinaryOp("add", made, c))
    return made


@converts("Einsum", to="nn.matmul, nn.reduce and nn.transpose")
def einsum(work: GraphImporter, node: Node) -> Held:
    """Of one or two tensors."""
    tensors = [work.tensor(node, n) for n in range(len(node.inputs))]
    try:
        return written(str(node.get("equation")), tensors, lambda op: work.add(node, op))
    except UnwritableError as error:
        raise node.refuse(str(error), "MatMul and Transpose") from None


@converts("BatchNormalization", to="nn.batch_norm")
def batch_norm(work: GraphImporter, node: Node) -> Held:
    """At inference."""
    if node.get("training_mode", 0) or len([o for o in node.outputs if o]) > 1:
        raise node.refuse("it is in training mode", "export the model for inference")
    if not node.get("spatial", 1):
        raise node.refuse("spatial=0 is not supported")
    label = work.label(node, "norm")
    gamma, beta, mean, var = (work.tensor(node, n) for n in range(1, 5))
    epsilon = float(node.get("epsilon", 1e-5))
    x = work.tensor(node, 0)
    return work.add(node, nn.BatchNormOp(label, x, gamma, beta, mean, var, epsilon=epsilon))


@converts("LayerNormalization", to="nn.layer_norm")
def layer_norm(work: GraphImporter, node: Node) -> Held:
    """Over the last extents."""
    if len([o for o in node.outputs if o]) > 1:
        raise node.refuse("it gives mean and deviation")
    x = work.tensor(node, 0)
    axis = int(node.get("axis", -1)) % len(shape_of(x))
    beta = work.tensor(node, 2) if node.given(2) else None
    epsilon = float(node.get("epsilon", 1e-5))
    label = work.label(node, "norm")
    gamma = work.tensor(node, 1)
    return work.add(node, nn.LayerNormOp(label, x, gamma, beta, axis=axis, epsilon=epsilon))


@converts("InstanceNormalization", to="nn.layer_norm and nn.binary")
def instance_norm(work: GraphImporter, node: Node) -> Held:
    """Over all but the batch and the channels of [B, C, ...]."""
    x = work.tensor(node, 0)
    label = work.label(node, "norm")
    op = nn.LayerNormOp(label, x, axis=2, epsilon=float(node.get("epsilon", 1e-5)))
    made = work.add(node, op)
    for position, kind, name in ((1, "mul", "scale"), (2, "add", "bias")):
        column = work.constant(node, position, name).reshape(-1, *[1] * (len(shape_of(x)) - 2))
        made = work.add(node, nn.BinaryOp(kind, made, work.parameter(f"{label}.{name}", column)))
    return made
