"""`nn.conv1d` and `nn.pool1d`: the front of networks that convolve before they recur."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import IntegerAttr, StringAttr, TensorType, i64
from xdsl.ir import SSAValue
from xdsl.irdl import (
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

from mohaq.compiler.dialects.nn.layer import LayerOp, require_shape, shape_text
from mohaq.compiler.dialects.types import DYNAMIC, float_tensor, require_f32, shape_of

POOLS = ("max", "mean")


def window_count(steps: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """Positions of a window over `steps`: floor((steps + padding - d (k-1) - 1) / stride) + 1."""
    if steps == DYNAMIC:
        return DYNAMIC
    return max((steps + padding - dilation * (kernel - 1) - 1) // stride + 1, 0)


@irdl_op_definition
class Conv1dOp(LayerOp):
    """Convolution along the last extent (a cross-correlation, as in torch and ONNX).

    Shapes: input [B, C, T]; weight [N, C/groups, k]; bias [N] -> result [B, N, T'], with zeros
    padded before and after. Slots: `weight`, `input` (searched); `bias`, `output` (16 bit).
    """

    name = "nn.conv1d"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    stride = attr_def(IntegerAttr)
    dilation = attr_def(IntegerAttr)
    pad_before = attr_def(IntegerAttr)
    pad_after = attr_def(IntegerAttr)
    groups = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight (`bias` $bias^)? attr-dict "
        "`:` functional-type(operands, results)"
    )
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = ("weight", "input")
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = ("bias", "output")

    def __init__(
        self,
        label: str,
        x: SSAValue,
        weight: SSAValue,
        bias: SSAValue | None = None,
        *,
        stride: int = 1,
        dilation: int = 1,
        pads: tuple[int, int] = (0, 0),
        groups: int = 1,
    ) -> None:
        batch, _, steps = shape_of(x)
        outputs, _, kernel = shape_of(weight)
        after = window_count(steps, kernel, stride, dilation, sum(pads))
        super().__init__(
            operands=[x, weight, bias],
            attributes={
                "op_name": StringAttr(label),
                "stride": IntegerAttr(stride, i64),
                "dilation": IntegerAttr(dilation, i64),
                "pad_before": IntegerAttr(pads[0], i64),
                "pad_after": IntegerAttr(pads[1], i64),
                "groups": IntegerAttr(groups, i64),
            },
            result_types=[float_tensor([batch, outputs, after])],
        )

    @property
    def pads(self) -> tuple[int, int]:
        """Zeros (before, after)."""
        return self.pad_before.value.data, self.pad_after.value.data

    def verify_(self) -> None:
        for value in (*self.operands, self.result):
            require_f32(value)
        if len(shape_of(self.input)) != 3 or len(shape_of(self.weight)) != 3:
            raise VerifyException(
                f"input {shape_text(self.input)} must be [B, C, T] and weight "
                f"{shape_text(self.weight)} [N, C/groups, k]"
            )
        groups, stride = self.groups.value.data, self.stride.value.data
        dilation = self.dilation.value.data
        if min(groups, stride, dilation) < 1 or min(self.pads) < 0:
            raise VerifyException("stride, dilation and groups are at least 1, pads at least 0")
        batch, channels, steps = shape_of(self.input)
        outputs, inner, kernel = shape_of(self.weight)
        if outputs % groups:
            raise VerifyException(f"{outputs} outputs cannot be split into {groups} groups")
        require_shape("input", self.input, (batch, inner * groups, steps))
        if self.bias is not None:
            require_shape("bias", self.bias, (outputs,))
        after = window_count(steps, kernel, stride, dilation, sum(self.pads))
        require_shape("result", self.result, (batch, outputs, after))
        if channels == DYNAMIC:
            raise VerifyException("the number of channels must be known")
        self.verify_annotations()


@irdl_op_definition
class Pool1dOp(IRDLOperation):
    """Maximum or mean over windows of the last extent, without padding: [B, C, T] -> [B, C, T']."""

    name = "nn.pool1d"
    input = operand_def(base(TensorType))
    kind = attr_def(StringAttr)
    kernel = attr_def(IntegerAttr)
    stride = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$kind $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, kind: str, x: SSAValue, kernel: int, stride: int) -> None:
        *lead, steps = shape_of(x)
        super().__init__(
            operands=[x],
            attributes={
                "kind": StringAttr(kind),
                "kernel": IntegerAttr(kernel, i64),
                "stride": IntegerAttr(stride, i64),
            },
            result_types=[float_tensor([*lead, window_count(steps, kernel, stride, 1, 0)])],
        )

    def verify_(self) -> None:
        require_f32(self.input)
        if self.kind.data not in POOLS:
            raise VerifyException(f"pooling '{self.kind.data}' is none of {', '.join(POOLS)}")
        kernel, stride = self.kernel.value.data, self.stride.value.data
        if len(shape_of(self.input)) != 3 or min(kernel, stride) < 1:
            raise VerifyException("pooling needs [B, C, T], kernel and stride of at least 1")
        *lead, steps = shape_of(self.input)
        require_shape("result", self.result, (*lead, window_count(steps, kernel, stride, 1, 0)))
