"""Layers without recurrence."""

from __future__ import annotations

import numpy as np
from xdsl.interpreter import Interpreter, PythonValues, impl, register_impls

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.interpreters.float_nn.base import Array, Functions

F = np.float32


@register_impls
class DenseFunctions(Functions):
    """Parameters, linear layers, norms, embeddings, grids."""

    @impl(LoadOp)
    def run_load(self, _: Interpreter, op: LoadOp, __: PythonValues) -> PythonValues:
        """The parameter's data."""
        return (self.parameters[op.symbol],)

    @impl(nn.LinearOp)
    def run_linear(self, _: Interpreter, op: nn.LinearOp, args: PythonValues) -> PythonValues:
        """x W^T + b."""
        x, weight, *bias = args
        self.trace(op.label, "input", x)
        y = self.product(x, weight.T)
        if bias:
            y = y + bias[0]
        self.trace(op.label, "output", y)
        return (y,)

    @impl(nn.BatchNormOp)
    def run_batch_norm(
        self, _: Interpreter, op: nn.BatchNormOp, args: PythonValues
    ) -> PythonValues:
        """Scale and shift of each channel."""
        x, *held = args
        shape = [1] * x.ndim
        shape[op.axis.value.data] = -1
        gamma, beta, mean, var = (h.reshape(shape) for h in held)
        root = np.sqrt(var + F(op.epsilon.value.data))
        return ((x - mean) / root * gamma + beta,)

    @impl(nn.LayerNormOp)
    def run_layer_norm(
        self, _: Interpreter, op: nn.LayerNormOp, args: PythonValues
    ) -> PythonValues:
        """Mean and biased variance over the last extents."""
        x = args[0]
        axes = tuple(range(op.axis.value.data, x.ndim))
        mean = x.mean(axis=axes, keepdims=True, dtype=self.sums).astype(F)
        var = np.square(x - mean).mean(axis=axes, keepdims=True, dtype=self.sums).astype(F)
        y: Array = (x - mean) / np.sqrt(var + F(op.epsilon.value.data))
        rest = list(args[1:])
        if op.gamma is not None:
            y = y * rest.pop(0)
        if op.beta is not None:
            y = y + rest.pop(0)
        return (y,)

    @impl(nn.EmbeddingOp)
    def run_embedding(self, _: Interpreter, op: nn.EmbeddingOp, args: PythonValues) -> PythonValues:
        """Rows of the table."""
        indices, table = args
        if indices.size and not (indices.min() >= 0 and indices.max() < len(table)):
            raise MohaqError(
                "an index lies outside the table",
                where=f"layer '{op.label}'",
                why=f"{indices.min()}..{indices.max()}, the table has {len(table)} rows",
            )
        return (table[indices],)

    @impl(nn.FakeQuantizeOp)
    def run_fake_quantize(
        self, _: Interpreter, op: nn.FakeQuantizeOp, args: PythonValues
    ) -> PythonValues:
        """Round to the grid and back."""
        x, scale, *zero = args
        shape = [1] * x.ndim
        if len(scale) > 1:
            shape[op.axis.value.data] = -1
        scale = scale.reshape(shape)
        z = zero[0].reshape(shape).astype(F) if zero else F(0)
        low, high = op.limits
        q = np.clip(np.rint(x / scale) + z, F(low), F(high))
        return ((q - z) * scale,)
