"""Convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.interpreter import Interpreter, PythonValues, impl, register_impls

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.interpreters.float_nn.base import Functions

F = np.float32


@register_impls
class WindowFunctions(Functions):
    """`nn.conv1d`, `nn.conv2d`, `nn.pool1d`, `nn.pool2d`."""

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

    @impl(nn.Conv2dOp)
    def run_conv2d(self, _: Interpreter, op: nn.Conv2dOp, args: PythonValues) -> PythonValues:
        """One product for each tap and group."""
        x, weight, *bias = args
        self.trace(op.label, "input", x)
        zeros, steps, reach = op.zeros, op.steps, op.reach
        x = np.pad(x, ((0, 0), (0, 0), (zeros[0], zeros[2]), (zeros[1], zeros[3])))
        groups = op.groups.value.data
        outputs, inner, *kernel = weight.shape
        spans = [r * (k - 1) + 1 for r, k in zip(reach, kernel, strict=True)]
        _check_room(op.label, x.shape[2:], spans)
        windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3))
        windows = windows[:, :, :: steps[0], :: steps[1], :: reach[0], :: reach[1]]
        batch, _, rows, columns = windows.shape[:4]
        # [B, g, C/g, ky, kx, Y', X']: the taps of a group in the order of its weights.
        taps = windows.reshape(batch, groups, inner, rows, columns, *kernel)
        taps = taps.transpose(0, 1, 2, 5, 6, 3, 4).reshape(batch, groups, -1, rows * columns)
        held = weight.reshape(groups, outputs // groups, -1)
        y = self.product(held[None], taps).reshape(batch, outputs, rows, columns)
        if bias:
            y = y + bias[0][:, None, None]
        self.trace(op.label, "output", y)
        return (y,)

    @impl(nn.Pool2dOp)
    def run_pool2d(self, _: Interpreter, op: nn.Pool2dOp, args: PythonValues) -> PythonValues:
        """Maximum or mean of each window."""
        (x,) = args
        steps = op.steps
        _check_room("pool2d", x.shape[2:], op.window)
        windows = np.lib.stride_tricks.sliding_window_view(x, op.window, axis=(2, 3))
        windows = windows[:, :, :: steps[0], :: steps[1]]
        y: Any
        if op.kind.data == "max":
            y = windows.max(axis=(4, 5))
        else:
            y = windows.mean(axis=(4, 5), dtype=self.sums)
        return (np.ascontiguousarray(y, dtype=F),)


def _check_room(label: str, extents: Sequence[int], spans: Sequence[int]) -> None:
    if any(e < s for e, s in zip(extents, spans, strict=True)):
        raise MohaqError(
            "the input is smaller than the kernel",
            where=f"layer '{label}'",
            why=f"{list(extents)} with padding, the kernel spans {list(spans)}",
        )
