"""Products, convolutions, norms, embeddings."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
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


def window_pads(node: Node, steps: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding before and after from `pads` or `auto_pad`."""
    auto = node.get("auto_pad", "NOTSET")
    if auto in {"NOTSET", "VALID"}:
        pads = node.get("pads") or [0, 0]
        return int(pads[0]), int(pads[1])
    if stride == 1:
        total = dilation * (kernel - 1)
    elif steps == DYNAMIC:
        raise node.refuse(f"auto_pad {auto} with a stride depends on the length", "explicit pads")
    else:
        count = -(-steps // stride)
        total = max((count - 1) * stride + dilation * (kernel - 1) + 1 - steps, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if auto == "SAME_UPPER" else (large, small)


@converts("Conv", to="nn.conv1d")
def conv(work: GraphImporter, node: Node) -> Held:
    """Along one extent; a 2-D convolution only where one extent of kernel and input is 1."""
    x = work.tensor(node, 0)
    weight = work.constant(node, 1, "weight")
    gone: int | None = None
    pads = list(node.get("pads") or [0] * (2 * (weight.ndim - 2)))
    strides = list(node.get("strides") or [1] * (weight.ndim - 2))
    dilations = list(node.get("dilations") or [1] * (weight.ndim - 2))
    if weight.ndim == 4:
        for place in (0, 1):
            flat = weight.shape[2 + place] == 1 and shape_of(x)[2 + place] == 1
            if flat and pads[place] == pads[place + 2] == 0:
                gone = place
        if gone is None:
            raise node.refuse("it is a convolution over two extents", "a convolution over time")
        x = work.add(node, nn.SqueezeOp(x, [2 + gone]))
        weight = weight.squeeze(2 + gone)
        keep = 1 - gone
        pads, strides = [pads[keep], pads[keep + 2]], [strides[keep]]
        dilations = [dilations[keep]]
    elif weight.ndim != 3:
        raise node.refuse(f"it is a convolution over {weight.ndim - 2} extents")
    stride, dilation = int(strides[0]), int(dilations[0])
    if node.get("auto_pad", "NOTSET") in {"NOTSET", "VALID"}:
        around = (int(pads[0]), int(pads[1]))
    else:
        around = window_pads(node, shape_of(x)[2], weight.shape[2], stride, dilation)
    label = work.label(node, "conv")
    op = nn.Conv1dOp(
        label,
        x,
        weight_value(work, node, 1, f"{label}.weight", weight, 0),
        work.tensor(node, 2) if node.given(2) else None,
        stride=stride,
        dilation=dilation,
        pads=around,
        groups=int(node.get("group", 1)),
    )
    made = work.add(node, op)
    return made if gone is None else work.add(node, nn.UnsqueezeOp(made, [2 + gone]))


@converts("MaxPool", "AveragePool", to="nn.pool1d")
def pool(work: GraphImporter, node: Node) -> Held:
    """Windows over one extent, without padding."""
    x = work.tensor(node, 0)
    kernel = [int(k) for k in node.get("kernel_shape")]
    if len(kernel) != 1:
        raise node.refuse(f"it pools over {len(kernel)} extents", "pooling over time")
    stride = int((node.get("strides") or [1])[0])
    if any(node.get("pads") or []) or node.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        raise node.refuse("it pads", "an explicit Pad before it")
    if node.get("ceil_mode", 0) or int((node.get("dilations") or [1])[0]) != 1:
        raise node.refuse("ceil_mode and dilations are not supported")
    if len([o for o in node.outputs if o]) > 1:
        raise node.refuse("it gives indices")
    kind = "max" if node.kind == "MaxPool" else "mean"
    return work.add(node, nn.Pool1dOp(kind, x, kernel[0], stride))


@converts("GlobalAveragePool", "GlobalMaxPool", to="nn.reduce")
def global_pool(work: GraphImporter, node: Node) -> Held:
    """Mean or maximum over everything but batch and channels."""
    x = work.tensor(node, 0)
    axes = list(range(2, len(shape_of(x))))
    kind = "mean" if node.kind == "GlobalAveragePool" else "max"
    return work.add(node, nn.ReduceOp(kind, x, axes, keep=True))


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
