"""Functions as tables, and the operation that looks a value up in one.

The number of points says how a table is read. 2^k + 1 points are the ends of 2^k segments, with
straight lines between them; 2^k points are the values of 2^k steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    FlatSymbolRefAttrConstr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
)
from xdsl.ir import SSAValue
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

TABLE_SIZE = 257
"""Points of the default table: 256 segments over the 16-bit input range."""


def reading(points: int) -> tuple[int, bool]:
    """(bits of the input within a segment or step, whether to interpolate) of a table.

    Raises:
        ValueError: no table has so many points.
    """
    segments, interpolated = (points - 1, True) if points % 2 else (points, False)
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
        try:
            reading(len(values))
        except ValueError as error:
            raise VerifyException(str(error)) from None
        low, high = int_range(16)
        if not all(low <= v <= high for v in values):
            raise VerifyException("table points must fit in 16 bits")


@irdl_op_definition
class LookupOp(IRDLOperation):
    """A table at every element; operand and result are si16.

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
            SymbolTable.lookup_symbol(self, self.table), TableOp
        ):
            raise VerifyException(f"no table '{self.table.root_reference.data}'")
