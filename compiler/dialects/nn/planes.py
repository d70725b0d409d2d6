"""`nn.conv2d` and `nn.pool2d`: the front of networks that read pictures or spectrograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, StringAttr, TensorType, i64
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

from mohaq.compiler.dialects.nn.conv import POOLS, window_count
from mohaq.compiler.dialects.nn.layer import LayerOp, require_shape, shape_text
from mohaq.compiler.dialects.types import DYNAMIC, float_tensor, require_f32, shape_of

Numbers = ArrayAttr[IntegerAttr]
Pair = tuple[int, int]


def _array(numbers: Sequence[int]) -> Numbers:
    return ArrayAttr([IntegerAttr(n, i64) for n in numbers])


def _numbers(held: Numbers, count: int, title: str, least: int) -> tuple[int, ...]:
    found = tuple(n.value.data for n in held)
    if len(found) != count or min(found) < least:
        raise VerifyException(f"{title} needs {count} numbers of at least {least}, got {found}")
    return found


@irdl_op_definition
class Conv2dOp(LayerOp):
    """Convolution over the last two extents (a cross-correlation, as in torch and ONNX).

    Shapes: input [B, C, Y, X]; weight [N, C/groups, ky, kx]; bias [N] -> result [B, N, Y', X'].
    `strides`, `dilations` [2] for Y and X; `pads` [4]: zeros before Y, before X, after Y, after X.
    Slots: `weight`, `input` (searched); `bias`, `output` (16 bit).
    """

    name = "nn.conv2d"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    strides = attr_def(Numbers)
    dilations = attr_def(Numbers)
    pads = attr_def(Numbers)
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
        strides: Pair = (1, 1),
        dilations: Pair = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
    ) -> None:
        batch, _, *extents = shape_of(x)
        outputs, _, *kernel = shape_of(weight)
        after = [
            window_count(e, k, s, d, pads[n] + pads[n + 2])
            for n, (e, k, s, d) in enumerate(zip(extents, kernel, strides, dilations, strict=True))
        ]
        super().__init__(
            operands=[x, weight, bias],
            attributes={
                "op_name": StringAttr(label),
                "strides": _array(strides),
                "dilations": _array(dilations),
                "pads": _array(pads),
                "groups": IntegerAttr(groups, i64),
            },
            result_types=[float_tensor([batch, outputs, *after])],
        )

    @property
    def steps(self) -> tuple[int, ...]:
        """Strides of Y and X."""
        return _numbers(self.strides, 2, "strides", 1)

    @property
    def reach(self) -> tuple[int, ...]:
        """Dilations of Y and X."""
        return _numbers(self.dilations, 2, "dilations", 1)

    @property
    def zeros(self) -> tuple[int, ...]:
        """Padding: before Y, before X, after Y, after X."""
        return _numbers(self.pads, 4, "pads", 0)

    def verify_(self) -> None:
        for value in (*self.operands, self.result):
            require_f32(value)
        if len(shape_of(self.input)) != 4 or len(shape_of(self.weight)) != 4:
            raise VerifyException(
                f"input {shape_text(self.input)} must be [B, C, Y, X] and weight "
                f"{shape_text(self.weight)} [N, C/groups, ky, kx]"
            )
        groups = self.groups.value.data
        batch, channels, *extents = shape_of(self.input)
        outputs, inner, *kernel = shape_of(self.weight)
        if groups < 1 or outputs % groups:
            raise VerifyException(f"{outputs} outputs cannot be split into {groups} groups")
        if channels == DYNAMIC:
            raise VerifyException("the number of channels must be known")
        require_shape("input", self.input, (batch, inner * groups, *extents))
        if self.bias is not None:
            require_shape("bias", self.bias, (outputs,))
        zeros = self.zeros
        after = [
            window_count(
                extents[n], kernel[n], self.steps[n], self.reach[n], zeros[n] + zeros[n + 2]
            )
            for n in (0, 1)
        ]
        require_shape("result", self.result, (batch, outputs, *after))
        self.verify_annotations()


@irdl_op_definition
class Pool2dOp(IRDLOperation):
    """Maximum or mean over windows of the last two extents, without padding.

    [B, C, Y, X] -> [B, C, Y', X']. `kernel`, `strides` [2] for Y and X.
    """

    name = "nn.pool2d"
    input = operand_def(base(TensorType))
    kind = attr_def(StringAttr)
    kernel = attr_def(Numbers)
    strides = attr_def(Numbers)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$kind $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, kind: str, x: SSAValue, kernel: Pair, strides: Pair) -> None:
        super().__init__(
            operands=[x],
            attributes={
                "kind": StringAttr(kind),
                "kernel": _array(kernel),
                "strides": _array(strides),
            },
            result_types=[float_tensor(_pooled(shape_of(x), kernel, strides))],
        )

    @property
    def window(self) -> tuple[int, ...]:
        """Extents of the window."""
        return _numbers(self.kernel, 2, "kernel", 1)

    @property
    def steps(self) -> tuple[int, ...]:
        """Strides of Y and X."""
        return _numbers(self.strides, 2, "strides", 1)

    def verify_(self) -> None:
        require_f32(self.input)
        if self.kind.data not in POOLS:
            raise VerifyException(f"pooling '{self.kind.data}' is none of {', '.join(POOLS)}")
        if len(shape_of(self.input)) != 4:
            raise VerifyException(f"pooling needs [B, C, Y, X], got {shape_text(self.input)}")
        shape = _pooled(shape_of(self.input), self.window, self.steps)
        require_shape("result", self.result, shape)


def _pooled(shape: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    *lead, y, x = shape
    pairs = zip((y, x), kernel, strides, strict=True)
    return (*lead, *(window_count(e, k, s, 1, 0) for e, k, s in pairs))
