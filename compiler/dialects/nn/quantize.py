"""`nn.fake_quantize`: a value rounded to a grid, as already quantized models say it (QDQ)."""

from __future__ import annotations

from xdsl.dialects.builtin import BoolAttr, IntegerAttr, TensorType, i64
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.nn.layer import require_shape, shape_text
from mohaq.compiler.dialects.quant import MAX_WIDTH, MIN_WIDTH
from mohaq.compiler.dialects.types import int_range, require_f32, require_index, shape_of


@irdl_op_definition
class FakeQuantizeOp(IRDLOperation):
    """y = s (clamp(round(x / s) + z, low, high) - z), halves rounded to even.

    The meaning of an ONNX QuantizeLinear and the DequantizeLinear after it; [low, high] is the
    range of an integer of `width` bits, signed or not. scale s [1] (per tensor) or [C] with C the
    extent of `axis` (per channel); zero_point z has the scale's shape and is 0 when absent.
    The pass `absorb-fake-quantize` turns these into grids of the layers' slots.
    """

    name = "nn.fake_quantize"
    input = operand_def(base(TensorType))
    scale = operand_def(base(TensorType))
    zero_point = opt_operand_def(base(TensorType))
    width = attr_def(IntegerAttr)
    signed = attr_def(BoolAttr)
    axis = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $scale (`zero` `(` $zero_point^ `:` type($zero_point) `)`)? "
        "attr-dict `:` `(` type($input) `,` type($scale) `)` `->` type($result)"
    )

    def __init__(
        self,
        x: SSAValue,
        scale: SSAValue,
        zero_point: SSAValue | None = None,
        *,
        width: int = 8,
        signed: bool = True,
        axis: int = 0,
    ) -> None:
        super().__init__(
            operands=[x, scale, zero_point],
            attributes={
                "width": IntegerAttr(width, i64),
                "signed": BoolAttr.from_bool(signed),
                "axis": IntegerAttr(axis, i64),
            },
            result_types=[x.type],
        )

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer of the grid."""
        return int_range(self.width.value.data, signed=bool(self.signed.value.data))

    def verify_(self) -> None:
        require_f32(self.input)
        require_f32(self.scale)
        shape, axis = shape_of(self.input), self.axis.value.data
        if not MIN_WIDTH <= self.width.value.data <= MAX_WIDTH:
            raise VerifyException(f"width {self.width.value.data} outside {MIN_WIDTH}..{MAX_WIDTH}")
        if shape_of(self.scale) != (1,):
            if not 0 <= axis < len(shape):
                raise VerifyException(f"{shape_text(self.input)} has no axis {axis}")
            require_shape("scale", self.scale, (shape[axis],))
        if self.zero_point is not None:
            require_index(self.zero_point)
            require_shape("zero point", self.zero_point, shape_of(self.scale))
        require_shape("result", self.result, shape)
