"""Comparisons, choices and whole numbers: masks of attention, tokens, places of maxima.

Truth values are float32 tensors of 0 and 1; whole numbers are `si64` tensors.
"""

from __future__ import annotations

from xdsl.dialects.builtin import (
    BoolAttr,
    Float32Type,
    IntegerAttr,
    IntegerType,
    StringAttr,
    TensorType,
    f32,
    i64,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.nn.elementwise import broadcast
from mohaq.compiler.dialects.nn.layer import require_shape, shape_text
from mohaq.compiler.dialects.types import (
    element_of,
    float_tensor,
    int_type,
    require_f32,
    shape_of,
)

RELATIONS = ("equal", "less", "less_or_equal", "greater", "greater_or_equal")
EXTREMES = ("max", "min")


@irdl_op_definition
class CompareOp(IRDLOperation):
    """1 where the relation holds, else 0, with NumPy broadcasting: `nn.compare "less" %a, %b`.

    Both sides are real or both are whole numbers; the result is real.
    """

    name = "nn.compare"
    lhs = operand_def(base(TensorType))
    rhs = operand_def(base(TensorType))
    relation = attr_def(StringAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$relation $lhs `,` $rhs attr-dict `:` functional-type(operands, results)"

    def __init__(self, relation: str, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(
            operands=[lhs, rhs],
            attributes={"relation": StringAttr(relation)},
            result_types=[float_tensor(broadcast(shape_of(lhs), shape_of(rhs)))],
        )

    def verify_(self) -> None:
        require_f32(self.result)
        if element_of(self.lhs) != element_of(self.rhs):
            raise VerifyException(f"cannot compare {self.lhs.type} with {self.rhs.type}")
        if self.relation.data not in RELATIONS:
            raise VerifyException(f"'{self.relation.data}' is none of {', '.join(RELATIONS)}")
        require_shape("result", self.result, broadcast(shape_of(self.lhs), shape_of(self.rhs)))


@irdl_op_definition
class SelectOp(IRDLOperation):
    """The second operand where the first is not 0, else the third, with NumPy broadcasting."""

    name = "nn.select"
    condition = operand_def(base(TensorType))
    chosen = operand_def(base(TensorType))
    other = operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = (
        "$condition `,` $chosen `,` $other attr-dict `:` functional-type(operands, results)"
    )

    def __init__(self, condition: SSAValue, chosen: SSAValue, other: SSAValue) -> None:
        shape = broadcast(broadcast(shape_of(chosen), shape_of(other)), shape_of(condition))
        super().__init__(
            operands=[condition, chosen, other],
            result_types=[TensorType(element_of(chosen), list(shape))],
        )

    def verify_(self) -> None:
        require_f32(self.condition)
        if len({element_of(v) for v in (self.chosen, self.other, self.result)}) != 1:
            raise VerifyException("both choices and the result need one element type")
        pair = broadcast(shape_of(self.chosen), shape_of(self.other))
        require_shape("result", self.result, broadcast(pair, shape_of(self.condition)))


@irdl_op_definition
class CastOp(IRDLOperation):
    """Whole numbers as real ones, or real ones rounded towards zero to whole ones."""

    name = "nn.cast"
    input = operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, *, whole: bool) -> None:
        made = TensorType(int_type(64) if whole else f32, list(shape_of(x)))
        super().__init__(operands=[x], result_types=[made])

    def verify_(self) -> None:
        kinds = (type(element_of(self.input)), type(element_of(self.result)))
        if kinds not in ((IntegerType, Float32Type), (Float32Type, IntegerType)):
            raise VerifyException(f"cannot cast {self.input.type} to {self.result.type}")
        require_shape("result", self.result, shape_of(self.input))


@irdl_op_definition
class ArgReduceOp(IRDLOperation):
    """Place of the first maximum (minimum) along one extent, which stays as 1 with `keep`."""

    name = "nn.arg_reduce"
    input = operand_def(base(TensorType))
    kind = attr_def(StringAttr)
    axis = attr_def(IntegerAttr)
    keep = attr_def(BoolAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$kind $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, kind: str, x: SSAValue, axis: int, *, keep: bool = False) -> None:
        axis %= len(shape_of(x))
        super().__init__(
            operands=[x],
            attributes={
                "kind": StringAttr(kind),
                "axis": IntegerAttr(axis, i64),
                "keep": BoolAttr.from_bool(keep),
            },
            result_types=[TensorType(int_type(64), _without(shape_of(x), axis, keep=keep))],
        )

    def verify_(self) -> None:
        require_f32(self.input)
        axis, shape = self.axis.value.data, shape_of(self.input)
        if self.kind.data not in EXTREMES:
            raise VerifyException(f"'{self.kind.data}' is none of {', '.join(EXTREMES)}")
        if not 0 <= axis < len(shape):
            raise VerifyException(f"{shape_text(self.input)} has no axis {axis}")
        if element_of(self.result) != int_type(64):
            raise VerifyException("places are si64")
        keep = bool(self.keep.value.data)
        require_shape("result", self.result, tuple(_without(shape, axis, keep=keep)))


def _without(shape: tuple[int, ...], axis: int, *, keep: bool) -> list[int]:
    return [1 if n == axis else e for n, e in enumerate(shape) if keep or n != axis]
