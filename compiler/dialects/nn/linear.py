"""`nn.linear`."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import StringAttr, TensorType
from xdsl.ir import SSAValue
from xdsl.irdl import (
    base,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.nn.layer import LayerOp
from mohaq.compiler.dialects.types import float_tensor, require_f32, shape_of


@irdl_op_definition
class LinearOp(LayerOp):
    """`y = x W^T + b`: x [..., K], W [N, K], b [N] -> y [..., N].

    Slots: `input`, `weight` (searched); `bias`, `output` (16 bit).
    """

    name = "nn.linear"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight (`bias` $bias^)? attr-dict "
        "`:` functional-type(operands, results)"
    )
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = ("weight", "input")
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = ("bias", "output")

    def __init__(
        self, label: str, x: SSAValue, weight: SSAValue, bias: SSAValue | None = None
    ) -> None:
        out = float_tensor([*shape_of(x)[:-1], shape_of(weight)[0]])
        super().__init__(
            operands=[x, weight, bias],
            attributes={"op_name": StringAttr(label)},
            result_types=[out],
        )

    def verify_(self) -> None:
        for value in (*self.operands, self.result):
            require_f32(value)
        x, w, y = shape_of(self.input), shape_of(self.weight), shape_of(self.result)
        if len(w) != 2 or not x or x[-1] != w[1]:
            raise VerifyException(f"input {x} does not fit weight {w} = [outputs, inputs]")
        if y != (*x[:-1], w[0]):
            raise VerifyException(f"result is {y}, expected {(*x[:-1], w[0])}")
        if self.bias is not None and shape_of(self.bias) != (w[0],):
            raise VerifyException(f"bias is {shape_of(self.bias)}, expected {(w[0],)}")
        self.verify_annotations()
