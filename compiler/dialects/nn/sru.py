"""`nn.sru`."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import FloatAttr, StringAttr, TensorType, f64
from xdsl.ir import SSAValue
from xdsl.irdl import (
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

from mohaq.compiler.dialects.nn.recurrent import DIRECTIONS, RecurrentOp, require_state
from mohaq.compiler.dialects.types import float_tensor, require_f32, shape_of

SKIPS = ("none", "identity", "projected")
ACTIVATIONS = ("identity", "tanh", "relu")


@irdl_op_definition
class SruOp(RecurrentOp):
    """One SRU layer (Lei et al. 2018, with both recurrent vectors).

    u = W x;  f = sigmoid(u_f + v_f c' + b_f);  r = sigmoid(u_r + v_r c' + b_r)
    c = f c' + (1-f) u_x;  h = r act(c) + (1-r) skip_scale s
    with c' the previous state and s the skip input (x itself, its projection, or 0).

    Shapes: input [T, B, I]; weight [D, k, H, I] in gate order x~, f, r (, skip);
    vector [D, 2, H] (v_f, v_r); bias [D, 2, H] (b_f, b_r); initial_state [D, B, H] (zero when
    absent) -> result [T, B, D*H], final_state [D, B, H]. Direction index 1 is the reverse one.

    Slots: `weight`, `input` (searched); `vector`, `bias`, `gate`, `state` (16 bit).
    """

    name = "nn.sru"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    vector = operand_def(base(TensorType))
    bias = operand_def(base(TensorType))
    initial_state = opt_operand_def(base(TensorType))
    skip = attr_def(StringAttr)
    skip_scale = attr_def(FloatAttr)
    activation = attr_def(StringAttr)
    result = result_def(base(TensorType))
    final_state = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight `,` $vector `,` $bias (`init` $initial_state^)? attr-dict "
        "`:` functional-type(operands, results)"
    )
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = ("weight", "input")
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = ("vector", "bias", "gate", "state")

    def __init__(
        self,
        label: str,
        x: SSAValue,
        weight: SSAValue,
        vector: SSAValue,
        bias: SSAValue,
        initial_state: SSAValue | None = None,
        *,
        direction: str = "forward",
        skip: str = "none",
        skip_scale: float = 1.0,
        activation: str = "identity",
    ) -> None:
        steps, batch, _ = shape_of(x)
        count, _, hidden, _ = shape_of(weight)
        super().__init__(
            operands=[x, weight, vector, bias, initial_state],
            attributes={
                "op_name": StringAttr(label),
                "direction": StringAttr(direction),
                "skip": StringAttr(skip),
                "skip_scale": FloatAttr(skip_scale, f64),
                "activation": StringAttr(activation),
            },
            result_types=[
                float_tensor([steps, batch, count * hidden]),
                float_tensor([count, batch, hidden]),
            ],
        )

    @property
    def hidden(self) -> int:
        """Units of one direction, H."""
        return shape_of(self.weight)[2]

    def state_operands(self) -> dict[str, SSAValue]:
        """Initial c, if given."""
        return {} if self.initial_state is None else {"state": self.initial_state}

    def state_results(self) -> dict[str, SSAValue]:
        """Final c."""
        return {"state": self.final_state}

    def verify_(self) -> None:
        for value in (*self.operands, *self.results):
            require_f32(value)
        for text, known in (
            (self.direction.data, tuple(DIRECTIONS)),
            (self.skip.data, SKIPS),
            (self.activation.data, ACTIVATIONS),
        ):
            if text not in known:
                raise VerifyException(f"'{text}' is none of {', '.join(known)}")
        x, w = shape_of(self.input), shape_of(self.weight)
        if len(x) != 3 or len(w) != 4:
            raise VerifyException(f"input {x} must be [T, B, I] and weight {w} [D, k, H, I]")
        count, gates, hidden, features = w
        expected_gates = 4 if self.skip.data == "projected" else 3
        if count != self.directions or gates != expected_gates or features != x[2]:
            raise VerifyException(
                f"weight is {w}, expected {(self.directions, expected_gates, hidden, x[2])}"
            )
        if self.skip.data == "identity" and x[2] != count * hidden:
            raise VerifyException(f"identity skip needs {count * hidden} inputs, got {x[2]}")
        for title, value in (("vector", self.vector), ("bias", self.bias)):
            if shape_of(value) != (count, 2, hidden):
                raise VerifyException(
                    f"{title} is {shape_of(value)}, expected {(count, 2, hidden)}"
                )
        state = (count, x[1], hidden)
        require_state("initial state", self.initial_state, state)
        if shape_of(self.result) != (x[0], x[1], count * hidden):
            raise VerifyException(
                f"result is {shape_of(self.result)}, expected {(x[0], x[1], count * hidden)}"
            )
        if shape_of(self.final_state) != state:
            raise VerifyException(f"final state is {shape_of(self.final_state)}, expected {state}")
        self.verify_annotations()
