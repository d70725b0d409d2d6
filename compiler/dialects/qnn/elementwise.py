"""Elementwise integer operations of `qnn`.

Two tensors are combined elementwise; the shorter shape is repeated over the leading extents
of the longer (a [H] vector against a [B, H] state).
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    DenseArrayBase,
    IntegerAttr,
    TensorType,
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

from mohaq.compiler.dialects.qnn.canonicalization import ValueTrait
from mohaq.compiler.dialects.types import (
    int_range,
    int_tensor,
    int_width,
    require_same_shape,
    shape_of,
)

MAX_BITS = 64
"""Widest integer of the semantics: NumPy's int64."""


def i64_attr(value: int) -> IntegerAttr:
    """A plain 64-bit integer attribute."""
    return IntegerAttr(value, i64)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    if short and long[len(long) - len(short) :] != short:
        raise VerifyException(f"shapes {a} and {b} do not combine elementwise")
    return long


def require_width(value: SSAValue, needed: int) -> None:
    """Check that a result is wide enough for every possible value.

    Raises:
        VerifyException: it is not, or more than 64 bits are needed.
    """
    width, _ = int_width(value)
    if needed > MAX_BITS:
        raise VerifyException(f"needs {needed} bits, more than {MAX_BITS}")
    if width < needed:
        raise VerifyException(f"result of {width} bits could overflow: {needed} bits needed")


def signed_bits(value: SSAValue) -> int:
    """Bits of the value's type as a signed integer (an unsigned one needs one more)."""
    width, signed = int_width(value)
    return width if signed else width + 1


@irdl_op_definition
class RequantizeOp(IRDLOperation):
    """Dyadic rescale, then saturation to the result type: clamp((x*m + 2^(s-1)) >> s).

    The shift is arithmetic; s = 0 adds nothing. With G multipliers the last extent is cut in
    G equal runs of channels and run g uses (m[g], s[g]): G = 1 is per tensor, G = extent is
    per channel.
    """

    name = "qnn.requantize"
    input = operand_def(base(TensorType))
    multipliers = attr_def(DenseArrayBase)
    shifts = attr_def(DenseArrayBase)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), ValueTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(
        self, x: SSAValue, multipliers: Sequence[int], shifts: Sequence[int], width: int
    ) -> None:
        super().__init__(
            operands=[x],
            attributes={
                "multipliers": DenseArrayBase.from_list(i64, list(multipliers)),
                "shifts": DenseArrayBase.from_list(i64, list(shifts)),
            },
            result_types=[int_tensor(shape_of(x), width)],
        )

    def scales(self) -> tuple[tuple[int, int], ...]:
        """((m, s), ...) of each run of channels."""
        ms, ss = self.multipliers.get_values(), self.shifts.get_values()
        return tuple((int(m), int(s)) for m, s in zip(ms, ss, strict=True))

    def verify_(self) -> None:
        if len(self.multipliers.get_values()) != len(self.shifts.get_values()):
            raise VerifyException("as many shifts as multipliers are needed")
        scales = self.scales()
        shape = shape_of(self.input)
        require_same_shape(self.input, self.result)
        if not scales or (len(scales) > 1 and shape[-1] % len(scales)):
            raise VerifyException(f"{len(scales)} multipliers do not divide {shape[-1]} channels")
        bits = signed_bits(self.input)
        for m, s in scales:
            if m <= 0 or not 0 <= s <= 62:
                raise VerifyException(f"multiplier {m} must be positive, shift {s} in 0..62")
            if bits + m.bit_length() > 63:
                raise VerifyException(
                    f"{bits}-bit operand times {m.bit_length()}-bit multiplier exceeds 63 bits"
                )


@irdl_op_definition
class BiasOp(IRDLOperation):
    """Aligned bias: acc * 2^acc_shift + b * 2^bias_shift; one of the shifts is 0."""

    name = "qnn.bias"
    acc = operand_def(base(TensorType))
    bias = operand_def(base(TensorType))
    acc_shift = attr_def(IntegerAttr)
    bias_shift = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$acc `,` $bias attr-dict `:` functional-type(operands, results)"

    def __init__(self, acc: SSAValue, bias: SSAValue, acc_shift: int, bias_shift: int) -> None:
        width = 1 + max(signed_bits(acc) + acc_shift, signed_bits(bias) + bias_shift)
        super().__init__(
            operands=[acc, bias],
            attributes={"acc_shift": i64_attr(acc_shift), "bias_shift": i64_attr(bias_shift)},
            result_types=[int_tensor(shape_of(acc), width)],
        )

    def verify_(self) -> None:
        a, b = self.acc_shift.value.data, self.bias_shift.value.data
        if a < 0 or b < 0 or (a and b):
            raise VerifyException("shifts must not be negative, and one of them must be 0")
        if _broadcast(shape_of(self.acc), shape_of(self.bias)) != shape_of(self.result):
            raise VerifyException("result shape differs from the accumulator's")
        require_width(self.result, 1 + max(signed_bits(self.acc) + a, signed_bits(self.bias) + b))


