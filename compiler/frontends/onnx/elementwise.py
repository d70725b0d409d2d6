"""Elementwise operators, softmax and reductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import element_of, shape_of
from mohaq.compiler.frontends.onnx.convert import (
    Array,
    GraphImporter,
    Held,
    Node,
    Spread,
    converts,
)

PLAIN = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softsign": "softsign",
    "Softplus": "softplus",
    "Abs": "abs",
    "Neg": "neg",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
    "Erf": "erf",
    "Sin": "sin",
    "Cos": "cos",
    "Sign": "sign",
    "Floor": "floor",
    "Ceil": "ceil",
    "HardSwish": "hard_swish",
}
PARAMETRIC: dict[str, tuple[str, tuple[tuple[str, float], ...]]] = {
    "LeakyRelu": ("leaky_relu", (("alpha", 0.01),)),
    "ThresholdedRelu": ("thresholded_relu", (("alpha", 1.0),)),
    "Elu": ("elu", (("alpha", 1.0),)),
    "HardSigmoid": ("hard_sigmoid", (("alpha", 0.2), ("beta", 0.5))),
}
"""Operator -> our function and its attributes with their defaults."""

SYMBOLIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: sympy.floor(sympy.sympify(a) / b),
}
"""Arithmetic on sizes."""


@converts(*PLAIN, to="nn.unary")
def plain(work: GraphImporter, node: Node) -> Held:
    """A function without parameters."""
    return work.add(node, nn.UnaryOp(PLAIN[node.kind], work.tensor(node, 0)))


@converts(*PARAMETRIC, to="nn.unary")
def parametric(work: GraphImporter, node: Node) -> Held:
    """A function with attributes."""
    name, attributes = PARAMETRIC[node.kind]
    function = FunctionAttr.of(name, *(node.get(a, default) for a, default in attributes))
    return work.add(node, nn.UnaryOp(function, work.tensor(node, 0)))


@converts("Selu", "Celu", to="nn.unary and nn.binary")
def scaled_elu(work: GraphImporter, node: Node) -> Held:
    """gamma elu(x, alpha); Celu: elu(x, alpha) of x / alpha inside the exponential."""
    x = work.tensor(node, 0)
    if node.kind == "Selu":
        made = work.add(node, nn.UnaryOp(FunctionAttr.of("elu", node.get("alpha", 1.67326)), x))
        return work.add(
            node, nn.UnaryOp(FunctionAttr.of("affine", node.get("gamma", 1.0507)), made)
        )
    alpha = node.get("alpha", 1.0)
    inner = work.add(node, nn.UnaryOp(FunctionAttr.of("affine", 1 / alpha), x))
    made = work.add(node, nn.UnaryOp("elu", inner))
    return work.add(node, nn.UnaryOp(FunctionAttr.of("affine", alpha), made))


@converts("Gelu", to="nn.unary")
def gelu(work: GraphImporter, node: Node) -> Held:
    """The exact form only."""
    if node.get("approximate", "none") != "none":
        raise node.refuse("the tanh approximation of gelu is not exact", "approximate='none'")
    return work.add(node, nn.UnaryOp("gelu", work.tensor(node, 0)))


@converts("PRelu", to="nn.unary and nn.binary")
def prelu(work: GraphImporter, node: Node) -> Held:
    """max(x, 0) + slope min(x, 0)."""
    x, slope = work.tensor(node, 0), work.tensor(node, 1)
    high = work.add(node, nn.UnaryOp("relu", x))
    low = work.add(node, nn.UnaryOp(FunctionAttr.of("clip", float("-inf"), 0.0), x))
    return work.add(node, nn.BinaryOp("add", high, work.add(node, nn.BinaryOp("mul", low, slope))))


@converts("Clip", to="nn.unary")
def clip(work: GraphImporter, node: Node) -> Held:
    """Limits as attributes (to opset 10) or constant inputs."""
    limits = [float("-inf"), float("inf")]
    for position, name in ((1, "min"), (2, "max")):
        if name in node:
            limits[position - 1] = float(node.get(name))
        elif node.given(position):
            limits[position - 1] = float(work.constant(node, position, name))
    return work.add(node, nn.UnaryOp(FunctionAttr.of("clip", *limits), work.tensor(node, 0)))


@converts("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", to="nn.binary")
def binary(work: GraphImporter, node: Node) -> Held:
    """Two operands, or a chain of them."""
    held = [work.held(node, n) for n in range(len(node.inputs))]
    if node.kind in SYMBOLIC and all(isinstance(h, np.ndarray) for h in held):
        return _sizes(node, held[0], held[1])
    if node.kind == "Pow" and isinstance(held[1], np.ndarray) and held[1].size == 1:
        function = {2.0: "square", 0.5: "sqrt", 1.0: "identity", -1.0: "reciprocal"}.get(
            float(held[1].reshape(-1)[0])
        )
        if function:
            return work.add(node, nn.UnaryOp(function, work.tensor(node, 0)))
    kind = {"Sum": "add", "Mean": "add"}.get(node.kind, node.kind.lower())
    whole = node.kind != "Pow" and any(
        isinstance(h, SSAValue) and isinstance(element_of(h), IntegerType) for h in held
    )
    operands = [_operand(work, node, n, whole=whole) for n in range(len(held))]
    made = operands[0]
    if node.get("broadcast") and len(shape_of(operands[1])) < len(shape_of(made)):
        operands[1] = _aligned(work, node, made, operands[1])
    for operand in operands[1:]:
        made = work.add(node, nn.BinaryOp(kind, made, operand))
    if node.kind == "Mean":
        made = work.add(node, nn.UnaryOp(FunctionAttr.of("affine", 1 / len(held)), made))
    return made


def _operand(work: GraphImporter, node: Node, position: int, *, whole: bool) -> SSAValue:
    found = work.held(node, position)
    others = [work.held(node, n) for n in range(len(node.inputs))]
    if isinstance(found, Spread) and _is_small(work, found, others):
        # It repeats what broadcasting repeats anyway.
        return work.as_value(node, found.value, node.inputs[position])
    if isinstance(found, np.ndarray) and found.dtype.kind in "iu" and not whole:
        found = found.astype(np.float32)  # exponents of Pow may be integers
        return work.as_value(node, found, node.inputs[position])
    return work.tensor(node, position)


def _is_small(work: GraphImporter, one: Spread, held: list[Held]) -> bool:
    """Whether another operand has the whole size of a repeated one."""
    whole = [work.extents.of(h) for h in held if isinstance(h, SSAValue)]
    return any(
        len(w) >= len(one.extents)
        and all(b in (a, 1) for a, b in zip(w[-len(one.extents) :], one.extents, strict=True))
        for w in whole
    )


def _aligned(work: GraphImporter, node: Node, big: SSAValue, small: SSAValue) -> SSAValue:
    """Opset 6 broadcasting begins at `axis`; ours at the end."""
    axis = int(node.get("axis", len(shape_of(big)) - len(shape_of(small))))
    missing = len(shape_of(big)) - axis - len(shape_of(small))
    axes = range(len(shape_of(small)), len(shape_of(small)) + missing)
    return work.add(node, nn.UnsqueezeOp(small, list(axes))) if missing else small


def _sizes(node: Node, a: Array, b: Array) -> Array:
    function = np.frompyfunc(SYMBOLIC[node.kind], 2, 1)
    return np.asarray(function(a.astype(object), b.astype(object)), dtype=object)


@converts("Softmax", "LogSoftmax", to="nn.softmax")
def softmax(work: GraphImporter, node: Node) -> Held:
    """Along one extent; before opset 13 over all extents from `axis` on."""
    x = work.tensor(node, 0)
    rank = len(shape_of(x))
    log = node.kind == "LogSoftmax"
    if work.opset >= 13:
        return work.add(node, nn.SoftmaxOp(x, int(node.get("axis", -1)), log=log))
    axis = int(node.get("axis", 1)) % rank
    if axis == rank - 1:
        return work.add(node, nn.SoftmaxOp(x, axis, log=log))
    inner = shape_of(x)[axis:]
    if min(inner) < 0:
        raise node.refuse("it runs over several extents of which one is symbolic", "opset 13")
    flat = work.add(node, nn.ReshapeOp(x, (*([0] * axis), -1) if axis else (1, -1)))
    made = work.add(node, nn.SoftmaxOp(flat, -1, log=log))
    back = (*([0] * axis), *inner) if axis else inner
    return work.add(node, nn.ReshapeOp(made, back))


REDUCTIONS = {
    "ReduceMean": "mean",
    "ReduceSum": "sum",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceL2": "l2",
}


@converts(*REDUCTIONS, to="nn.reduce")
def reduce(work: GraphImporter, node: Node) -> Held:
    """Axes as attribute or input; all of them when there are none."""
    held = work.held(node, 0)
    if isinstance(held, np.ndarray) and node.kind == "ReduceProd":
        total = sympy.Integer(1)
        for one in held.reshape(-1).tolist():
            total = total * one
        shape = (1,) * held.ndim if node.get("keepdims", 1) else ()
        return np.array(total, dtype=object).reshape(shape)
    x = work.tensor(node, 0)
    axes: Sequence[int]
    if "axes" in node:
        axes = node.get("axes")
    elif node.given(1):
        axes = work.numbers(node, 1, "axes")
    else:
        axes = []
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            return x
        axes = range(len(shape_of(x)))
    keep = bool(node.get("keepdims", 1))
    return work.add(node, nn.ReduceOp(REDUCTIONS[node.kind], x, list(axes), keep=keep))


@converts("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceL1", to="nn.reduce")
def reduce_of(work: GraphImporter, node: Node) -> Held:
    """A sum of a function of the elements, or a function of the sum."""
    before = {"ReduceSumSquare": "square", "ReduceL1": "abs", "ReduceLogSumExp": "exp"}
    x = work.tensor(node, 0)
    if node.kind in before:
        x = work.add(node, nn.UnaryOp(before[node.kind], x))
    rank = len(shape_of(x))
    axes = node.get("axes") or (work.numbers(node, 1, "axes") if node.given(1) else [])
    if not axes and node.get("noop_with_empty_axes", 0):
        raise node.refuse("it reduces nothing")
    keep = bool(node.get("keepdims", 1))
    made = work.add(node, nn.ReduceOp("sum", x, list(axes) or list(range(rank)), keep=keep))
    return work.add(node, nn.UnaryOp("log", made)) if "Log" in node.kind else made
