"""Products, norms, embeddings."""

from __future__ import annotations

from typing import Any

import torch
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.pytorch.importer import Call, Held, Importer, array_of, handles


def _linear(call: Call, x: SSAValue, weight: torch.Tensor, bias: Any, *, turned: bool) -> SSAValue:
    label = call.label()
    matrix = array_of(weight)
    w = call.work.named(f"{label}.weight", matrix.T if turned else matrix)
    b = None
    if isinstance(bias, torch.Tensor) and bias.dim() == 1:
        b = call.work.named(f"{label}.bias", array_of(bias))
    made = call.add(nn.LinearOp(label, x, w, b))
    if bias is not None and b is None:
        made = call.add(nn.BinaryOp("add", made, call.work.as_value(call, bias, f"{label}.bias")))
    return made


@handles("aten.linear", to="nn.linear")
def linear(_: Importer, call: Call) -> Held:
    """x W^T + b."""
    weight = call.raw("weight")
    x = call.tensor("input")
    if isinstance(weight, torch.Tensor):
        return _linear(call, x, weight, call.raw("bias"), turned=False)
    made = call.add(nn.MatmulOp(x, call.add(nn.TransposeOp(call.tensor("weight"), (1, 0)))))
    if "bias" in call:
        made = call.add(nn.BinaryOp("add", made, call.tensor("bias")))
    return made


@handles("aten.matmul", "aten.mm", "aten.bmm", to="nn.linear or nn.matmul")
def matmul(_: Importer, call: Call) -> Held:
    """A linear layer when the right side is a constant matrix."""
    other = "other" if call.name == "aten.matmul" else "mat2"
    right = call.raw(other)
    if isinstance(right, torch.Tensor) and right.dim() == 2:
        return _linear(call, call.tensor("self"), right, None, turned=True)
    a, b = call.tensor("self"), call.tensor(other)
    if min(len(shape_of(a)), len(shape_of(b))) < 2:
        raise call.refuse("a product with a vector", "a product of matrices")
    return call.add(nn.MatmulOp(a, b))


@handles("aten.addmm", "aten.baddbmm", to="nn.linear or nn.matmul")
def addmm(_: Importer, call: Call) -> Held:
    """beta C + alpha A B."""
    names = ("mat1", "mat2") if call.name == "aten.addmm" else ("batch1", "batch2")
    alpha, beta = call.real("alpha", 1.0), call.real("beta", 1.0)
    right = call.raw(names[1])
    added = call.raw("self")
    if isinstance(right, torch.Tensor) and right.dim() == 2 and alpha == beta == 1.0:
        return _linear(call, call.tensor(names[0]), right, added, turned=True)
    made = call.add(nn.MatmulOp(call.tensor(names[0]), call.tensor(names[1])))
    if alpha != 1.0:
        made = call.add(nn.UnaryOp(FunctionAttr.of("affine", alpha), made))
    c = call.tensor("self")
    if beta != 1.0:
        c = call.add(nn.UnaryOp(FunctionAttr.of("affine", beta), c))
    return call.add(nn.BinaryOp("add", made, c))


@handles("aten.batch_norm", to="nn.batch_norm")
def batch_norm(work: Importer, call: Call) -> Held:
    """torch.nn.BatchNorm1d in evaluation."""
    if call.raw("training") or "running_mean" not in call:
        raise call.refuse("it needs statistics of the batch", "module.eval(), with running stats")
    x = call.tensor("input")
    label = call.label()
    mean, var = (call.raw(n) for n in ("running_mean", "running_var"))
    defaults = {"weight": torch.ones_like(mean), "bias": torch.zeros_like(mean)}
    values = [
        work.named(f"{label}.{title}", array_of(t))
        for title, t in (
            ("gamma", call.raw("weight", defaults["weight"])),
            ("beta", call.raw("bias", defaults["bias"])),
            ("mean", mean),
            ("var", var),
        )
    ]
    gamma, beta, m, v = values
    epsilon = call.real("eps", 1e-5)
    return call.add(nn.BatchNormOp(label, x, gamma, beta, m, v, axis=1, epsilon=epsilon))


@handles("aten.layer_norm", to="nn.layer_norm")
def layer_norm(work: Importer, call: Call) -> Held:
    """torch.nn.LayerNorm."""
    x = call.tensor("input")
    label = call.label()
    axis = len(shape_of(x)) - len(call.numbers("normalized_shape"))
    held = [
        work.named(f"{label}.{title}", call.constant(name, name)) if name in call else None
        for title, name in (("gamma", "weight"), ("beta", "bias"))
    ]
    op = nn.LayerNormOp(label, x, *held, axis=axis, epsilon=call.real("eps", 1e-5))
    return call.add(op)


@handles("aten.embedding", to="nn.embedding")
def embedding(work: Importer, call: Call) -> Held:
    """torch.nn.Embedding."""
    label = call.label()
    table = work.named(f"{label}.table", call.constant("weight", "table"))
    return call.add(nn.EmbeddingOp(label, call.tensor("indices"), table))
