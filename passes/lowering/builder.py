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

from mohaq.compiler.analysis.table_form import DEFAULT_FORM, TableForm
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.qnn.elementwise import signed_bits
from mohaq.compiler.dialects.qnn.matmul import NEUTRAL_ACCUMULATOR
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.parameters import ParameterStore, storage_dtype, tensor_type
from mohaq.compiler.quantizer import MAX_SHIFT, derive_multiplier, quantize
from mohaq.passes.lowering.tables import table_name, table_points

BIAS_BITS = 16
ALIGNED_BITS = 30
"""An aligned accumulator keeps to 30 bits, so that accumulator plus bias fits 32."""

MAX_BIAS_SHIFT = 24
"""Beyond it the sum would leave too few bits to the multiplier behind it."""


Floats = npt.NDArray[np.float32]
Steps = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Real weights [..., K]; `steps` [...] has the step of each row when rows differ."""

    values: Floats
    steps: Steps | None = None

    def __getitem__(self, index: Any) -> Rows:
        """Some of the leading extents."""
        return Rows(self.values[index], None if self.steps is None else self.steps[index])

    def matrix(self) -> tuple[Floats, Steps | None]:
        """[N, K] and [N]."""
        rows = self.values.reshape(-1, self.values.shape[-1])
        return rows, None if self.steps is None else self.steps.reshape(-1)


@dataclass(frozen=True)
class Matrix:
    """A quantized weight matrix [N, K], loaded; `steps` [1] or [N]."""

    value: SSAValue
    steps: Steps
    longest: int
    """Largest sum of |w| over the rows."""
    sums: npt.NDArray[np.int64]
    """Sum of w over each row [N]."""


@dataclass(frozen=True)
class Sums:
    """Sums of products, and the real size of one step: [1], or [N] with one for each row.

    `missing` [N] is what a bias has to add because the input's grid has a zero point.
    """

    value: SSAValue
    steps: Steps
    missing: Steps | None = None


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
    form: TableForm = DEFAULT_FORM
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

    def table(self, function: FunctionAttr) -> str:
        """Declare a function's table once, in the layer's form; gives its symbol."""
        name = table_name(function, self.form)
        if name not in self.tables:
            made = qnn.TableOp(name, table_points(function, self.form))
            self.tables[name] = made
            self._declare(made)
        return name

    def _declare(self, op: Operation) -> None:
        block = self.module.body.block
        function = next(o for o in block.ops if isinstance(o, FuncOp))
        block.insert_op_before(op, function)

    def rescale(
        self, value: SSAValue, scales: Sequence[float] | Steps, result: Sequence[GridAttr]
    ) -> SSAValue:
        """Requantize from the operand's scales to the result grids, run by run.

        Of scales and grids one may have more runs than the other: the longer counts, and a run
        of the shorter serves equally many of its runs. All grids have one width and zero point.
        """
        bits, runs = signed_bits(value), max(len(scales), len(result))
        known: dict[tuple[float, float], tuple[int, int]] = {}
        pairs = []
        for run in range(runs):
            scale = float(scales[run * len(scales) // runs])
            step = result[run * len(result) // runs].step
            if (scale, step) not in known:
                known[scale, step] = derive_multiplier(Fraction(scale) / Fraction(step), bits)
            pairs.append(known[scale, step])
        if len(known) == 1:
            pairs = pairs[:1]
        width, zero = result[0].bits, result[0].zero
        ms, ss = [m for m, _ in pairs], [s for _, s in pairs]
        if not zero:
            return self.add(qnn.RequantizeOp(value, ms, ss, width))
        # Wide enough that only the sum with the zero point saturates.
        wide = self.add(qnn.RequantizeOp(value, ms, ss, width + 2))
        return self.add(qnn.SaturateOp(self.minus(wide, -zero), width))

    def minus(self, value: SSAValue, constant: int) -> SSAValue:
        """value - constant, exact."""
        if not constant:
            return value
        return self.add(qnn.RsubOp(self.add(qnn.RsubOp(value, constant)), 0))

    def convert(self, value: SSAValue, stored: GridAttr, slot: GridAttr) -> SSAValue:
        """A stored value in the grid of the slot that reads it."""
        if stored == slot:
            return value
        return self.rescale(self.minus(value, stored.zero), [stored.step], [slot])

    def rows(self, symbol: str, grid: GridAttr, shape: Sequence[int] | None = None) -> Rows:
        """A weight [..., K] with the steps of its rows, for a grid of its slot.

        Args:
            symbol: of the weight.
            grid: of its slot.
            shape: [..., K], when the parameter has another.

        Raises:
            MohaqError: the steps are not positive numbers, one for each row.
        """
        values = np.asarray(self.floats[symbol], dtype=np.float32)
        values = values if shape is None else values.reshape(shape)
        if not grid.rows:
            return Rows(values)
        steps = np.asarray(self.floats[grid.rows], dtype=np.float64)
        extent = values.shape[:-1]
        if steps.size != math.prod(extent) or not (np.isfinite(steps) & (steps > 0)).all():
            raise MohaqError(
                f"the steps of '{symbol}' must be {math.prod(extent)} positive numbers",
                where=f"parameter '{grid.rows}'",
            )
        return Rows(values, steps.reshape(extent))

    def product(
        self, x: SSAValue, x_grid: GridAttr, name: str, weight: Rows, w_grid: GridAttr
    ) -> Sums:
        """x W^T with the sum's bound proved on the quantized weights."""
        return self.times(x, x_grid, self.matrix(name, weight, w_grid))

    def matrix(self, name: str, weight: Rows, w_grid: GridAttr) -> Matrix:
        """Quantize a weight matrix and load it."""
        values, steps = weight.matrix()
        q = quantize(values, w_grid, steps)
        loaded = self.parameter(f"{name}.q{w_grid.bits}", q, w_grid.bits)
        held = np.array([w_grid.step]) if steps is None else np.asarray(steps, dtype=np.float64)
        return Matrix(loaded, held, int(np.abs(q).sum(axis=1).max()), q.sum(axis=1))

    def times(self, x: SSAValue, x_grid: GridAttr, weight: Matrix) -> Sums:
        """x W^T.

        The bound is max over rows of sum|w| times the largest |x| of the grid (DESIGN D5).
        """
        bound = max(1, weight.longest * -x_grid.low)
        acc = qnn.AccAttr.proved(NEUTRAL_ACCUMULATOR, bound)
        steps = x_grid.step * weight.steps
        missing = -x_grid.zero * steps * weight.sums if x_grid.zero else None
        return Sums(self.add(qnn.MatmulOp(x, weight.value, acc)), steps, missing)

    def biased(self, sums: Sums, name: str, bias: npt.NDArray[Any] | None) -> Sums:
        """Add a 16-bit bias [N], aligned by a power of two.

        The alignment uses the bias's 16 bits as well as it can: sums are shifted left when the
        bias is fine beside them, the bias is shifted left when it is coarse, and sums that are
        nothing beside the bias are rounded to coarser steps first. Without a bias the sums stay
        as they are, unless the input has a zero point.
        """
        total = None if bias is None else np.asarray(bias, dtype=np.float64)
        if sums.missing is not None:
            total = sums.missing if total is None else total + sums.missing
        if total is None:
            return sums
        relative = np.abs(total) / sums.steps
        top = float(relative.max()) if total.size else 0.0
        bits = signed_bits(sums.value)
        shift = 0
        if top > 0:
            # Largest shift with top * 2^shift <= 2^15 - 1.
            shift = math.floor(math.log2(((1 << (BIAS_BITS - 1)) - 1) / top))
        acc_shift = min(max(shift, 0), max(0, ALIGNED_BITS - bits))
        bias_shift = max(-shift, 0)
        value, held = sums.value, sums.steps
        if bias_shift > MAX_BIAS_SHIFT:
            # Sums so far below the bias's last bit (MAX_BIAS_SHIFT - 15 bits below its first)
            # that what they lose here cannot be seen.
            drop = bias_shift - MAX_BIAS_SHIFT
            value = self.add(qnn.RequantizeOp(value, [1], [min(drop, MAX_SHIFT)], bits))
            held, bias_shift = held * 2.0**drop, MAX_BIAS_SHIFT
        steps = held * 2.0 ** (bias_shift - acc_shift)
        q = quantize(total / steps, GridAttr.of(BIAS_BITS, 1.0))
        loaded = self.parameter(f"{name}.q", q, BIAS_BITS)
        made = self.add(qnn.BiasOp(value, loaded, acc_shift, bias_shift))
        return Sums(made, held * 2.0**-acc_shift)
