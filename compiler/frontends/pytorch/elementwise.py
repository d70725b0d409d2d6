"""Elementwise operations, softmax and reductions."""

from __future__ import annotations

import torch
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import element_of, shape_of
from mohaq.compiler.frontends.pytorch.importer import (
    Call,
    Filled,
    Held,
    Importer,
    NotKnown,
    Repeated,
    handles,
)

PLAIN = {
    "relu": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "abs": "abs",
    "neg": "neg",
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "square": "square",
    "reciprocal": "reciprocal",
    "erf": "erf",
    "sin": "sin",
    "cos": "cos",
    "sign": "sign",
    "floor": "floor",
    "ceil": "ceil",
    "silu": "silu",
    "hardswish": "hard_swish",
}
SELU = (1.6732632423543772, 1.0507009873554805)
"""(alpha, scale) as in torch; G. Klambauer et al., "Self-Normalizing Neural Networks", 2017."""
NOTHING = (
    "alias",
    "clone",
    "contiguous",
    "detach",
    "detach_",
    "dropout",
    "feature_dropout",
    "lift_fresh_copy",
    "_assert_tensor_metadata",
    "expand_as_self",
)


def _one(call: Call) -> SSAValue:
    return call.tensor("self" if "self" in call else "input")


@handles(*(f"aten.{n}" for n in PLAIN), *(f"aten.{n}_" for n in PLAIN), to="nn.unary")
def plain(_: Importer, call: Call) -> Held:
    """A function without parameters."""
    name = PLAIN[call.name.removeprefix("aten.").removesuffix("_")]
    return call.add(nn.UnaryOp(name, _one(call)))


@handles("aten.rsqrt", "aten.log1p", "aten.expm1", to="nn.unary")
def composed(_: Importer, call: Call) -> Held:
    """Two functions one after the other."""
    x = _one(call)
    if call.name == "aten.rsqrt":
        return call.add(nn.UnaryOp("reciprocal", call.add(nn.UnaryOp("sqrt", x))))
    if call.name == "aten.log1p":
        shifted = call.add(nn.UnaryOp(FunctionAttr.of("affine", 1.0, 1.0), x))
        return call.add(nn.UnaryOp("log", shifted))
    return call.add(
        nn.UnaryOp(FunctionAttr.of("affine", 1.0, -1.0), call.add(nn.UnaryOp("exp", x)))
    )


@handles("aten.selu", "aten.selu_", "aten.celu", "aten.celu_", "aten.log_sigmoid", "aten.mish",
         "aten.prelu", to="nn.unary and nn.binary")  # fmt: skip
def written(work: Importer, call: Call) -> Held:
    """Activations written with others."""
    x = _one(call)
    name = call.name.removeprefix("aten.").removesuffix("_")

    def unary(function: str | FunctionAttr, value: SSAValue) -> SSAValue:
        return call.add(nn.UnaryOp(function, value))

    if name == "selu":
        return unary(FunctionAttr.of("affine", SELU[1]), unary(FunctionAttr.of("elu", SELU[0]), x))
    if name == "celu":
        if call.real("alpha", 1.0) != 1.0:
            raise call.refuse("celu with an alpha", "alpha = 1")
        return unary(FunctionAttr.of("elu", 1.0), x)
    if name == "log_sigmoid":
        return unary("neg", unary("softplus", unary("neg", x)))
    if name == "mish":
        return call.add(nn.BinaryOp("mul", x, unary("tanh", unary("softplus", x))))
    slope = call.constant("weight", "slope")
    if slope.size != 1:  # max(x, 0) + slope min(x, 0), a slope for each channel
        column = slope.reshape(-1, *[1] * (len(shape_of(x)) - 2))
        low = unary(FunctionAttr.of("clip", float("-inf"), 0.0), x)
        steep = work.named(f"{call.label()}.slope", column)
        low = call.add(nn.BinaryOp("mul", low, steep))
        return call.add(nn.BinaryOp("add", unary("relu", x), low))
    return unary(FunctionAttr.of("leaky_relu", float(slope.reshape(-1)[0])), x)


@handles("aten.gelu", to="nn.unary")
def gelu(_: Importer, call: Call) -> Held:
    """The exact form only."""
    if call.raw("approximate", "none") != "none":
        raise call.refuse("the tanh approximation of gelu is not exact", "approximate='none'")
    return call.add(nn.UnaryOp("gelu", _one(call)))


