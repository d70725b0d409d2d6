"""Normalizations that are written with others."""

from __future__ import annotations

import torch
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.pytorch.importer import Call, Held, Importer, array_of, handles
from mohaq.compiler.frontends.pytorch.shape import reshape_to


@handles("aten.instance_norm", "aten.group_norm", to="nn.layer_norm and nn.binary")
def by_channels(work: Importer, call: Call) -> Held:
    """torch.nn.InstanceNorm1d and GroupNorm of [B, C, ...]: over all but the batch, by groups."""
    if "running_mean" in call and not call.raw("use_input_stats"):
        raise call.refuse("running statistics of instances", "torch.nn.BatchNorm1d")
    x = call.tensor("input")
    have = list(work.extents.of(x))
    label = call.label()
    epsilon = call.real("eps", 1e-5)
    if call.name == "aten.group_norm":
        groups = call.number("num_groups")
        apart = reshape_to(work, call, x, [have[0], groups, -1])
        made = call.add(nn.LayerNormOp(label, apart, axis=2, epsilon=epsilon))
        made = reshape_to(work, call, made, have)
    else:
        made = call.add(nn.LayerNormOp(label, x, axis=2, epsilon=epsilon))
    for kind, name in (("mul", "weight"), ("add", "bias")):
        if name in call:
            column = call.constant(name, name).reshape(-1, *[1] * (len(have) - 2))
            made = call.add(nn.BinaryOp(kind, made, work.named(f"{label}.{name}", column)))
    return made


@handles("aten.rms_norm", to="nn.reduce, nn.unary and nn.binary")
def rms_norm(work: Importer, call: Call) -> Held:
    """torch.nn.RMSNorm: x / sqrt(mean(x^2) + eps), times a weight."""
    x = call.tensor("input")
    rank = len(shape_of(x))
    axes = list(range(rank - len(call.numbers("normalized_shape")), rank))
    epsilon = call.real("eps", torch.finfo(torch.float32).eps)

    def unary(function: str | FunctionAttr, value: SSAValue) -> SSAValue:
        return call.add(nn.UnaryOp(function, value))

    mean = call.add(nn.ReduceOp("mean", unary("square", x), axes, keep=True))
    deviation = unary("sqrt", unary(FunctionAttr.of("affine", 1.0, epsilon), mean))
    made = call.add(nn.BinaryOp("div", x, deviation))
    if "weight" not in call:
        return made
    weight = work.named(f"{call.label()}.weight", array_of(call.raw("weight")))
    return call.add(nn.BinaryOp("mul", made, weight))