@irdl_op_definition
class AddOp(IRDLOperation):
    """a + b, exact."""

    name = "qnn.add"
    lhs = operand_def(base(TensorType))
    rhs = operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue) -> None:
        width = 1 + max(signed_bits(lhs), signed_bits(rhs))
        shape = _broadcast(shape_of(lhs), shape_of(rhs))
        super().__init__(operands=[lhs, rhs], result_types=[int_tensor(shape, width)])

    def verify_(self) -> None:
        if _broadcast(shape_of(self.lhs), shape_of(self.rhs)) != shape_of(self.result):
            raise VerifyException("result shape is wrong")
        require_width(self.result, 1 + max(signed_bits(self.lhs), signed_bits(self.rhs)))


@irdl_op_definition
class MulOp(IRDLOperation):
    """a * b, exact."""

    name = "qnn.mul"
    lhs = operand_def(base(TensorType))
    rhs = operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue) -> None:
        width = signed_bits(lhs) + signed_bits(rhs)
        shape = _broadcast(shape_of(lhs), shape_of(rhs))
        super().__init__(operands=[lhs, rhs], result_types=[int_tensor(shape, width)])

    def verify_(self) -> None:
        if _broadcast(shape_of(self.lhs), shape_of(self.rhs)) != shape_of(self.result):
            raise VerifyException("result shape is wrong")
        require_width(self.result, signed_bits(self.lhs) + signed_bits(self.rhs))


@irdl_op_definition
class ShlOp(IRDLOperation):
    """x * 2^amount, exact."""

    name = "qnn.shl"
    input = operand_def(base(TensorType))
    amount = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), ValueTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, amount: int, width: int | None = None) -> None:
        held = signed_bits(x) + amount if width is None else width
        super().__init__(
            operands=[x],
            attributes={"amount": i64_attr(amount)},
            result_types=[int_tensor(shape_of(x), held)],
        )

    def verify_(self) -> None:
        if self.amount.value.data < 0:
            raise VerifyException("the shift amount must not be negative")
        require_same_shape(self.input, self.result)
        require_width(self.result, signed_bits(self.input) + self.amount.value.data)


@irdl_op_definition
class ShrOp(IRDLOperation):
    """Shift without rounding, then saturation to the result type: clamp(floor(x / 2^s)).

    A negative s shifts left. With G shifts the last extent is cut in G equal runs of channels and run g uses shifts[g].
    """

    name = "qnn.shr"
    input = operand_def(base(TensorType))
    shifts = attr_def(DenseArrayBase)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, shifts: Sequence[int], width: int) -> None:
        super().__init__(
            operands=[x],
            attributes={"shifts": DenseArrayBase.from_list(i64, list(shifts))},
            result_types=[int_tensor(shape_of(x), width)],
        )

    def amounts(self) -> tuple[int, ...]:
        """The shift of each run of channels."""
        return tuple(int(s) for s in self.shifts.get_values())

    def verify_(self) -> None:
        require_same_shape(self.input, self.result)
        amounts, extent = self.amounts(), shape_of(self.input)[-1]
        if not amounts or (len(amounts) > 1 and extent % len(amounts)):
            raise VerifyException(f"{len(amounts)} shifts do not divide {extent} channels")
        room = MAX_BITS - signed_bits(self.input)
        if not all(-room <= s <= 62 for s in amounts):
            raise VerifyException(f"shifts must be in {-room}..62 here")
        int_width(self.result)


@irdl_op_definition
class RsubOp(IRDLOperation):
    """constant - x, exact."""

    name = "qnn.rsub"
    input = operand_def(base(TensorType))
    constant = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, constant: int) -> None:
        super().__init__(
            operands=[x],
            attributes={"constant": i64_attr(constant)},
            result_types=[int_tensor(shape_of(x), _rsub_bits(x, constant))],
        )

    def verify_(self) -> None:
        require_same_shape(self.input, self.result)
        require_width(self.result, _rsub_bits(self.input, self.constant.value.data))


def _rsub_bits(x: SSAValue, constant: int) -> int:
    width, signed = int_width(x)
    low, high = int_range(width, signed=signed)
    extremes = (constant - high, constant - low)
    return 1 + max((v if v >= 0 else ~v).bit_length() for v in extremes)


@irdl_op_definition
class SaturateOp(IRDLOperation):
    """Clamp to the result type."""

    name = "qnn.saturate"
    input = operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), ValueTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, width: int) -> None:
        super().__init__(operands=[x], result_types=[int_tensor(shape_of(x), width)])

    def verify_(self) -> None:
        require_same_shape(self.input, self.result)
        int_width(self.input)
        int_width(self.result)
