"""`nn.gru`: GRU with both reset variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import BoolAttr, TensorType
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

from mohaq.compiler.dialects.nn.function import FunctionAttr
from mohaq.compiler.dialects.nn.layer import require_shape
from mohaq.compiler.dialects.nn.recurrent import (
    CellOp,
    cell_attributes,
    require_state,
    sequence_type,
    state_type,
)
from mohaq.compiler.dialects.types import require_f32, shape_of


@irdl_op_definition
class GruOp(CellOp):
    """One GRU layer (Cho et al. 2014).

    r = f1(W_r x + R_r h' + b_r);  z = f1(W_z x + R_z h' + b_z)
    n = f2(W_n x + b_n + r (R_n h' + q))     reset_after (torch, ONNX linear_before_reset = 1)
    n = f2(W_n x + b_n + R_n (r h'))         otherwise (ONNX linear_before_reset = 0)
    h = (1 - z) n + z h'

    Functions f1 (gate), f2 (candidate): sigmoid, tanh by default.

    Shapes, gate order r, z, n (torch's): input [T, B, I]; weight [D, 3, H, I]; recurrent
    [D, 3, H, H]; bias [D, 3, H] (both biases added, but for q); recurrent_bias [D, H] = q, only
    with reset_after; initial_state [D, B, H] (zero when absent); lengths [B] si64
    -> result [T, B, D*H], final_state [D, B, H].

    Slots: `weight`, `input`, `recurrent`, `hidden` are searched; `bias`, `gate`, `state` (h) have
    16 bits.
    """

    name = "nn.gru"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    recurrent = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    recurrent_bias = opt_operand_def(base(TensorType))
    initial_state = opt_operand_def(base(TensorType))
    lengths = opt_operand_def(base(TensorType))
    reset_after = attr_def(BoolAttr)
    result = result_def(base(TensorType))
    final_state = result_def(base(TensorType))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight `,` $recurrent "
        "(`bias` `(` $bias^ `:` type($bias) `)`)? "
        "(`recurrent_bias` `(` $recurrent_bias^ `:` type($recurrent_bias) `)`)? "
        "(`init` `(` $initial_state^ `:` type($initial_state) `)`)? "
        "(`lengths` `(` $lengths^ `:` type($lengths) `)`)? "
        "attr-dict `:` `(` type($input) `,` type($weight) `,` type($recurrent) `)` "
        "`->` `(` type($result) `,` type($final_state) `)`"
    )
    ROLES: ClassVar[tuple[str, ...]] = ("gate", "candidate")
    DEFAULTS: ClassVar[tuple[str, ...]] = ("sigmoid", "tanh")
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = ("weight", "input", "recurrent", "hidden")
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = ("bias", "gate", "state")

    def __init__(
        self,
        label: str,
        x: SSAValue,
        weight: SSAValue,
        recurrent: SSAValue,
        bias: SSAValue | None = None,
        *,
        recurrent_bias: SSAValue | None = None,
        initial_state: SSAValue | None = None,
        lengths: SSAValue | None = None,
        direction: str = "forward",
        reset_after: bool = True,
        activations: Sequence[FunctionAttr] | None = None,
        clip: float | None = None,
    ) -> None:
        count, _, hidden, _ = shape_of(weight)
        super().__init__(
            operands=[x, weight, recurrent, bias, recurrent_bias, initial_state, lengths],
            attributes={
                **cell_attributes(label, direction, activations, clip),
                "reset_after": BoolAttr.from_bool(reset_after),
            },
            result_types=[sequence_type(x, count * hidden), state_type(x, count, hidden)],
        )

    @property
    def hidden(self) -> int:
        """Units of one direction, H."""
        return shape_of(self.weight)[2]

    @property
    def resets_after(self) -> bool:
        """Whether r scales the product (True) or the state that enters it."""
        return bool(self.reset_after.value.data)

    def state_operands(self) -> dict[str, SSAValue]:
        """Initial h, if given."""
        return {} if self.initial_state is None else {"state": self.initial_state}

    def state_results(self) -> dict[str, SSAValue]:
        """Final h."""
        return {"state": self.final_state}

    def verify_(self) -> None:
        self.verify_cell()
        count, hidden = self.verify_gates(
            3, self.input, self.weight, self.recurrent, shape_of(self.weight)[2]
        )
        steps, batch, _ = shape_of(self.input)
        for value in (self.bias, self.recurrent_bias, *self.results):
            if value is not None:
                require_f32(value)
        require_shape("bias", self.bias, (count, 3, hidden))
        require_shape("recurrent bias", self.recurrent_bias, (count, hidden))
        if self.recurrent_bias is not None and not self.resets_after:
            raise VerifyException("a recurrent bias of its own needs reset_after = true")
        require_state("initial state", self.initial_state, (count, batch, hidden))
        self.verify_lengths(self.lengths, batch)
        require_shape("result", self.result, (steps, batch, count * hidden))
        require_shape("final state", self.final_state, (count, batch, hidden))
        self.verify_annotations()
