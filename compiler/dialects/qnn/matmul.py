"""Integer matrix products of `qnn` and the accumulator rules they carry (DESIGN D5)."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import IntAttr, StringAttr, TensorType
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.types import int_tensor, int_width, require_same_shape, shape_of

NEUTRAL_ACCUMULATOR = 64
"""Accumulator of a program that is not legalized for any target."""

OVERFLOW = ("proved", "saturate")
"""What happens when a sum leaves the accumulator: it cannot, or it is clamped."""

WIDEST_SATURATING = 62
"""A clamped sum plus one product of two 31-bit operands must fit 64 bits."""


@irdl_attr_definition
class AccAttr(ParametrizedAttribute):
    """`#qnn.acc<32, proved, bound = 4194304>`: accumulator width, overflow rule, bound.

    `bound` is the largest possible |sum|: max over rows of sum|w| times max|x|. `proved` says
    that every partial sum fits the width whatever its order. `saturate` clamps to the width
    after every addition; the products are added in the order k = 0, 1, ..., K-1. It stands only
    where the bound does not fit the width, so that an order never matters without need.
    """

    name = "qnn.acc"
    width: IntAttr
    overflow: StringAttr
    bound: IntAttr

    @staticmethod
    def proved(width: int, bound: int) -> AccAttr:
        """An accumulator of `width` bits that cannot overflow."""
        return AccAttr(IntAttr(width), StringAttr("proved"), IntAttr(bound))

    @staticmethod
    def saturating(width: int, bound: int) -> AccAttr:
        """An accumulator of `width` bits that saturates at every addition where it has to."""
        rule = "proved" if needed_bits(bound) <= width else "saturate"
        return AccAttr(IntAttr(width), StringAttr(rule), IntAttr(bound))

    @property
    def saturates(self) -> bool:
        """Whether a sum may clamp, so that the order of its additions counts."""
        return self.overflow.data == "saturate"

    @property
    def bits(self) -> int:
        """Bits of a sum as a signed integer."""
        return self.width.data if self.saturates else needed_bits(self.bound.data)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """`<width, rule, bound = n>`."""
        with parser.in_angle_brackets():
            width = parser.parse_integer(allow_boolean=False, allow_negative=False)
            parser.parse_punctuation(",")
            rule = parser.parse_identifier()
            parser.parse_punctuation(",")
            parser.parse_keyword("bound")
            parser.parse_punctuation("=")
            bound = parser.parse_integer(allow_boolean=False, allow_negative=False)
        return [IntAttr(width), StringAttr(rule), IntAttr(bound)]

    def print_parameters(self, printer: Printer) -> None:
        """`<width, rule, bound = n>`."""
        printer.print_string(
            f"<{self.width.data}, {self.overflow.data}, bound = {self.bound.data}>"
        )

    def verify(self) -> None:
        if self.overflow.data not in OVERFLOW:
            raise VerifyException(f"overflow rule '{self.overflow.data}' is not supported")
        fits = needed_bits(self.bound.data) <= self.width.data
        if self.saturates:
            if fits or not 2 <= self.width.data <= WIDEST_SATURATING:
                raise VerifyException(
                    f"a saturating accumulator has 2..{WIDEST_SATURATING} bits and a bound beyond "
                    f"them, got {self.width.data} bits and {self.bound.data}"
                )
        elif not fits:
            raise VerifyException(
                f"|sum| can reach {self.bound.data}: {needed_bits(self.bound.data)} bits, "
                f"the accumulator has {self.width.data}"
            )


def needed_bits(bound: int) -> int:
    """Bits of a signed integer that holds every value of [-bound, bound]."""
    return bound.bit_length() + 1


@irdl_op_definition
class MatmulOp(IRDLOperation):
    """x W^T in integers: x [..., K], W [N, K] -> [..., N], summed as `acc` says."""

    name = "qnn.matmul"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    acc = attr_def(AccAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$input `,` $weight attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, weight: SSAValue, acc: AccAttr) -> None:
        shape = [*shape_of(x)[:-1], shape_of(weight)[0]]
        super().__init__(
            operands=[x, weight],
            attributes={"acc": acc},
            result_types=[int_tensor(shape, acc.bits)],
        )

    def verify_(self) -> None:
        x, w, y = shape_of(self.input), shape_of(self.weight), shape_of(self.result)
        if len(w) != 2 or not x or x[-1] != w[1] or y != (*x[:-1], w[0]):
            raise VerifyException(f"shapes do not fit: {x} times {w} transposed gives {y}")
        int_width(self.input)
        int_width(self.weight)
        width, _ = int_width(self.result)
        if width != self.acc.bits:
            raise VerifyException(f"result has {width} bits, the sum needs {self.acc.bits}")


@irdl_op_definition
class SplitOp(IRDLOperation):
    """si16 -> (high = x >> 8 as si8, low = x & 255 as ui8), so x = high * 256 + low."""

    name = "qnn.split"
    input = operand_def(base(TensorType))
    high = result_def(base(TensorType))
    low = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue) -> None:
        shape = shape_of(x)
        super().__init__(
            operands=[x],
            result_types=[int_tensor(shape, 8), int_tensor(shape, 8, signed=False)],
        )

    def verify_(self) -> None:
        got = [int_width(v) for v in (self.input, self.high, self.low)]
        if got != [(16, True), (8, True), (8, False)]:
            raise VerifyException("split takes si16 apart into si8 and ui8")
        require_same_shape(self.input, self.high, self.low)
