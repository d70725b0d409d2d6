"""`nn.rnn`, the Elman network, and `nn.ligru`, the light GRU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import FloatAttr, TensorType, f64
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

SEARCHED = ("weight", "input", "recurrent", "hidden")
FIXED = ("bias", "gate", "state")


@irdl_op_definition
class RnnOp(CellOp):
    """One vanilla RNN layer (Elman 1990): h = f(W x + R h' + b), f = tanh by default.

    Shapes: input [T, B, I]; weight [D, 1, H, I]; recurrent [D, 1, H, H]; bias [D, 1, H];
    initial_state [D, B, H] (zero when absent); lengths [B] si64
    -> result [T, B, D*H], final_state [D, B, H].

    Slots: `weight`, `input`, `recurrent`, `hidden` are searched; `bias`, `gate`, `state` (h) have
    16 bits.
    """

    name = "nn.rnn"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    recurrent = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    initial_state = opt_operand_def(base(TensorType))
    lengths = opt_operand_def(base(TensorType))
    result = result_def(base(TensorType))
    final_state = result_def(base(TensorType))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight `,` $recurrent "
        "(`bias` `(` $bias^ `:` type($bias) `)`)? "
        "(`init` `(` $initial_state^ `:` type($initial_state) `)`)? "
        "(`lengths` `(` $lengths^ `:` type($lengths) `)`)? "
        "attr-dict `:` `(` type($input) `,` type($weight) `,` type($recurrent) `)` "
        "`->` `(` type($result) `,` type($final_state) `)`"
    )
    ROLES: ClassVar[tuple[str, ...]] = ("output",)
    DEFAULTS: ClassVar[tuple[str, ...]] = ("tanh",)
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = SEARCHED
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = FIXED

    def __init__(
        self,
        label: str,
        x: SSAValue,
        weight: SSAValue,
        recurrent: SSAValue,
        bias: SSAValue | None = None,
        *,
        initial_state: SSAValue | None = None,
        lengths: SSAValue | None = None,
        direction: str = "forward",
        activations: Sequence[FunctionAttr] | None = None,
        clip: float | None = None,
    ) -> None:
        count, _, hidden, _ = shape_of(weight)
        super().__init__(
            operands=[x, weight, recurrent, bias, initial_state, lengths],
            attributes=cell_attributes(label, direction, activations, clip),
            result_types=[sequence_type(x, count * hidden), state_type(x, count, hidden)],
        )

    @property
    def hidden(self) -> int:
        """Units of one direction, H."""
        return shape_of(self.weight)[2]

    def state_operands(self) -> dict[str, SSAValue]:
        """Initial h, if given."""
        return {} if self.initial_state is None else {"state": self.initial_state}

    def state_results(self) -> dict[str, SSAValue]:
        """Final h."""
        return {"state": self.final_state}

    def verify_(self) -> None:
        verify_simple(self, 1)


@irdl_op_definition
class LiGruOp(CellOp):
    """One light GRU layer (Ravanelli et al. 2018): no reset gate, relu candidate.

    z = f1(n_z(W_z x) + R_z h' + b_z);  a = f2(n_a(W_a x) + R_a h' + b_a)
    h = z h' + (1 - z) a

    Functions f1 (gate), f2 (candidate): sigmoid, relu by default. n is batch normalization at
    inference, n(v) = gamma (v - mean) / sqrt(var + epsilon) + beta, or nothing; the pass
    `fold-batchnorm` folds it into weight and bias.

    Shapes, gate order z, a: input [T, B, I]; weight [D, 2, H, I]; recurrent [D, 2, H, H]; bias
    [D, 2, H]; norm [D, 2, 4, H] (gamma, beta, mean, var); initial_state [D, B, H] (zero when
    absent); lengths [B] si64 -> result [T, B, D*H], final_state [D, B, H].

    Slots: as `nn.rnn`; a norm must be folded before lowering.
    """

    name = "nn.ligru"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    recurrent = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    norm = opt_operand_def(base(TensorType))
    initial_state = opt_operand_def(base(TensorType))
    lengths = opt_operand_def(base(TensorType))
    epsilon = attr_def(FloatAttr)
    result = result_def(base(TensorType))
    final_state = result_def(base(TensorType))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight `,` $recurrent "
        "(`bias` `(` $bias^ `:` type($bias) `)`)? "
        "(`norm` `(` $norm^ `:` type($norm) `)`)? "
        "(`init` `(` $initial_state^ `:` type($initial_state) `)`)? "
        "(`lengths` `(` $lengths^ `:` type($lengths) `)`)? "
        "attr-dict `:` `(` type($input) `,` type($weight) `,` type($recurrent) `)` "
        "`->` `(` type($result) `,` type($final_state) `)`"
    )
    ROLES: ClassVar[tuple[str, ...]] = ("gate", "candidate")
    DEFAULTS: ClassVar[tuple[str, ...]] = ("sigmoid", "relu")
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = SEARCHED
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = FIXED

    def __init__(
        self,
        label: str,
        x: SSAValue,
        weight: SSAValue,
        recurrent: SSAValue,
        bias: SSAValue | None = None,
        *,
        norm: SSAValue | None = None,
        initial_state: SSAValue | None = None,
        lengths: SSAValue | None = None,
        direction: str = "forward",
        epsilon: float = 1e-5,
        activations: Sequence[FunctionAttr] | None = None,
        clip: float | None = None,
    ) -> None:
        count, _, hidden, _ = shape_of(weight)
        super().__init__(
            operands=[x, weight, recurrent, bias, norm, initial_state, lengths],
            attributes={
                **cell_attributes(label, direction, activations, clip),
                "epsilon": FloatAttr(epsilon, f64),
            },
            result_types=[sequence_type(x, count * hidden), state_type(x, count, hidden)],
        )

    @property
    def hidden(self) -> int:
        """Units of one direction, H."""
        return shape_of(self.weight)[2]

    def state_operands(self) -> dict[str, SSAValue]:
        """Initial h, if given."""
        return {} if self.initial_state is None else {"state": self.initial_state}

    def state_results(self) -> dict[str, SSAValue]:
        """Final h."""
        return {"state": self.final_state}

    def verify_(self) -> None:
        verify_simple(self, 2)
        require_shape("norm", self.norm, (self.directions, 2, 4, self.hidden))
        if not float(self.epsilon.value.data) >= 0:
            raise VerifyException(f"epsilon must not be negative, got {self.epsilon.value.data}")


def verify_simple(op: RnnOp | LiGruOp, gates: int) -> None:
    """Check a cell with one state h and one bias a gate.

    Raises:
        VerifyException: wrong gate count or size.
    """
    op.verify_cell()
    count, hidden = op.verify_gates(gates, op.input, op.weight, op.recurrent, op.hidden)
    steps, batch, _ = shape_of(op.input)
    if op.bias is not None:
        require_f32(op.bias)
    require_shape("bias", op.bias, (count, gates, hidden))
    require_state("initial state", op.initial_state, (count, batch, hidden))
    op.verify_lengths(op.lengths, batch)
    for value in op.results:
        require_f32(value)
    require_shape("result", op.result, (steps, batch, count * hidden))
    require_shape("final state", op.final_state, (count, batch, hidden))
    op.verify_annotations()
