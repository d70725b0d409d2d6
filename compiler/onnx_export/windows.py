"""Convolutions and pooling over two extents; comparisons, choices and whole numbers."""

from __future__ import annotations

from onnx import TensorProto
from xdsl.dialects.builtin import IntegerType

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import element_of
from mohaq.compiler.onnx_export.exporter import Exporter, exports

RELATIONS = {
    "equal": "Equal",
    "less": "Less",
    "less_or_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_or_equal": "GreaterOrEqual",
}


@exports(nn.Conv2dOp)
def conv(work: Exporter, op: nn.Conv2dOp) -> list[str]:
    """Conv."""
    inputs = [work.value(op.input), work.value(op.weight)]
    inputs += [work.value(op.bias)] if op.bias is not None else []
    made = work.graph.node(
        "Conv",
        inputs,
        op.label,
        strides=list(op.steps),
        dilations=list(op.reach),
        pads=list(op.zeros),
        group=op.groups.value.data,
    )
    return [made]


@exports(nn.Pool2dOp)
def pool(work: Exporter, op: nn.Pool2dOp) -> list[str]:
    """MaxPool or AveragePool."""
    kind = "MaxPool" if op.kind.data == "max" else "AveragePool"
    window, steps = list(op.window), list(op.steps)
    return [work.graph.node(kind, [work.value(op.input)], kernel_shape=window, strides=steps)]


@exports(nn.CompareOp)
def compare(work: Exporter, op: nn.CompareOp) -> list[str]:
    """A comparison, as 0 and 1."""
    kind = RELATIONS[op.relation.data]
    made = work.graph.node(kind, [work.value(op.lhs), work.value(op.rhs)])
    return [work.graph.node("Cast", [made], to=TensorProto.FLOAT)]


@exports(nn.SelectOp)
def select(work: Exporter, op: nn.SelectOp) -> list[str]:
    """Where."""
    truth = work.graph.node("Cast", [work.value(op.condition)], to=TensorProto.BOOL)
    return [work.graph.node("Where", [truth, work.value(op.chosen), work.value(op.other)])]


@exports(nn.CastOp)
def cast(work: Exporter, op: nn.CastOp) -> list[str]:
    """Cast."""
    whole = isinstance(element_of(op.result), IntegerType)
    to = TensorProto.INT64 if whole else TensorProto.FLOAT
    return [work.graph.node("Cast", [work.value(op.input)], to=to)]


@exports(nn.ArgReduceOp)
def arg_reduce(work: Exporter, op: nn.ArgReduceOp) -> list[str]:
    """ArgMax or ArgMin."""
    kind = "ArgMax" if op.kind.data == "max" else "ArgMin"
    axis, keep = op.axis.value.data, int(bool(op.keep.value.data))
    return [work.graph.node(kind, [work.value(op.input)], axis=axis, keepdims=keep)]
