"""Weights as integers with DequantizeLinear, values through QuantizeLinear and back.

Integers stand in the narrowest type that ONNX has for them: int2, int4, int8 or int16. The true
width is in the metadata of the layer's nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper
from xdsl.ir import SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.onnx_export.exporter import Array, Exporter
from mohaq.compiler.onnx_export.graph import OPSET, OPSET_INT2, OnnxGraph
from mohaq.compiler.program import Program
from mohaq.compiler.quantizer import quantize

STORAGE = {2: "INT2", 4: "INT4", 8: "INT8", 16: "INT16"}
"""Width of a type -> its name in ONNX."""

WEIGHTS = ("weight", "recurrent")
"""Slots of the matrices, whose widths are chosen."""


class GridExporter(Exporter):
    """An exporter for a program with grids (form `qdq`).

    Searched weights and the inputs of layers are rounded to their grids; everything else is as in
    the float form.
    """

    SLOTS: tuple[str, ...] = WEIGHTS

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.opset = OPSET
        self._layer: LayerOp | None = None
        self._real: str | None = None
        self._stored = ""
        if not any(op.quant for op in program.layers()):
            raise MohaqError(
                "no layer of the program has grids",
                hint="give bits or an assignment (--bits, --assignment), or apply one first",
            )

    def enter(self, op: LayerOp) -> None:
        """The layer whose operands are asked for from now on; it reads its input in its grid."""
        self._layer, x = op, op.operands[0]
        if (grid := op.grid("input")) is None:
            return
        self._real = self.value(x)
        self._stored = self.stored(op)
        self.values[x] = self.rounded(self.graph, grid, self._stored)

    def stored(self, op: LayerOp) -> str:
        """The layer's input as it is held."""
        return self.value(op.operands[0])

    def unrounded(self, op: LayerOp) -> str:
        """The same, while the layer reads it in its grid."""
        return self.value(op.operands[0]) if self._real is None else self._stored

    def leave(self) -> None:
        """No layer."""
        if self._layer is not None and self._real is not None:
            self.values[self._layer.operands[0]] = self._real
        self._layer = self._real = None

    def grid_of(self, value: SSAValue) -> GridAttr | None:
        """Grid of an operand of the present layer that is stored in integers."""
        if self._layer is None or not isinstance(value.owner, LoadOp):
            return None
        for slot in self.SLOTS:
            if getattr(self._layer, slot, None) is value:
                return self._layer.grid(slot)
        return None

    def held(self, value: SSAValue, choose: Callable[[Array], Array], hint: str) -> str | None:
        """Integers, scales and DequantizeLinear of what `choose` takes from a parameter."""
        data, grid = self.array(value), self.grid_of(value)
        if data is None or grid is None:
            return super().held(value, choose, hint)
        steps = self.program.parameters[grid.rows] if grid.rows else None
        rows = data.reshape(-1, data.shape[-1]) if steps is None else data.reshape(steps.size, -1)
        integers = choose(quantize(rows, grid, steps).reshape(data.shape))
        if steps is None:
            return self._dequantized(integers, single(grid.step), None, grid.bits, hint)
        column = np.broadcast_to(steps.reshape(-1, 1), rows.shape).reshape(data.shape)
        spread = choose(column)
        first = np.moveaxis(spread, -1, 0)[0] if _constant_along(spread, -1) else spread[0]
        if integers.ndim == 2:
            axis = 0 if _constant_along(spread, -1) else 1
            return self._dequantized(integers, first.reshape(-1), axis, grid.bits, hint)
        if len(integers) == 1:
            return self._dequantized(integers, first.reshape(-1), 1, grid.bits, hint)
        # A row of every direction has a step, and DequantizeLinear has one axis.
        flat = integers.reshape(-1, integers.shape[-1])
        made = self._dequantized(flat, first.reshape(-1), 0, grid.bits, hint)
        return self.graph.reshape(made, integers.shape)

    def _dequantized(
        self, integers: Array, scale: Array | np.float32, axis: int | None, bits: int, hint: str
    ) -> str:
        kind = self.storage(bits)
        packed = integers.astype(helper.tensor_dtype_to_np_dtype(kind))
        inputs = [
            self.graph.constant(np.ascontiguousarray(packed), f"{hint}.q"),
            self.graph.constant(np.asarray(scale, dtype=np.float32), f"{hint}.scale"),
        ]
        return self.graph.node("DequantizeLinear", inputs, hint, axis=axis)

    def storage(self, bits: int) -> int:
        """The narrowest ONNX integer type for a width.

        Raises:
            MohaqError: the installed onnx does not have it.
        """
        width = next(w for w in STORAGE if w >= bits)
        kind: int | None = getattr(onnx.TensorProto, STORAGE[width], None)
        if kind is None:
            raise MohaqError(
                f"{bits} bits need ONNX's {STORAGE[width]}",
                why=f"onnx {onnx.__version__} does not know it",
                hint="install onnx 1.20 or newer, or choose other widths",
            )
        if width == 2:
            self.opset = OPSET_INT2
        return kind

    def rounded(self, graph: OnnxGraph, grid: GridAttr, x: str) -> str:
        """x on a grid: Clip where the type is wider than the grid, then to integers and back."""
        kind = self.storage(grid.bits)
        scale = graph.constant(single(grid.step), "scale")
        zero = np.asarray(grid.zero).astype(helper.tensor_dtype_to_np_dtype(kind))
        if grid.bits not in STORAGE:
            ends = [np.float32((n - grid.zero) * grid.step) for n in (grid.low, grid.high)]
            x = graph.node("Clip", [x, *(graph.constant(e) for e in ends)])
        point = graph.constant(zero, "zero_point")
        q = graph.node("QuantizeLinear", [x, scale, point])
        return graph.node("DequantizeLinear", [q, scale, point])


def single(step: float) -> np.float32:
    """A step as the float32 that QuantizeLinear takes.

    Raises:
        MohaqError: it has no float32 of full precision.
    """
    if not np.finfo(np.float32).tiny <= step <= np.finfo(np.float32).max:
        raise MohaqError(
            f"a step of {step:g} has no float32, which QuantizeLinear takes",
            hint="choose the form 'integer'",
        )
    return np.float32(step)


def _constant_along(values: Array, axis: int) -> bool:
    moved = np.moveaxis(values, axis, 0)
    return bool((moved == moved[:1]).all())
