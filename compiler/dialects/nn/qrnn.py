"""`nn.qrnn`: quasi-recurrent layer."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import StringAttr, TensorType
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
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
from mohaq.compiler.dialects.nn.recurrent import (
    RecurrentOp,
    require_state,
    sequence_type,
    state_type,
)
from mohaq.compiler.dialects.types import require_f32, shape_of

POOLINGS: dict[str, int] = {"f": 2, "fo": 3, "ifo": 4}
"""Pooling -> number of gate rows: z, f (, o (, i))."""


@irdl_op_definition
class QrnnOp(RecurrentOp):
    """One quasi-recurrent layer (Bradbury et al. 2017), window k of 1 or 2.

    z = tanh(W_z * x + b_z);  f, o, i = sigmoid(W * x + b)
    c = f c' + (1 - f) z   (pooling f, fo);   c = f c' + i z   (pooling ifo)
    h = c (pooling f);     h = o c (pooling fo, ifo)

    W * x is the masked convolution sum_j W[..., j, :] x_{t-k+1+j} (j = k-1 is the current step;
    the reverse direction looks at x_{t+1} instead of x_{t-1}).

    Shapes, gate order z, f, o, i: input [T, B, I]; weight [D, G, H, k, I]; bias [D, G, H];
    initial_state [D, B, H] = c (zero when absent); initial_input [D, B, I], the input before the
    first step of each direction, with window 2 only (zero when absent)
    -> result [T, B, D*H], final_state [D, B, H], final_input [D, B, I] (the last input that
    each direction has read).

    Slots: `weight`, `input` are searched; `bias`, `gate`, `state` (c) have 16 bits.
    """

    name = "nn.qrnn"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    initial_state = opt_operand_def(base(TensorType))
    initial_input = opt_operand_def(base(TensorType))
    pooling = attr_def(StringAttr)
    result = result_def(base(TensorType))
    final_state = result_def(base(TensorType))
    final_input = result_def(base(TensorType))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight "
        "(`bias` `(` $bias^ `:` type($bias) `)`)? "
        "(`init` `(` $initial_state^ `:` type($initial_state) `)`)? "
        "(`before` `(` $initial_input^ `:` type($initial_input) `)`)? "
        "attr-dict `:` `(` type($input) `,` type($weight) `)` "
        "`->` `(` type($result) `,` type($final_state) `,` type($final_input) `)`"
    )
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = ("weight", "input")
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = ("bias", "gate", "state")

    def __init__(
        self,
        label: str,
        x: SSAValue,
        weight: SSAValue,
        bias: SSAValue | None = None,
        *,
        initial_state: SSAValue | None = None,
        initial_input: SSAValue | None = None,
        direction: str = "forward",
        pooling: str = "fo",
    ) -> None:
        count, _, hidden, _, features = shape_of(weight)
        super().__init__(
            operands=[x, weight, bias, initial_state, initial_input],
            attributes={
                "op_name": StringAttr(label),
                "direction": StringAttr(direction),
                "pooling": StringAttr(pooling),
            },
            result_types=[
                sequence_type(x, count * hidden),
                state_type(x, count, hidden),
                state_type(x, count, features),
            ],
        )

    @property
    def hidden(self) -> int:
        """Units of one direction, H."""
        return shape_of(self.weight)[2]

    @property
    def window(self) -> int:
        """Width of the convolution, k."""
        return shape_of(self.weight)[3]

    def state_operands(self) -> dict[str, SSAValue]:
        """Initial c and previous input that are given."""
        given = {"state": self.initial_state, "input": self.initial_input}
        return {slot: value for slot, value in given.items() if value is not None}

    def state_results(self) -> dict[str, SSAValue]:
        """Final c and last input."""
        return {"state": self.final_state, "input": self.final_input}

    def verify_(self) -> None:
        self.verify_direction()
        if self.pooling.data not in POOLINGS:
            raise VerifyException(f"pooling '{self.pooling.data}' is none of {', '.join(POOLINGS)}")
        for value in (self.input, self.weight, *self.results):
            require_f32(value)
        if len(shape_of(self.input)) != 3 or len(shape_of(self.weight)) != 5:
            raise VerifyException(
                f"input {shape_text(self.input)} must be [T, B, I] and weight "
                f"{shape_text(self.weight)} [D, G, H, k, I]"
            )
        steps, batch, features = shape_of(self.input)
        count, hidden, gates = self.directions, self.hidden, POOLINGS[self.pooling.data]
        if self.window not in {1, 2}:
            raise VerifyException(f"the window must be 1 or 2, got {self.window}")
        require_shape("weight", self.weight, (count, gates, hidden, self.window, features))
        if self.bias is not None:
            require_f32(self.bias)
        require_shape("bias", self.bias, (count, gates, hidden))
        require_state("initial state", self.initial_state, (count, batch, hidden))
        require_state("initial input", self.initial_input, (count, batch, features))
        if self.initial_input is not None and self.window != 2:
            raise VerifyException("an initial input needs a window of 2")
        require_shape("result", self.result, (steps, batch, count * hidden))
        require_shape("final state", self.final_state, (count, batch, hidden))
        require_shape("final input", self.final_input, (count, batch, features))
        self.verify_annotations()
