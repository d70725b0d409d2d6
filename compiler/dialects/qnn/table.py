"""Functions as tables, and the operation that looks a value up in one.

The number of points says how a table is read. 2^k + 1 points are the ends of 2^k segments, with
straight lines between them; 2^k points are the values of 2^k steps.

A `piecewise` function has segments of any length with lines of its own, as hardware has them.
To its readers it is a table of 65,536 steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import (
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
    i64,
)
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure, SymbolOpInterface, SymbolTable
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.types import (
    int_range,
    int_tensor,
    int_type,
    int_width,
    require_same_shape,
    shape_of,
)

INPUT_BITS = 16
SEGMENTS = tuple(1 << k for k in range(2, 9))
"""Segments or steps that a table may have: powers of two from 4 to 256."""

EVERY = 1 << INPUT_BITS
"""Points of a function that is given at every input."""

TABLE_SIZE = 257
"""Points of the default table: 256 segments over the 16-bit input range."""


def reading(points: int) -> tuple[int, bool]:
    """(bits of the input within a segment or step, whether to interpolate) of a table.

    Raises:
        ValueError: no table has so many points.
    """
    segments, interpolated = (points - 1, True) if points % 2 else (points, False)
    if points == EVERY:
        return 0, False
    if segments not in SEGMENTS:
        raise ValueError(
            f"a table has 2^k + 1 points (lines) or 2^k (steps) with k from 2 to 8, got {points}"
        )
    return INPUT_BITS + 1 - segments.bit_length(), interpolated


@irdl_op_definition
class TableOp(IRDLOperation):
    """A function as points of a 16-bit result over the whole 16-bit input range.

    With 2^k + 1 points segment i covers inputs [-32768 + 2^(16-k) i, -32768 + 2^(16-k) (i+1))
    and the function is a line on it; with 2^k points it is constant there.
    """

    name = "qnn.table"
    sym_name = prop_def(SymbolNameConstraint())
    points = prop_def(DenseIntOrFPElementsAttr)

    traits = traits_def(SymbolOpInterface())
    assembly_format = "$sym_name $points attr-dict"

    def __init__(self, name: str, points: Sequence[int]) -> None:
        kind = TensorType(int_type(16), [len(points)])
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "points": DenseIntOrFPElementsAttr.from_list(kind, list(points)),
            }
        )

    def values(self) -> tuple[int, ...]:
        """The points."""
        return tuple(int(v) for v in self.points.get_values())

    def verify_(self) -> None:
        values = self.values()
        if len(values) == EVERY:
            raise VerifyException("a table of all inputs is no constant: use qnn.piecewise")
        try:
            reading(len(values))
        except ValueError as error:
            raise VerifyException(str(error)) from None
        low, high = int_range(16)
        if not all(low <= v <= high for v in values):
            raise VerifyException("table points must fit in 16 bits")


@cache
def piecewise_values(
    knots: tuple[int, ...],
    slopes: tuple[int, ...],
    offsets: tuple[int, ...],
    fraction: int,
    input_shift: int,
    mirror: int,
) -> tuple[int, ...]:
    """Results at inputs -32768..32767 (see `PiecewiseOp`)."""
    x = np.arange(-(EVERY >> 1), EVERY >> 1, dtype=np.int64)
    a = np.minimum(np.abs(x) << input_shift, (EVERY >> 1) - 1)
    k = np.searchsorted(np.array(knots), a, side="right") - 1
    m, c = np.array(slopes, dtype=np.int64)[k], np.array(offsets, dtype=np.int64)[k]
    right = ((m * a) >> fraction) + c
    left = ((-m * a) >> fraction) + mirror - c
    found: npt.NDArray[np.int64] = np.where(x < 0, left, right)
    return tuple(found.tolist())


@irdl_op_definition
class PiecewiseOp(IRDLOperation):
    """A function of lines over segments of |x|, mirrored for negative inputs.

    a = min(|x| * 2^input_shift, 32767); k is the last segment with knots[k] <= a;
    y = ((slopes[k] * a) >> fraction) + offsets[k] for x >= 0,
    y = ((-slopes[k] * a) >> fraction) + mirror - offsets[k] for x < 0; the shifts are floors.
    """

    name = "qnn.piecewise"
    sym_name = prop_def(SymbolNameConstraint())
    knots = attr_def(DenseArrayBase)
    slopes = attr_def(DenseArrayBase)
    offsets = attr_def(DenseArrayBase)
    fraction = attr_def(IntegerAttr)
    input_shift = attr_def(IntegerAttr)
    mirror = attr_def(IntegerAttr)

    traits = traits_def(SymbolOpInterface())
    assembly_format = "$sym_name attr-dict"

    def __init__(
        self,
        name: str,
        knots: Sequence[int],
        slopes: Sequence[int],
        offsets: Sequence[int],
        *,
        fraction: int,
        input_shift: int,
        mirror: int,
    ) -> None:
        super().__init__(
            properties={"sym_name": StringAttr(name)},
            attributes={
                "knots": DenseArrayBase.from_list(i64, list(knots)),
                "slopes": DenseArrayBase.from_list(i64, list(slopes)),
                "offsets": DenseArrayBase.from_list(i64, list(offsets)),
                "fraction": IntegerAttr(fraction, i64),
                "input_shift": IntegerAttr(input_shift, i64),
                "mirror": IntegerAttr(mirror, i64),
            },
        )

    def values(self) -> tuple[int, ...]:
        """The results at all inputs, -32768 first."""
        lists = (self.knots, self.slopes, self.offsets)
        knots, slopes, offsets = (tuple(int(v) for v in a.get_values()) for a in lists)
        numbers = (self.fraction, self.input_shift, self.mirror)
        fraction, input_shift, mirror = (n.value.data for n in numbers)
        return piecewise_values(knots, slopes, offsets, fraction, input_shift, mirror)

    def verify_(self) -> None:
        knots = list(self.knots.get_values())
        counts = {len(a.get_values()) for a in (self.knots, self.slopes, self.offsets)}
        if len(counts) != 1 or not knots or knots[0] != 0 or knots != sorted(set(knots)):
            raise VerifyException("knots rise from 0, with a slope and an offset for each")
        if not 0 <= self.fraction.value.data <= 30 or not 0 <= self.input_shift.value.data <= 15:
            raise VerifyException("fraction must be in 0..30 and input_shift in 0..15")
        low, high = int_range(INPUT_BITS)
        if not all(low <= v <= high for a in (self.slopes, self.offsets) for v in a.get_values()):
            raise VerifyException("slopes and offsets must fit in 16 bits")
        if not all(low <= v <= high for v in self.values()):
            raise VerifyException("a result does not fit in 16 bits")


def functions_of(ops: Iterable[Operation]) -> dict[str, tuple[int, ...]]:
    """{symbol: points} of the tables and piecewise functions among operations."""
    return {op.sym_name.data: op.values() for op in ops if isinstance(op, (TableOp, PiecewiseOp))}


@irdl_op_definition
class LookupOp(IRDLOperation):
    """A table or piecewise function at every element; operand and result are si16.

    With s = 16-k, i = (x + 32768) >> s and r = (x + 32768) & (2^s - 1):
    y = t[i] + (((t[i+1] - t[i]) * r + 2^(s-1)) >> s) for 2^k + 1 points, t[i] for 2^k points.
    """

    name = "qnn.lookup"
    input = operand_def(base(TensorType))
    table = attr_def(FlatSymbolRefAttrConstr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$input `in` $table attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, table: str) -> None:
        super().__init__(
            operands=[x],
            attributes={"table": SymbolRefAttr(table)},
            result_types=[int_tensor(shape_of(x), 16)],
        )

    def verify_(self) -> None:
        for value in (self.input, self.result):
            if int_width(value) != (16, True):
                raise VerifyException(f"lookup works on si16, got {value.type}")
        require_same_shape(self.input, self.result)
        if self.get_toplevel_object().__class__.__name__ == "ModuleOp" and not isinstance(
            SymbolTable.lookup_symbol(self, self.table), (TableOp, PiecewiseOp)
        ):
            raise VerifyException(f"no table '{self.table.root_reference.data}'")
