"""What the lowerings share: emitting ops, integer parameters, products with bias."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.qnn.elementwise import signed_bits
from mohaq.compiler.dialects.qnn.matmul import NEUTRAL_ACCUMULATOR
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.parameters import ParameterStore, storage_dtype, tensor_type
from mohaq.compiler.quantizer import derive_multiplier, quantize

BIAS_BITS = 16
ALIGNED_BITS = 30
"""An aligned accumulator keeps to 30 bits, so that accumulator plus bias fits 32."""

MAX_BIAS_SHIFT = 40


@dataclass(frozen=True)
class Matrix:
    """A quantized weight matrix [N, K], loaded."""

    value: SSAValue
    step: float
    longest: int
    """Largest sum of |w| over the rows."""


@dataclass
class Builder:
    """Appends `qnn` ops to a block and integer parameters to a store.

    The builder of a loop body has the builder around the loop as `outer`: parameters are loaded
    there.
    """

    module: ModuleOp
    block: Block
    floats: ParameterStore
    integers: ParameterStore
    tables: dict[str, qnn.TableOp] = field(default_factory=dict)
    outer: Builder | None = None

    def add(self, op: Operation) -> SSAValue:
        """Append an op; gives its first result."""
        self.block.add_op(op)
        return op.results[0]

    def parameter(self, name: str, values: npt.NDArray[Any], width: int) -> SSAValue:
        """Declare an integer parameter and load it."""
        if self.outer is not None:
            return self.outer.parameter(name, values, width)
        array = values.astype(storage_dtype(width))
        kind = tensor_type(array, width)
        if name not in self.integers:
            self.integers[name] = array
            self._declare(DeclareOp(name, kind))
        elif not np.array_equal(self.integers[name], array):
            raise MohaqError(f"two different integer parameters are called '{name}'")
        return self.add(LoadOp(name, kind))

    def table(self, name: str, points: Sequence[int]) -> str:
        """Declare a table once; gives its symbol."""
        if name not in self.tables:
            made = qnn.TableOp(name, points)
            self.tables[name] = made
            self._declare(made)
        return name

    def _declare(self, op: Operation) -> None:
        block = self.module.body.block
        function = next(o for o in block.ops if isinstance(o, FuncOp))
        block.insert_op_before(op, function)

    def rescale(
        self, value: SSAValue, scales: Sequence[float], result: Sequence[GridAttr], width: int
    ) -> SSAValue:
        """Requantize from the given operand scales to the result grids, run by run."""
        bits = signed_bits(value)
        pairs = [
            derive_multiplier(Fraction(scale) / Fraction(grid.step), bits)
            for scale, grid in zip(scales, result, strict=True)
        ]
        if len(set(pairs)) == 1:
            pairs = pairs[:1]
        return self.add(
            qnn.RequantizeOp(value, [m for m, _ in pairs], [s for _, s in pairs], width)
        )

    def convert(self, value: SSAValue, stored: GridAttr, slot: GridAttr) -> SSAValue:
        """A stored value in the grid of the slot that reads it."""
        if stored == slot:
            return value
        return self.rescale(value, [stored.step], [slot], slot.bits)

    def product(
        self, x: SSAValue, x_grid: GridAttr, name: str, weight: npt.NDArray[Any], w_grid: GridAttr
    ) -> tuple[SSAValue, float]:
        """x W^T with the sum's bound proved on the quantized weights; gives (sums, scale)."""
        return self.times(x, x_grid, self.matrix(name, weight, w_grid))

    def matrix(self, name: str, weight: npt.NDArray[Any], w_grid: GridAttr) -> Matrix:
        """Quantize a weight matrix and load it."""
        q = quantize(weight, w_grid)
        loaded = self.parameter(f"{name}.q{w_grid.bits}", q, w_grid.bits)
        return Matrix(loaded, w_grid.step, int(np.abs(q).sum(axis=1).max()))

    def times(self, x: SSAValue, x_grid: GridAttr, weight: Matrix) -> tuple[SSAValue, float]:
        """x W^T; gives (sums, scale).

        The bound is max over rows of sum|w| times the largest |x| of the grid (DESIGN D5).
        """
        bound = max(1, weight.longest * -x_grid.low)
        acc = qnn.AccAttr.proved(NEUTRAL_ACCUMULATOR, bound)
        return self.add(qnn.MatmulOp(x, weight.value, acc)), x_grid.step * weight.step

    def biased(
        self, acc: SSAValue, scale: float, name: str, bias: npt.NDArray[Any]
    ) -> tuple[SSAValue, float]:
        """Add a 16-bit bias, aligned by a power of two; gives (sums, scale).

        The alignment uses the bias's 16 bits as well as it can: sums are shifted left when the
        bias is fine beside them, the bias is shifted left when it is coarse.

        Raises:
            MohaqError: the bias is larger than any sum could reach by far too much.
        """
        top = float(np.abs(bias).max()) if bias.size else 0.0
        bits = signed_bits(acc)
        shift = 0
        if top > 0:
            # Largest shift with top / (scale / 2^shift) <= 2^15 - 1.
            shift = math.floor(math.log2(((1 << (BIAS_BITS - 1)) - 1) * scale / top))
        acc_shift = min(max(shift, 0), max(0, ALIGNED_BITS - bits))
        bias_shift = max(-shift, 0)
        if bias_shift > MAX_BIAS_SHIFT:
            raise MohaqError(
                f"the bias of '{name}' is 2^{bias_shift} steps of its sums and cannot be aligned",
                why=f"largest bias {top:g}, step of the sums {scale:g}",
            )
        step = scale * 2.0 ** (bias_shift - acc_shift)
        q = quantize(bias, GridAttr.of(BIAS_BITS, step))
        loaded = self.parameter(f"{name}.q", q, BIAS_BITS)
        return self.add(qnn.BiasOp(acc, loaded, acc_shift, bias_shift)), scale * 2.0**-acc_shift
