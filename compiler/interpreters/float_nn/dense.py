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
    """Parameters, linear layers, convolutions, norms, embeddings, grids."""

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

    @impl(nn.Conv1dOp)
    def run_conv(self, _: Interpreter, op: nn.Conv1dOp, args: PythonValues) -> PythonValues:
        """One product for each tap and group."""
        x, weight, *bias = args
        self.trace(op.label, "input", x)
        before, after = op.pads
        x = np.pad(x, ((0, 0), (0, 0), (before, after)))
        stride, dilation = op.stride.value.data, op.dilation.value.data
        groups = op.groups.value.data
        outputs, inner, kernel = weight.shape
        count = (x.shape[2] - dilation * (kernel - 1) - 1) // stride + 1
        if count < 1:
            raise MohaqError(
                "the input is shorter than the kernel",
                where=f"layer '{op.label}'",
                why=f"{x.shape[2]} steps with padding, the kernel spans "
                f"{dilation * (kernel - 1) + 1}",
            )
        span = (count - 1) * stride + 1
        # Windows [B, g, C/g, k, T'] without a copy of the signal for each output.
        taps = np.stack(
            [x[:, :, k * dilation : k * dilation + span : stride] for k in range(kernel)], 2
        )
        windows = taps.reshape(x.shape[0], groups, inner * kernel, count)
        rows = weight.reshape(groups, outputs // groups, inner * kernel)
        y = self.product(rows[None], windows).reshape(x.shape[0], outputs, count)
        if bias:
            y = y + bias[0][:, None]
        self.trace(op.label, "output", y)
        return (y,)

    @impl(nn.Pool1dOp)
    def run_pool(self, _: Interpreter, op: nn.Pool1dOp, args: PythonValues) -> PythonValues:
        """Maximum or mean of each window."""
        (x,) = args
        kernel, stride = op.kernel.value.data, op.stride.value.data
        if x.shape[2] < kernel:
            raise MohaqError(f"{x.shape[2]} steps are fewer than a window of {kernel}")
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=2)[:, :, ::stride]
        y = windows.max(axis=3) if op.kind.data == "max" else windows.mean(axis=3, dtype=self.sums)
        return (np.ascontiguousarray(y, dtype=F),)

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
