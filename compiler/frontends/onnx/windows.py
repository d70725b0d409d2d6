"""Convolutions and pooling over one and two extents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.frontends.onnx.convert import GraphImporter, Held, Node, converts
from mohaq.compiler.frontends.onnx.dense import weight_value

LOWEST = float(np.finfo(np.float32).min)
"""Padding for a maximum: below every real value."""


@dataclass(frozen=True)
class Windows:
    """Strides, dilations and padding (before, after) of each extent."""

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    def of(self, extents: Sequence[int]) -> Windows:
        """Of some of the extents."""
        pick = [(self.strides[n], self.dilations[n], self.pads[n]) for n in extents]
        return Windows(
            tuple(p[0] for p in pick), tuple(p[1] for p in pick), tuple(p[2] for p in pick)
        )


def windows_of(node: Node, steps: Sequence[int], kernel: Sequence[int]) -> Windows:
    """From the attributes of Conv, MaxPool and AveragePool.

    Raises:
        MohaqError: automatic padding that depends on a symbolic length.
    """
    count = len(kernel)
    strides = tuple(int(n) for n in node.get("strides") or [1] * count)
    dilations = tuple(int(n) for n in node.get("dilations") or [1] * count)
    auto = node.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return Windows(strides, dilations, ((0, 0),) * count)
    if auto == "NOTSET":
        given = [int(n) for n in node.get("pads") or [0] * (2 * count)]
        return Windows(strides, dilations, tuple(zip(given[:count], given[count:], strict=True)))
    pads = []
    for size, k, stride, dilation in zip(steps, kernel, strides, dilations, strict=True):
        if stride == 1:
            total = dilation * (k - 1)
        elif size == DYNAMIC:
            raise node.refuse(
                f"auto_pad {auto} with a stride depends on the length", "explicit pads"
            )
        else:
            total = max((-(-size // stride) - 1) * stride + dilation * (k - 1) + 1 - size, 0)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return Windows(strides, dilations, tuple(pads))


@converts("Conv", to="nn.conv1d or nn.conv2d")
def conv(work: GraphImporter, node: Node) -> Held:
    """Over one or two extents; one of kernel 1 over an extent of 1 is left out."""
    x = work.tensor(node, 0)
    weight = work.constant(node, 1, "weight")
    count = weight.ndim - 2
    if count not in (1, 2) or len(shape_of(x)) != weight.ndim:
        raise node.refuse(f"it is a convolution over {count} extents", "one or two extents")
    found = windows_of(node, shape_of(x)[2:], weight.shape[2:])
    label = work.label(node, "conv")
    bias = work.tensor(node, 2) if node.given(2) else None
    groups = int(node.get("group", 1))
    idle = [
        n
        for n in range(count)
        if weight.shape[2 + n] == 1 and shape_of(x)[2 + n] == 1 and found.pads[n] == (0, 0)
    ]
    if count == 1 or idle:
        gone = 2 + idle[-1] if count == 2 else None
        if gone is not None:
            x = work.add(node, nn.SqueezeOp(x, [gone]))
            weight = weight.squeeze(gone)
            found = found.of([3 - gone])
        op = nn.Conv1dOp(
            label,
            x,
            weight_value(work, node, 1, f"{label}.weight", weight, 0),
            bias,
            stride=found.strides[0],
            dilation=found.dilations[0],
            pads=found.pads[0],
            groups=groups,
        )
        made = work.add(node, op)
        return made if gone is None else work.add(node, nn.UnsqueezeOp(made, [gone]))
    (top, bottom), (left, right) = found.pads
    plane = nn.Conv2dOp(
        label,
        x,
        weight_value(work, node, 1, f"{label}.weight", weight, 0),
        bias,
        strides=(found.strides[0], found.strides[1]),
        dilations=(found.dilations[0], found.dilations[1]),
        pads=(top, left, bottom, right),
        groups=groups,
    )
    return work.add(node, plane)


@converts("MaxPool", "AveragePool", to="nn.pool1d or nn.pool2d")
def pool(work: GraphImporter, node: Node) -> Held:
    """Windows over one or two extents; padding is an `nn.pad` before them."""
    x: SSAValue = work.tensor(node, 0)
    kernel = [int(k) for k in node.get("kernel_shape")]
    if len(kernel) not in (1, 2):
        raise node.refuse(f"it pools over {len(kernel)} extents", "one or two extents")
    found = windows_of(node, shape_of(x)[2:], kernel)
    if node.get("ceil_mode", 0) or any(d != 1 for d in found.dilations):
        raise node.refuse("ceil_mode and dilations are not supported")
    if len([o for o in node.outputs if o]) > 1:
        raise node.refuse("it gives indices")
    kind = "max" if node.kind == "MaxPool" else "mean"
    made = _pooled(work, node, kind, x, kernel, found)
    padded = any(p != (0, 0) for p in found.pads)
    if kind == "max" or not padded or node.get("count_include_pad", 0):
        return made
    # The mean of what is no padding: divided by the share of a window that lies inside.
    ones = work.add(node, nn.CompareOp("equal", x, x))
    return work.add(node, nn.BinaryOp("div", made, _pooled(work, node, kind, ones, kernel, found)))


def _pooled(
    work: GraphImporter, node: Node, kind: str, x: SSAValue, kernel: Sequence[int], found: Windows
) -> SSAValue:
    for n, (before, after) in enumerate(found.pads):
        if before or after:
            value = LOWEST if kind == "max" else 0.0
            x = work.add(node, nn.PadOp(x, 2 + n, before, after, value=value))
    if len(kernel) == 1:
        return work.add(node, nn.Pool1dOp(kind, x, kernel[0], found.strides[0]))
    window, steps = (kernel[0], kernel[1]), (found.strides[0], found.strides[1])
    return work.add(node, nn.Pool2dOp(kind, x, window, steps))


@converts("GlobalAveragePool", "GlobalMaxPool", to="nn.reduce")
def global_pool(work: GraphImporter, node: Node) -> Held:
    """Mean or maximum over everything but batch and channels."""
    x = work.tensor(node, 0)
    axes = list(range(2, len(shape_of(x))))
    kind = "mean" if node.kind == "GlobalAveragePool" else "max"
    return work.add(node, nn.ReduceOp(kind, x, axes, keep=True))
