"""Comparisons, masks, choices, places of maxima, changes of element type.

A tensor of truth values is a float32 tensor of 0 and 1 here.
"""

from __future__ import annotations

import torch
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.pytorch.elementwise import is_whole
from mohaq.compiler.frontends.pytorch.importer import Call, Filled, Held, Importer, handles

RELATIONS = {
    "eq": "equal",
    "lt": "less",
    "le": "less_or_equal",
    "gt": "greater",
    "ge": "greater_or_equal",
    "ne": "equal",
}


def _beside(call: Call, found: Held, other: SSAValue, title: str) -> SSAValue:
    """A number or tensor as a value with the element type of another one."""
    if isinstance(found, Filled):
        found = found.value
    if isinstance(found, (bool, int, float)):
        limit = torch.finfo(torch.float32).max  # parameters are finite; so is what is compared
        kind = torch.int64 if is_whole(other) else torch.float32
        held = torch.tensor([max(-limit, min(limit, found))]).to(kind)
        return call.work.parameter(title, held)
    return call.work.as_value(call, found, title)


def _not(call: Call, x: SSAValue) -> SSAValue:
    return call.add(nn.UnaryOp(FunctionAttr.of("affine", -1.0, 1.0), x))


@handles(*(f"aten.{n}" for n in RELATIONS), to="nn.compare")
def compare(_: Importer, call: Call) -> Held:
    """0 and 1, of two tensors or a tensor and a number."""
    x = call.tensor("self")
    other = _beside(call, call.raw("other"), x, f"{call.node.name}.number")
    if is_whole(other) != is_whole(x):
        raise call.refuse("it compares whole numbers with real ones")
    name = call.name.removeprefix("aten.")
    made = call.add(nn.CompareOp(RELATIONS[name], x, other))
    return _not(call, made) if name == "ne" else made


@handles("aten.logical_not", "aten.bitwise_not", to="nn.unary")
def negated(_: Importer, call: Call) -> Held:
    """1 - x of truth values."""
    _check_truth(call, "self")
    return _not(call, call.tensor("self"))


@handles("aten.logical_and", "aten.bitwise_and", "aten.__and__", "aten.logical_or",
         "aten.bitwise_or", "aten.__or__", to="nn.binary")  # fmt: skip
def combined(_: Importer, call: Call) -> Held:
    """Minimum and maximum of truth values."""
    _check_truth(call, "self")
    _check_truth(call, "other")
    kind = "min" if "and" in call.name else "max"
    return call.add(nn.BinaryOp(kind, call.tensor("self"), call.tensor("other")))


@handles("aten.any", "aten.all", to="nn.reduce")
def quantified(_: Importer, call: Call) -> Held:
    """Maximum and minimum of truth values."""
    _check_truth(call, "self")
    x = call.tensor("self")
    axes = call.numbers("dim") or list(range(len(shape_of(x))))
    kind = "max" if call.name == "aten.any" else "min"
    return call.add(nn.ReduceOp(kind, x, axes, keep=bool(call.raw("keepdim", False))))


def _check_truth(call: Call, name: str) -> None:
    node = call.argument(name)
    value = getattr(node, "meta", {}).get("val")
    if isinstance(value, torch.Tensor) and value.dtype != torch.bool:
        raise call.refuse(f"its operand holds {value.dtype}, no truth values", "a comparison")


@handles("aten.where", "aten.masked_fill", "aten.masked_fill_", to="nn.select")
def where(_: Importer, call: Call) -> Held:
    """Element by element; -inf is the lowest finite number."""
    if "self" not in call:
        raise call.refuse("the places of what holds depend on data", "where(mask, a, b)")
    x = call.tensor("self") if not isinstance(call.raw("self"), (int, float, Filled)) else None
    if call.name.startswith("aten.masked_fill"):
        if x is None:
            raise call.refuse("its input is a constant of the input's size")
        value = _beside(call, call.raw("value"), x, f"{call.node.name}.value")
        return call.add(nn.SelectOp(call.tensor("mask"), value, x))
    condition = call.tensor("condition")
    if x is None:
        other = call.tensor("other")
        x = _beside(call, call.raw("self"), other, f"{call.node.name}.self")
    else:
        other = _beside(call, call.raw("other"), x, f"{call.node.name}.other")
    return call.add(nn.SelectOp(condition, x, other))


