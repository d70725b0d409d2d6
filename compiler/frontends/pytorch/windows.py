"""Convolutions and pooling over one and two extents."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.pytorch.importer import Array, Call, Held, Importer, handles

LOWEST = float(np.finfo(np.float32).min)
"""Padding for a maximum: below every real value."""


def _spread(found: Any, count: int) -> list[int]:
    """One number for each extent; a single one stands for all."""
    numbers = list(found) if isinstance(found, (list, tuple)) else [found]
    return [int(n) for n in (numbers * count if len(numbers) == 1 else numbers)]


def _pads(call: Call, kernel: tuple[int, ...], dilations: list[int]) -> list[tuple[int, int]]:
    """Zeros before and after each extent."""
    padding = call.raw("padding", [0])
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        return [(t // 2, t - t // 2) for t in totals]
    return [(n, n) for n in _spread(padding, len(kernel))]


@handles("aten.conv1d", "aten.conv2d", to="nn.conv1d or nn.conv2d")
def conv(_: Importer, call: Call) -> Held:
    """torch.nn.Conv1d and Conv2d, zero padding by number or `same`."""
    x = call.tensor("input")
    count = 1 if call.name == "aten.conv1d" else 2
    unbatched = len(shape_of(x)) == count + 1
    if unbatched:
        x = call.add(nn.UnsqueezeOp(x, [0]))
    weight: Array = call.constant("weight", "weight")
    strides = _spread(call.numbers("stride") or 1, count)
    dilations = _spread(call.numbers("dilation") or 1, count)
    pads = _pads(call, weight.shape[2:], dilations)
    label = call.label()
    held = call.work.named(f"{label}.weight", weight)
    bias = None
    if "bias" in call:
        bias = call.work.named(f"{label}.bias", call.constant("bias", "bias"))
    groups = call.number("groups", 1)
    made: SSAValue
    if count == 1:
        one = {"stride": strides[0], "dilation": dilations[0], "groups": groups}
        made = call.add(nn.Conv1dOp(label, x, held, bias, pads=pads[0], **one))
    else:
        (top, bottom), (left, right) = pads
        made = call.add(
            nn.Conv2dOp(
                label,
                x,
                held,
                bias,
                strides=(strides[0], strides[1]),
                dilations=(dilations[0], dilations[1]),
                pads=(top, left, bottom, right),
                groups=groups,
            )
        )
    return call.add(nn.SqueezeOp(made, [0])) if unbatched else made


@handles("aten.max_pool1d", "aten.avg_pool1d", "aten.max_pool2d", "aten.avg_pool2d",
         to="nn.pool1d or nn.pool2d")  # fmt: skip
def pool(_: Importer, call: Call) -> Held:
    """Windows; padding is an `nn.pad` before them."""
    count = 1 if "1d" in call.name else 2
    kind = "max" if "max" in call.name else "mean"
    x = call.tensor("self")
    unbatched = len(shape_of(x)) == count + 1
    if unbatched:
        x = call.add(nn.UnsqueezeOp(x, [0]))
    kernel = _spread(call.numbers("kernel_size"), count)
    strides = _spread(call.numbers("stride") or kernel, count)
    padding = _spread(call.numbers("padding") or 0, count)
    if call.raw("ceil_mode", False):
        raise call.refuse("its last window may be cut short", "ceil_mode=False")
    if any(d != 1 for d in call.numbers("dilation")):
        raise call.refuse("it is dilated")
    if "divisor_override" in call:
        raise call.refuse("it has a divisor of its own")
    made = _pooled(call, kind, x, kernel, strides, padding)
    if kind == "mean" and any(padding) and not call.raw("count_include_pad", True):
        # The mean of what is no padding: divided by the share of a window that lies inside.
        ones = call.add(nn.CompareOp("equal", x, x))
        inside = _pooled(call, kind, ones, kernel, strides, padding)
        made = call.add(nn.BinaryOp("div", made, inside))
    return call.add(nn.SqueezeOp(made, [0])) if unbatched else made


def _pooled(
    call: Call, kind: str, x: SSAValue, kernel: list[int], strides: list[int], padding: list[int]
) -> SSAValue:
    for n, size in enumerate(padding):
        if size:
            value = LOWEST if kind == "max" else 0.0
            x = call.add(nn.PadOp(x, 2 + n, size, size, value=value))
    if len(kernel) == 1:
        return call.add(nn.Pool1dOp(kind, x, kernel[0], strides[0]))
    window, steps = (kernel[0], kernel[1]), (strides[0], strides[1])
    return call.add(nn.Pool2dOp(kind, x, window, steps))


@handles("aten.adaptive_avg_pool1d", "aten.adaptive_avg_pool2d", "aten.adaptive_max_pool1d",
         "aten.adaptive_max_pool2d", to="nn.reduce")  # fmt: skip
def global_pool(work: Importer, call: Call) -> Held:
    """Down to one place, or an extent left as it is."""
    x = call.tensor("self")
    wanted = call.numbers("output_size")
    kind = "max" if "max" in call.name else "mean"
    have = work.extents.of(x)[-len(wanted) :]
    axes = []
    for n, (size, extent) in enumerate(zip(wanted, have, strict=True)):
        if size == 1:
            axes.append(len(shape_of(x)) - len(wanted) + n)
        elif size is not None and not work.sizes.same(extent, size):
            raise call.refuse("it pools to more than one place", "output size 1, or mean over time")
    made = call.add(nn.ReduceOp(kind, x, axes, keep=True)) if axes else x
    return (made, None) if kind == "max" else made