@handles("aten.leaky_relu", "aten.leaky_relu_", "aten.elu", "aten.elu_", to="nn.unary")
def sloped(_: Importer, call: Call) -> Held:
    """A slope below zero, or an exponential."""
    x = _one(call)
    if "leaky" in call.name:
        slope = call.real("negative_slope", 0.01)
        return call.add(nn.UnaryOp(FunctionAttr.of("leaky_relu", slope), x))
    if call.real("scale", 1.0) != 1.0 or call.real("input_scale", 1.0) != 1.0:
        raise call.refuse("elu with scales")
    return call.add(nn.UnaryOp(FunctionAttr.of("elu", call.real("alpha", 1.0)), x))


@handles("aten.softplus", to="nn.unary")
def softplus(_: Importer, call: Call) -> Held:
    """beta 1; torch's switch to the identity above its threshold of 20 changes nothing in float32."""
    if call.real("beta", 1.0) != 1.0 or call.real("threshold", 20.0) < 17.0:
        raise call.refuse("softplus with a beta or a low threshold", "the defaults")
    return call.add(nn.UnaryOp("softplus", _one(call)))


@handles("aten.hardtanh", "aten.hardtanh_", "aten.relu6", "aten.clamp", "aten.clamp_min",
         "aten.clamp_max", to="nn.unary")  # fmt: skip
def clamp(_: Importer, call: Call) -> Held:
    """Limits that are numbers."""
    low, high = float("-inf"), float("inf")
    if "hardtanh" in call.name:
        low, high = call.real("min_val", -1.0), call.real("max_val", 1.0)
    elif call.name == "aten.relu6":
        low, high = 0.0, 6.0
    else:
        low = call.real("min", low) if "min" in call else low
        high = call.real("max", high) if "max" in call else high
    return call.add(nn.UnaryOp(FunctionAttr.of("clip", low, high), _one(call)))


@handles("aten.hardsigmoid", to="nn.unary")
def hard_sigmoid(_: Importer, call: Call) -> Held:
    """Slope 1/6, as in torch."""
    return call.add(nn.UnaryOp(FunctionAttr.of("hard_sigmoid", 1 / 6, 0.5), _one(call)))


@handles("aten.softsign", to="nn.unary")
def softsign(_: Importer, call: Call) -> Held:
    """x / (1 + |x|)."""
    return call.add(nn.UnaryOp("softsign", _one(call)))


@handles(*(f"aten.{n}" for n in NOTHING), to="nothing")
def nothing(_: Importer, call: Call) -> Held:
    """No effect on values at inference."""
    if call.name.endswith("dropout") and call.raw("train"):
        raise call.refuse("it drops out in training mode", "module.eval()")
    return call.raw("self" if "self" in call else "input" if "input" in call else "a")


BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "div": "div",
    "pow": "pow",
    "maximum": "max",
    "minimum": "min",
    "rsub": "sub",
}
POWERS = {2: "square", 0.5: "sqrt", 1: "identity", -1: "reciprocal"}


@handles(*(f"aten.{n}" for n in BINARY), *(f"aten.{n}_" for n in BINARY), to="nn.binary")
def binary(_: Importer, call: Call) -> Held:
    """Two tensors, or a tensor and a number."""
    name = call.name.removeprefix("aten.").removesuffix("_")
    kind = BINARY[name]
    left, right = call.raw("self"), call.raw("exponent" if name == "pow" else "other")
    if call.raw("rounding_mode") is not None:
        raise call.refuse("division with rounding")
    alpha = call.real("alpha", 1.0)
    if name == "rsub":
        left, right = right, left
        if alpha != 1.0:
            raise call.refuse("rsub with alpha")
    left, right = _small(call, left, right), _small(call, right, left)
    for one, other in ((left, right), (right, left)):
        if isinstance(one, int) and isinstance(other, SSAValue) and is_whole(other):
            held = call.work.parameter(f"{call.node.name}.number", torch.tensor([one]))
            sides = (held, other) if one is left else (other, held)
            return call.add(nn.BinaryOp(kind, *sides))
    if isinstance(right, (int, float)) and isinstance(left, SSAValue):
        return _with_number(call, kind, left, float(right) * alpha)
    if isinstance(left, (int, float)) and isinstance(right, SSAValue):
        return _number_with(call, kind, float(left), right, alpha)
    a = call.work.as_value(call, left, call._title("self"))
    b = call.work.as_value(call, right, call._title("other"))
    if alpha != 1.0:
        b = call.add(nn.UnaryOp(FunctionAttr.of("affine", alpha), b))
    return call.add(nn.BinaryOp(kind, a, b))


def is_whole(value: SSAValue) -> bool:
    """Whether a value holds whole numbers."""
    return isinstance(element_of(value), IntegerType)