@handles("aten.argmax", "aten.argmin", to="nn.arg_reduce")
def places(_: Importer, call: Call) -> Held:
    """Along one extent."""
    if "dim" not in call:
        raise call.refuse("it looks for a place in the whole tensor", "a dim")
    kind = call.name.removeprefix("aten.arg")
    keep = bool(call.raw("keepdim", False))
    return call.add(nn.ArgReduceOp(kind, call.tensor("self"), call.number("dim"), keep=keep))


@handles("aten.std", "aten.var", "aten.std_mean", "aten.var_mean",
         to="nn.reduce, nn.binary and nn.unary")  # fmt: skip
def spread(work: Importer, call: Call) -> Held:
    """Mean of squared differences from the mean, with the correction that torch has."""
    x = call.tensor("self")
    rank = len(shape_of(x))
    axes = [int(a) % rank for a in call.numbers("dim")] or list(range(rank))
    correction = call.real("correction", 1.0) if call.raw("unbiased", True) else 0.0
    keep = bool(call.raw("keepdim", False))
    mean = call.add(nn.ReduceOp("mean", x, axes, keep=True))
    square = call.add(nn.UnaryOp("square", call.add(nn.BinaryOp("sub", x, mean))))
    made: SSAValue
    if correction == 0.0:
        made = call.add(nn.ReduceOp("mean", square, axes, keep=keep))
    else:
        extents = [work.extents.of(x)[a] for a in axes]
        if not all(isinstance(e, int) for e in extents):
            count = _counted(call, x, axes, keep=keep)
            less = call.add(nn.UnaryOp(FunctionAttr.of("affine", 1.0, -correction), count))
            total = call.add(nn.ReduceOp("sum", square, axes, keep=keep))
            made = call.add(nn.BinaryOp("div", total, less))
        else:
            count_of = 1
            for e in extents:
                count_of *= e
            if count_of <= correction:
                raise call.refuse("it divides by zero: one element", "correction=0")
            total = call.add(nn.ReduceOp("sum", square, axes, keep=keep))
            scale = FunctionAttr.of("affine", 1.0 / (count_of - correction), 0.0)
            made = call.add(nn.UnaryOp(scale, total))
    if "std" in call.name:
        made = call.add(nn.UnaryOp("sqrt", made))
    if call.name.endswith("_mean"):
        return made, mean if keep else call.add(nn.SqueezeOp(mean, axes))
    return made


def _counted(call: Call, x: SSAValue, axes: list[int], *, keep: bool) -> SSAValue:
    """Number of elements that are reduced, where it is symbolic: a sum of ones."""
    ones = call.add(nn.CompareOp("equal", x, x))
    return call.add(nn.ReduceOp("sum", ones, axes, keep=keep))


@handles("aten.to", "aten._to_copy", "aten.type_as", "aten.float", to="nn.cast, or nothing")
def cast(_: Importer, call: Call) -> Held:
    """Between real numbers, whole numbers and truth values; nothing between kinds of reals."""
    name = "self" if "self" in call else "input" if "input" in call else "a"
    held = call.raw(name)
    value = call.node.meta.get("val")
    if not isinstance(held, SSAValue) or not isinstance(value, torch.Tensor):
        return held
    if value.dtype == torch.bool:
        before = getattr(call.argument(name), "meta", {}).get("val")
        if isinstance(before, torch.Tensor) and before.dtype == torch.bool:
            return held
        zero = _beside(call, 0, held, f"{call.node.name}.zero")
        return _not(call, call.add(nn.CompareOp("equal", held, zero)))
    whole = not value.dtype.is_floating_point
    return held if whole == is_whole(held) else call.add(nn.CastOp(held, whole=whole))
