"""Attention and einsum: products of computed tensors."""

from __future__ import annotations

import math

import torch
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.frontends.einsum import UnwritableError
from mohaq.compiler.frontends.einsum import einsum as written
from mohaq.compiler.frontends.pytorch.importer import Call, Held, Importer, handles


@handles("aten.scaled_dot_product_attention", to="nn.matmul and nn.softmax")
def attention(_: Importer, call: Call) -> Held:
    """softmax(q k^T scale + mask) v; masks of truth values leave places out."""
    if call.raw("is_causal", False):
        raise call.refuse("a causal mask of the input's length", "a mask as an input")
    if call.real("dropout_p", 0.0):
        raise call.refuse("it drops out in training mode", "module.eval()")
    if call.raw("enable_gqa", False):
        raise call.refuse("groups of queries that share keys", "enable_gqa=False")
    query, key, value = (call.tensor(n) for n in ("query", "key", "value"))
    rank, depth = len(shape_of(key)), shape_of(query)[-1]
    if depth == DYNAMIC:
        raise call.refuse("the size of a head is not known")
    order = [*range(rank - 2), rank - 1, rank - 2]
    scores: SSAValue = call.add(nn.MatmulOp(query, call.add(nn.TransposeOp(key, order))))
    scale = call.real("scale", 1.0 / math.sqrt(depth))
    scores = call.add(nn.UnaryOp(FunctionAttr.of("affine", scale), scores))
    if "attn_mask" in call:
        mask = call.tensor("attn_mask")
        kind = getattr(call.argument("attn_mask"), "meta", {}).get("val")
        if isinstance(kind, torch.Tensor) and kind.dtype == torch.bool:
            lowest = torch.full([1] * rank, torch.finfo(torch.float32).min)
            low = call.work.parameter(f"{call.node.name}.lowest", lowest)
            scores = call.add(nn.SelectOp(mask, scores, low))
        else:
            scores = call.add(nn.BinaryOp("add", scores, mask))
    return call.add(nn.MatmulOp(call.add(nn.SoftmaxOp(scores, -1)), value))


@handles("aten.einsum", to="nn.matmul, nn.reduce and nn.transpose")
def einsum(work: Importer, call: Call) -> Held:
    """Of one or two tensors."""
    tensors = [work.as_value(call, t, f"{call.node.name}.{n}") for n, t in
               enumerate(call.raw("tensors"))]  # fmt: skip
    try:
        return written(str(call.argument("equation")), tensors, call.add)
    except UnwritableError as error:
        raise call.refuse(str(error), "matmul and permute") from None
