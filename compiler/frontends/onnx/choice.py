"""Comparisons, masks, choices, places of maxima, changes of element type.

A tensor of truth values that is computed from data is a float32 tensor of 0 and 1.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import element_of, shape_of
from mohaq.compiler.frontends.onnx.convert import (
    FLOATS,
    INTEGERS,
    GraphImporter,
    Held,
    Node,
    Spread,
    converts,
)
from mohaq.compiler.frontends.onnx.sizes import as_sizes, compare_sizes

RELATIONS = {
    "Equal": "equal",
    "Greater": "greater",
    "Less": "less",
    "GreaterOrEqual": "greater_or_equal",
    "LessOrEqual": "less_or_equal",
}


def _whole(value: SSAValue) -> bool:
    return isinstance(element_of(value), IntegerType)


def _operand(work: GraphImporter, node: Node, position: int, *, whole: bool) -> SSAValue:
    """An input with the element type of its partner; infinities become the largest numbers."""
    held = work.held(node, position)
    if isinstance(held, Spread):
        held = held.value
    if isinstance(held, np.ndarray) and held.dtype != object:
        if whole:
            held = held.astype(np.int64)
        else:
            limit = np.finfo(np.float32).max
            held = np.asarray(np.clip(held.astype(np.float32), -limit, limit))
    return work.as_value(node, held, node.inputs[position])


@converts(*RELATIONS, to="nn.compare, or sizes at import")
def compare(work: GraphImporter, node: Node) -> Held:
    """0 and 1; comparisons of sizes are decided at import."""
    held = [work.held(node, n) for n in (0, 1)]
    if all(isinstance(h, np.ndarray) for h in held):
        return compare_sizes(node, held)
    whole = any(_whole(h) for h in held if isinstance(h, SSAValue))
    a, b = (_operand(work, node, n, whole=whole) for n in (0, 1))
    return work.add(node, nn.CompareOp(RELATIONS[node.kind], a, b))


@converts("Not", "And", "Or", "Xor", to="nn.unary or nn.binary")
def logic(work: GraphImporter, node: Node) -> Held:
    """Of truth values: 1 - x, minimum, maximum, difference."""
    values = [_operand(work, node, n, whole=False) for n in range(len(node.inputs))]
    if node.kind == "Not":
        return work.add(node, nn.UnaryOp(FunctionAttr.of("affine", -1.0, 1.0), values[0]))
    if node.kind == "Xor":
        return work.add(
            node, nn.UnaryOp("abs", work.add(node, nn.BinaryOp("sub", values[0], values[1])))
        )
    kind = "min" if node.kind == "And" else "max"
    return work.add(node, nn.BinaryOp(kind, values[0], values[1]))


@converts("Where", to="nn.select, or sizes at import")
def where(work: GraphImporter, node: Node) -> Held:
    """Element by element; a choice among sizes or of one constant condition at import."""
    condition = work.held(node, 0)
    chosen = [work.held(node, n) for n in (1, 2)]
    if isinstance(condition, np.ndarray):
        if all(isinstance(c, np.ndarray) for c in chosen):
            return as_sizes(np.where(condition, *(c.astype(object) for c in chosen)))
        if condition.size == 1:
            return chosen[0 if condition.reshape(-1)[0] else 1]
    whole = any(_whole(c) for c in chosen if isinstance(c, SSAValue))
    truth = _operand(work, node, 0, whole=False)
    a, b = (_operand(work, node, n, whole=whole) for n in (1, 2))
    made = work.add(node, nn.SelectOp(truth, a, b))
    for one in chosen:
        if isinstance(one, Spread) and work.extents.of(made) != one.extents:
            raise node.refuse("its input is a tensor repeated to a symbolic size")
    return made


@converts("ArgMax", "ArgMin", to="nn.arg_reduce")
def places(work: GraphImporter, node: Node) -> Held:
    """Along one extent, the first place."""
    if node.get("select_last_index", 0):
        raise node.refuse("it gives the last of equal places", "select_last_index = 0")
    axis, keep = int(node.get("axis", 0)), bool(node.get("keepdims", 1))
    kind = node.kind.removeprefix("Arg").lower()
    return work.add(node, nn.ArgReduceOp(kind, work.tensor(node, 0), axis, keep=keep))


@converts("Cast", "CastLike", to="nn.cast, or nothing")
def cast(work: GraphImporter, node: Node) -> Held:
    """Between kinds of floats nothing happens: the program computes in float32."""
    held = work.held(node, 0)
    to = _target(work, node)
    if isinstance(held, np.ndarray) and held.dtype == object:
        return held
    value = work.tensor(node, 0)
    if to in FLOATS:
        return work.add(node, nn.CastOp(value, whole=False)) if _whole(value) else value
    if to in INTEGERS:
        return value if _whole(value) else work.add(node, nn.CastOp(value, whole=True))
    if to == onnx.TensorProto.BOOL:
        zero = np.zeros([1] * len(shape_of(value)), np.int64 if _whole(value) else np.float32)
        zeros = work.parameter(f"{node.name}.zero", zero)
        same = work.add(node, nn.CompareOp("equal", value, zeros))
        return work.add(node, nn.UnaryOp(FunctionAttr.of("affine", -1.0, 1.0), same))
    raise node.refuse(f"it casts to {helper.tensor_dtype_to_string(to)}", "int32 or int64")


def _target(work: GraphImporter, node: Node) -> int:
    """The element type that a cast gives."""
    if node.kind == "CastLike":
        like = work.held(node, 1)
        if isinstance(like, np.ndarray) and like.dtype != object:
            return int(helper.np_dtype_to_tensor_dtype(like.dtype))
        index = isinstance(like, SSAValue) and _whole(like)
        return int(onnx.TensorProto.INT64 if index else onnx.TensorProto.FLOAT)
    to = node.get("to")
    if isinstance(to, str):  # opset 6 and older name the type
        to = onnx.TensorProto.DataType.Value(to)
    return int(to)