def _small(call: Call, one: Held, other: Held) -> Held:
    """A repeated operand as what it repeats: broadcasting against the other one does the rest."""
    if not isinstance(one, (Filled, Repeated)):
        return one
    if isinstance(other, SSAValue):
        have = call.work.extents.of(other)[-len(one.extents) :]
        pairs = zip(have, one.extents, strict=True) if len(have) == len(one.extents) else ()
        if pairs and all(call.work.sizes.same(h, e) or e == 1 for h, e in pairs):
            return one.value
    raise call.refuse("its input is repeated to a symbolic size")


def _with_number(call: Call, kind: str, x: SSAValue, number: float) -> SSAValue:
    infinity = float("inf")
    match kind:
        case "add":
            function = FunctionAttr.of("affine", 1.0, number)
        case "sub":
            function = FunctionAttr.of("affine", 1.0, -number)
        case "mul":
            function = FunctionAttr.of("affine", number, 0.0)
        case "max":
            function = FunctionAttr.of("clip", number, infinity)
        case "min":
            function = FunctionAttr.of("clip", -infinity, number)
        case "pow" if number in POWERS:
            function = FunctionAttr.of(POWERS[number])
        case _:
            other = call.work.named(f"{call.node.name}.number", torch.tensor([number]).numpy())
            return call.add(nn.BinaryOp(kind, x, other))
    return call.add(nn.UnaryOp(function, x))


def _number_with(call: Call, kind: str, number: float, x: SSAValue, alpha: float) -> SSAValue:
    if kind == "sub":
        return call.add(nn.UnaryOp(FunctionAttr.of("affine", -alpha, number), x))
    if kind in {"add", "mul"}:
        return _with_number(call, kind, x, number)
    other = call.work.named(f"{call.node.name}.number", torch.tensor([number]).numpy())
    return call.add(nn.BinaryOp(kind, other, x))


@handles("aten.softmax", "aten.log_softmax", to="nn.softmax")
def softmax(_: Importer, call: Call) -> Held:
    """Along one extent."""
    log = "log" in call.name
    return call.add(nn.SoftmaxOp(call.tensor("self"), call.number("dim"), log=log))


@handles("aten.max", "aten.min", to="nn.reduce or nn.binary")
def extremes(_: Importer, call: Call) -> Held:
    """Over one extent (the values; places are not known), over all, or of two tensors."""
    kind = call.name.removeprefix("aten.")
    x = call.tensor("self")
    if "other" in call:
        return call.add(nn.BinaryOp(kind, x, call.tensor("other")))
    if "dim" not in call:
        return call.add(nn.ReduceOp(kind, x, list(range(len(shape_of(x)))), keep=False))
    values = call.add(nn.ReduceOp(kind, x, call.numbers("dim"), keep=bool(call.raw("keepdim"))))
    return values, NotKnown("places of a maximum")


@handles("aten.linalg_vector_norm", "aten.norm", to="nn.unary and nn.reduce")
def norm(_: Importer, call: Call) -> Held:
    """The root of the sum of squares."""
    if call.raw("ord", call.raw("p", 2)) != 2:
        raise call.refuse("a norm other than the second", "ord=2")
    x = call.tensor("self")
    axes = call.numbers("dim") or list(range(len(shape_of(x))))
    keep = bool(call.raw("keepdim", False))
    total = call.add(nn.ReduceOp("sum", call.add(nn.UnaryOp("square", x)), axes, keep=keep))
    return call.add(nn.UnaryOp("sqrt", total))


REDUCTIONS = {"mean": "mean", "sum": "sum", "amax": "max", "amin": "min"}


@handles(*(f"aten.{n}" for n in REDUCTIONS), to="nn.reduce")
def reduce(_: Importer, call: Call) -> Held:
    """Over some extents, or all of them."""
    x = call.tensor("self")
    axes = call.numbers("dim") or list(range(len(shape_of(x))))
    kind = REDUCTIONS[call.name.removeprefix("aten.")]
    return call.add(nn.ReduceOp(kind, x, axes, keep=bool(call.raw("keepdim", False))))


@handles("aten.glu", to="nn.slice, nn.unary and nn.binary")
def glu(_: Importer, call: Call) -> Held:
    """The first half times the sigmoid of the second."""
    x = call.tensor("self")
    axis = call.number("dim", -1) % len(shape_of(x))
    half = shape_of(x)[axis] // 2
    first = call.add(nn.SliceOp(x, axis, 0, half))
    gate = call.add(nn.UnaryOp("sigmoid", call.add(nn.SliceOp(x, axis, half, 2 * half))))
    return call.add(nn.BinaryOp("mul", first, gate))
