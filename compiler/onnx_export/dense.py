"""Layers without recurrence, and elementwise operations."""

from __future__ import annotations

import numpy as np

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.onnx_export.exporter import Exporter, cannot, exports
from mohaq.compiler.onnx_export.functions import apply

BINARY = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "max": "Max",
    "min": "Min",
}
REDUCE = {
    "mean": "ReduceMean",
    "sum": "ReduceSum",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "prod": "ReduceProd",
    "l2": "ReduceL2",
}


@exports(nn.LinearOp)
def linear(work: Exporter, op: nn.LinearOp) -> list[str]:
    """MatMul and Add."""
    made = work.graph.node("MatMul", [work.value(op.input), work.transposed(op.weight)], op.label)
    if op.bias is not None:
        made = work.graph.node("Add", [made, work.value(op.bias)], op.label)
    return [work.result(op, made)]


@exports(nn.Conv1dOp)
def conv(work: Exporter, op: nn.Conv1dOp) -> list[str]:
    """Conv."""
    inputs = [work.value(op.input), work.value(op.weight)]
    inputs += [work.value(op.bias)] if op.bias is not None else []
    made = work.graph.node(
        "Conv",
        inputs,
        op.label,
        strides=[op.stride.value.data],
        dilations=[op.dilation.value.data],
        pads=list(op.pads),
        group=op.groups.value.data,
    )
    return [made]


@exports(nn.Pool1dOp)
def pool(work: Exporter, op: nn.Pool1dOp) -> list[str]:
    """MaxPool or AveragePool."""
    kind = "MaxPool" if op.kind.data == "max" else "AveragePool"
    size, stride = op.kernel.value.data, op.stride.value.data
    return [work.graph.node(kind, [work.value(op.input)], kernel_shape=[size], strides=[stride])]


@exports(nn.BatchNormOp)
def batch_norm(work: Exporter, op: nn.BatchNormOp) -> list[str]:
    """BatchNormalization, between transposes when the channels are not extent 1."""
    graph, axis, x = work.graph, op.axis.value.data, work.value(op.input)
    rank = len(shape_of(op.input))
    if rank == 1:
        raise cannot(op, "batch normalization of a vector")
    order = list(range(rank))
    order[1], order[axis] = order[axis], order[1]
    if axis != 1:
        x = graph.node("Transpose", [x], perm=order)
    inputs = [x, *(work.value(v) for v in (op.gamma, op.beta, op.mean, op.var))]
    epsilon = float(op.epsilon.value.data)
    made = graph.node("BatchNormalization", inputs, op.label, epsilon=epsilon)
    return [made if axis == 1 else graph.node("Transpose", [made], perm=order)]


@exports(nn.LayerNormOp)
def layer_norm(work: Exporter, op: nn.LayerNormOp) -> list[str]:
    """LayerNormalization."""
    axis = op.axis.value.data
    inner = shape_of(op.input)[axis:]
    if op.gamma is not None:
        gamma = work.value(op.gamma)
    elif DYNAMIC in inner:
        raise cannot(op, "it normalizes a symbolic extent without a gamma")
    else:
        gamma = work.graph.constant(np.ones(inner, dtype=np.float32))
    beta = work.value(op.beta) if op.beta is not None else ""
    epsilon = float(op.epsilon.value.data)
    inputs = [work.value(op.input), gamma, beta]
    return [work.graph.node("LayerNormalization", inputs, op.label, axis=axis, epsilon=epsilon)]


@exports(nn.EmbeddingOp)
def embedding(work: Exporter, op: nn.EmbeddingOp) -> list[str]:
    """Gather."""
    inputs = [work.value(op.table), work.value(op.indices)]
    return [work.graph.node("Gather", inputs, op.label, axis=0)]


@exports(nn.UnaryOp)
def unary(work: Exporter, op: nn.UnaryOp) -> list[str]:
    """The function's nodes."""
    return [apply(work.graph, op.function, work.value(op.input))]


@exports(nn.BinaryOp)
def binary(work: Exporter, op: nn.BinaryOp) -> list[str]:
    """Add, Sub, Mul, Div, Pow, Max or Min."""
    return [work.graph.node(BINARY[op.kind.data], [work.value(op.lhs), work.value(op.rhs)])]


@exports(nn.MatmulOp)
def matmul(work: Exporter, op: nn.MatmulOp) -> list[str]:
    """MatMul."""
    return [work.graph.node("MatMul", [work.value(op.lhs), work.value(op.rhs)])]


@exports(nn.SoftmaxOp)
def softmax(work: Exporter, op: nn.SoftmaxOp) -> list[str]:
    """Softmax or LogSoftmax."""
    kind = "LogSoftmax" if op.log.value.data else "Softmax"
    return [work.graph.node(kind, [work.value(op.input)], axis=op.axis.value.data)]


@exports(nn.ReduceOp)
def reduce(work: Exporter, op: nn.ReduceOp) -> list[str]:
    """A Reduce operator."""
    axes = work.graph.integers(op.axis_numbers)
    keep = int(bool(op.keep.value.data))
    return [work.graph.node(REDUCE[op.kind.data], [work.value(op.input), axes], keepdims=keep)]
