"""Operations that move elements."""

from __future__ import annotations

import numpy as np

from mohaq.compiler.dialects import nn
from mohaq.compiler.onnx_export.exporter import Exporter, exports


@exports(nn.TransposeOp)
def transpose(work: Exporter, op: nn.TransposeOp) -> list[str]:
    """Transpose."""
    return [work.graph.node("Transpose", [work.value(op.input)], perm=list(op.order))]


@exports(nn.ReshapeOp)
def reshape(work: Exporter, op: nn.ReshapeOp) -> list[str]:
    """Reshape; extents of another value through Shape and Gather."""
    if op.like is None:
        return [work.graph.reshape(work.value(op.input), op.extents)]
    sizes = work.graph.node("Shape", [work.value(op.like)])
    parts = [
        work.graph.integers([n])
        if n >= -1
        else work.graph.node("Gather", [sizes, work.graph.integers([-2 - n])], axis=0)
        for n in op.extents
    ]
    shape = work.graph.node("Concat", parts, axis=0)
    return [work.graph.node("Reshape", [work.value(op.input), shape])]


@exports(nn.UnsqueezeOp)
def unsqueeze(work: Exporter, op: nn.UnsqueezeOp) -> list[str]:
    """Unsqueeze."""
    axes = work.graph.integers(op.axis_numbers)
    return [work.graph.node("Unsqueeze", [work.value(op.input), axes])]


@exports(nn.SqueezeOp)
def squeeze(work: Exporter, op: nn.SqueezeOp) -> list[str]:
    """Squeeze."""
    axes = work.graph.integers(op.axis_numbers)
    return [work.graph.node("Squeeze", [work.value(op.input), axes])]


@exports(nn.SliceOp)
def slice_(work: Exporter, op: nn.SliceOp) -> list[str]:
    """Slice."""
    chosen, axis = op.range, op.axis.value.data
    return [work.graph.slice(work.value(op.input), axis, chosen.start, chosen.stop, chosen.step)]


@exports(nn.FlipOp)
def flip(work: Exporter, op: nn.FlipOp) -> list[str]:
    """Slice with step -1."""
    return [work.graph.slice(work.value(op.input), op.axis.value.data, -1, None, -1, "flip")]


@exports(nn.ConcatOp)
def concat(work: Exporter, op: nn.ConcatOp) -> list[str]:
    """Concat."""
    parts = [work.value(p) for p in op.parts]
    return [work.graph.node("Concat", parts, axis=op.axis.value.data)]


@exports(nn.PadOp)
def pad(work: Exporter, op: nn.PadOp) -> list[str]:
    """Pad."""
    graph = work.graph
    inputs = [
        work.value(op.input),
        graph.integers([op.before.value.data, op.after.value.data]),
        graph.constant(np.float32(op.value.value.data)) if op.mode.data == "constant" else "",
        graph.integers([op.axis.value.data]),
    ]
    return [graph.node("Pad", inputs, mode=op.mode.data)]
