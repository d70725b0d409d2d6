"""QuantizeLinear and DequantizeLinear: grids of already quantized models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.onnx.convert import (
    Array,
    GraphImporter,
    Grid,
    GridConstant,
    Held,
    Node,
    Quantized,
    converts,
)

KINDS = {
    "int2": (2, True),
    "uint2": (2, False),
    "int4": (4, True),
    "uint4": (4, False),
    "int8": (8, True),
    "uint8": (8, False),
    "int16": (16, True),
    "uint16": (16, False),
    "int32": (32, True),
}
"""Integer type -> (width, signed)."""

OUTPUT_TYPES = {
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    21: "uint4",
    22: "int4",
    25: "uint2",
    26: "int2",
}
"""`output_dtype` of QuantizeLinear, a number of TensorProto.DataType."""


def _grid(work: GraphImporter, node: Node, kind: str, rank: int) -> Grid:
    if kind not in KINDS:
        raise node.refuse(f"values of type {kind} have no integer grid", "int8 or uint8")
    if node.get("block_size", 0):
        raise node.refuse("its scales belong to blocks", "scales per tensor or per channel")
    scale = work.constant(node, 1, "scale").astype(np.float32)
    zero = work.constant(node, 2, "zero point") if node.given(2) else np.zeros(scale.shape)
    zero = zero.astype(np.int64)
    if scale.ndim > 1:
        raise node.refuse("its scales belong to blocks", "scales per tensor or per channel")
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise node.refuse("a scale is not positive and finite")
    width, signed = KINDS[kind]
    if scale.size == 0 or zero.size != scale.size:
        raise node.refuse(f"it has {scale.size} scales and {zero.size} zero points")
    axis = int(node.get("axis", 1)) if scale.size > 1 else 0
    if scale.size > 1 and (rank == 0 or not -rank <= axis < rank):
        raise node.refuse(f"its input has no axis {axis}")
    axis %= max(rank, 1)
    return Grid(scale.reshape(-1), zero.reshape(-1), width, signed, axis)


@converts("QuantizeLinear", to="nn.fake_quantize")
def quantize(work: GraphImporter, node: Node) -> Held:
    """Waits for its DequantizeLinear."""
    if node.given(2):
        kind = str(work.constant(node, 2, "zero point").dtype)
    else:
        kind = OUTPUT_TYPES.get(int(node.get("output_dtype", 2)), "another type")
    held = work.held(node, 0)
    rank = len(shape_of(held)) if isinstance(held, SSAValue) else np.ndim(held)
    return Quantized(held, _grid(work, node, kind, rank))


@converts("DequantizeLinear", to="nn.fake_quantize")
def dequantize(work: GraphImporter, node: Node) -> Held:
    """Of a constant: its real values, which remember the grid; else a fake quantization."""
    held = work.held(node, 0)
    if isinstance(held, np.ndarray):
        grid = _grid(work, node, str(held.dtype), held.ndim)
        shape = [1] * held.ndim
        if grid.scale.size > 1:
            if held.shape[grid.axis] != grid.scale.size:
                raise node.refuse(
                    f"it has {grid.scale.size} scales for {held.shape[grid.axis]} channels"
                )
            shape[grid.axis] = -1
        scale, zero = grid.scale.reshape(shape), grid.zero.reshape(shape)
        real = ((held.astype(np.int64) - zero) * scale).astype(np.float32)
        return real if grid.width > 16 else GridConstant(real, grid)
    if not isinstance(held, Quantized):
        raise node.refuse("its input is a computed integer tensor", "QuantizeLinear before it")
    grid = held.grid
    value = work.as_value(node, held.value, node.inputs[0])
    other = _grid(work, node, _name(grid), len(shape_of(value)))
    if not (np.array_equal(other.scale, grid.scale) and np.array_equal(other.zero, grid.zero)):
        raise node.refuse("its scale or zero point differs from that of QuantizeLinear")
    return fake_quantize(work, node, value, grid)


def _name(grid: Grid) -> str:
    return ("int" if grid.signed else "uint") + str(grid.width)


def fake_quantize(work: GraphImporter, node: Node, value: SSAValue, grid: Grid) -> SSAValue:
    """The operation that rounds a value to a grid."""
    scale = work.parameter(f"{node.name}.scale", grid.scale)
    zero = None
    if grid.zero.any():
        zero = work.parameter(f"{node.name}.zero_point", grid.zero)
    op = nn.FakeQuantizeOp(value, scale, zero, width=grid.width, signed=grid.signed, axis=grid.axis)
    return work.add(node, op)


def quantized_parameter(
    work: GraphImporter,
    node: Node,
    name: str,
    held: GridConstant,
    array: Array,
    axis: int | None,
) -> SSAValue:
    """A parameter with the grid that its integers had.

    Args:
        work: the importer.
        node: the node that reads it.
        name: of the parameter.
        held: the constant.
        array: its real values, perhaps with extents in another order.
        axis: where its channels lie now; None if the order of rows has changed.
    """
    grid = held.grid
    if grid.scale.size > 1:
        if axis is None:
            raise node.refuse("its weights have a scale for each row", "one scale for each matrix")
        grid = replace(grid, axis=axis)
    value = work.parameter(name, np.ascontiguousarray(array))
    return fake_quantize(work, node, value, grid)


def quantized_rows(
    work: GraphImporter, node: Node, name: str, held: GridConstant, rows: Array
) -> SSAValue:
    """Weights [D, G, H, .] with a scale for each row, as a matrix of rows rounded to its grid.

    Args:
        work: the importer.
        node: the node that reads it.
        name: of the parameter.
        held: the constant [D, G H, .].
        rows: for each row [D, G, H] of ours, its place on the constant's axis 1.
    """
    grid, order = held.grid, rows.reshape(-1)
    if grid.axis != 1:
        raise node.refuse(
            f"its weights have a scale for each place on axis {grid.axis}",
            "one scale for each matrix or for each row",
        )
    grid = replace(grid, scale=grid.scale[order], zero=grid.zero[order], axis=0)
    count, gates, hidden = rows.shape
    matrix = np.stack([held.array[d][rows[d].reshape(-1)] for d in range(count)])
    flat = matrix.reshape(count * gates * hidden, -1)
    value = fake_quantize(work, node, work.parameter(name, np.ascontiguousarray(flat)), grid)
    return work.add(node, nn.ReshapeOp(value, (count, gates, hidden, flat.shape[1])))


def turned(held: GridConstant, order: Sequence[int]) -> GridConstant:
    """A transposed constant."""
    axis = list(order).index(held.grid.axis) if held.grid.scale.size > 1 else 0
    return GridConstant(held.array.transpose(order), replace(held.grid, axis=axis))
