"""`nn.lstm`: LSTM with peepholes, projection and coupled gates."""

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
class LstmOp(CellOp):
    """One LSTM layer (Hochreiter and Schmidhuber 1997; peepholes: Gers et al. 2002).

    i = f1(W_i x + R_i h' + b_i + p_i c')
    f = f1(W_f x + R_f h' + b_f + p_f c')       coupled: f = 1 - i
    g = f2(W_g x + R_g h' + b_g)
    c = f c' + i g
    o = f1(W_o x + R_o h' + b_o + p_o c)
    h = o f3(c)                                 with projection: h = P (o f3(c))

    Functions f1 (gate), f2 (cell), f3 (hidden): sigmoid, tanh, tanh by default.

    Shapes, gate order i, f, g, o (torch's): input [T, B, I]; weight [D, 4, H, I]; recurrent
    [D, 4, H, P] with P = H without projection; bias [D, 4, H] (torch's and ONNX's two biases
    are added at the border); peephole [D, 3, H] (i, f, o); projection [D, P, H]; initial_h
    [D, B, P], initial_c [D, B, H] (zero when absent); lengths [B] si64
    -> result [T, B, D*P], final_h [D, B, P], final_c [D, B, H].

    Slots: `weight`, `input`, `recurrent`, `hidden` (h' as operand of the recurrent product)
    are searched; `bias`, `peephole`, `projection`, `gate` (pre-activations), `state` (c),
    `output` (h) have 16 bits.
    """

    name = "nn.lstm"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    recurrent = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    peephole = opt_operand_def(base(TensorType))
    projection = opt_operand_def(base(TensorType))
    initial_h = opt_operand_def(base(TensorType))
    initial_c = opt_operand_def(base(TensorType))
    lengths = opt_operand_def(base(TensorType))
    coupled = attr_def(BoolAttr)
    result = result_def(base(TensorType))
    final_h = result_def(base(TensorType))
    final_c = result_def(base(TensorType))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight `,` $recurrent "
        "(`bias` `(` $bias^ `:` type($bias) `)`)? "
        "(`peephole` `(` $peephole^ `:` type($peephole) `)`)? "
        "(`projection` `(` $projection^ `:` type($projection) `)`)? "
        "(`h` `(` $initial_h^ `:` type($initial_h) `)`)? "
        "(`c` `(` $initial_c^ `:` type($initial_c) `)`)? "
        "(`lengths` `(` $lengths^ `:` type($lengths) `)`)? "
        "attr-dict `:` `(` type($input) `,` type($weight) `,` type($recurrent) `)` "
        "`->` `(` type($result) `,` type($final_h) `,` type($final_c) `)`"
    )
    ROLES: ClassVar[tuple[str, ...]] = ("gate", "cell", "hidden")
    DEFAULTS: ClassVar[tuple[str, ...]] = ("sigmoid", "tanh", "tanh")
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = ("weight", "input", "recurrent", "hidden")
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = (
        "bias",
        "peephole",
        "projection",
        "gate",
        "state",
        "output",
    )

    def __init__(
        self,
        label: str,
        x: SSAValue,
        weight: SSAValue,
        recurrent: SSAValue,
        bias: SSAValue | None = None,
        *,
        peephole: SSAValue | None = None,
        projection: SSAValue | None = None,
        initial_h: SSAValue | None = None,
        initial_c: SSAValue | None = None,
        lengths: SSAValue | None = None,
        direction: str = "forward",
        coupled: bool = False,
        activations: Sequence[FunctionAttr] | None = None,
        clip: float | None = None,
    ) -> None:
        count, _, hidden, fed_back = shape_of(recurrent)
        super().__init__(
            operands=[
                x,
                weight,
                recurrent,
                bias,
                peephole,
                projection,
                initial_h,
                initial_c,
                lengths,
            ],
            attributes={
                **cell_attributes(label, direction, activations, clip),
                "coupled": BoolAttr.from_bool(coupled),
            },
            result_types=[
                sequence_type(x, count * fed_back),
                state_type(x, count, fed_back),
                state_type(x, count, hidden),
            ],
        )

    @property
    def hidden(self) -> int:
        """Units of one direction, H."""
        return shape_of(self.weight)[2]

    @property
    def outputs(self) -> int:
        """Channels of h of one direction, P (H without projection)."""
        return shape_of(self.recurrent)[3]

    @property
    def is_coupled(self) -> bool:
        """Whether f = 1 - i."""
        return bool(self.coupled.value.data)

    def state_operands(self) -> dict[str, SSAValue]:
        """Initial h and c that are given."""
        given = {"output": self.initial_h, "state": self.initial_c}
        return {slot: value for slot, value in given.items() if value is not None}

    def state_results(self) -> dict[str, SSAValue]:
        """Final h and c."""
        return {"output": self.final_h, "state": self.final_c}

    def verify_(self) -> None:
        self.verify_cell()
        if len(shape_of(self.recurrent)) != 4:
            raise VerifyException("recurrent must be [D, 4, H, P]")
        fed_back = self.outputs
        count, hidden = self.verify_gates(4, self.input, self.weight, self.recurrent, fed_back)
        if self.projection is None and fed_back != hidden:
            raise VerifyException(
                f"recurrent takes {fed_back} channels, but without projection h has {hidden}"
            )
        steps, batch, _ = shape_of(self.input)
        for value in (self.bias, self.peephole, self.projection, *self.results):
            if value is not None:
                require_f32(value)
        require_shape("bias", self.bias, (count, 4, hidden))
        require_shape("peephole", self.peephole, (count, 3, hidden))
        require_shape("projection", self.projection, (count, fed_back, hidden))
        require_state("initial h", self.initial_h, (count, batch, fed_back))
        require_state("initial c", self.initial_c, (count, batch, hidden))
        self.verify_lengths(self.lengths, batch)
        require_shape("result", self.result, (steps, batch, count * fed_back))
        require_shape("final h", self.final_h, (count, batch, fed_back))
        require_shape("final c", self.final_c, (count, batch, hidden))
        self.verify_annotations()
