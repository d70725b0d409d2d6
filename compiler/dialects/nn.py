"""`nn`: float32 networks with whole layers as operations (DESIGN D3, D4).

Sequences are time-first: [T, B, F], with T and B symbolic. Every layer op has a name that is
unique in the program; assignments and reports refer to it.

Annotations, all optional, keyed by precision slot:
  calibration: {slot = #quant.clips<...>}   clip for each width, from `calibrate`
  quant:       {slot = #quant.grid<...>}    chosen grid, from `apply-assignment` or `uniform`
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from xdsl.dialects.builtin import (
    DictionaryAttr,
    FloatAttr,
    StringAttr,
    TensorType,
    f64,
)
from xdsl.ir import Dialect, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    opt_attr_def,
    opt_operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.dialects.types import float_tensor, require_f32, shape_of

DIRECTIONS: dict[str, int] = {"forward": 1, "reverse": 1, "bidirectional": 2}
"""Direction -> number of directions D."""

SKIPS = ("none", "identity", "projected")
ACTIVATIONS = ("identity", "tanh", "relu")


class LayerOp(IRDLOperation, ABC):
    """What every layer op has: a name and annotations for its precision slots."""

    op_name = attr_def(StringAttr)
    calibration = opt_attr_def(DictionaryAttr)
    quant = opt_attr_def(DictionaryAttr)

    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = ()
    """Slots whose width the search chooses, in gene order."""
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = ()
    """Slots that stay at 16 bits (MOHAQ: biases, vectors, state, elementwise part)."""

    @property
    def label(self) -> str:
        """Name of the layer."""
        return self.op_name.data

    def clips(self, slot: str) -> dict[int, float]:
        """Calibrated {width: clip} of a slot; empty when not calibrated."""
        found = self.calibration.data.get(slot) if self.calibration else None
        return found.clips() if isinstance(found, ClipsAttr) else {}

    def grid(self, slot: str) -> GridAttr | None:
        """Chosen grid of a slot, or None."""
        found = self.quant.data.get(slot) if self.quant else None
        return found if isinstance(found, GridAttr) else None

    def verify_annotations(self) -> None:
        """Check slot names and attribute kinds.

        Raises:
            VerifyException: unknown slot or wrong attribute.
        """
        known = (*self.SEARCHED_SLOTS, *self.FIXED_SLOTS)
        for title, held, kind in (
            ("calibration", self.calibration, ClipsAttr),
            ("quant", self.quant, GridAttr),
        ):
            for slot, value in (held.data if held else {}).items():
                if slot not in known:
                    raise VerifyException(
                        f"'{self.label}' has no slot '{slot}' ({title}); slots: {', '.join(known)}"
                    )
                if not isinstance(value, kind):
                    raise VerifyException(f"{title} of slot '{slot}' must be {kind.name}")


@irdl_op_definition
class LinearOp(LayerOp):
    """`y = x W^T + b`: x [..., K], W [N, K], b [N] -> y [..., N].

    Slots: `input`, `weight` (searched); `bias`, `output` (16 bit).
    """

    name = "nn.linear"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    bias = opt_operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $weight (`bias` $bias^)? attr-dict "
        "`:` functional-type(operands, results)"
    )
    SEARCHED_SLOTS: ClassVar[tuple[str, ...]] = ("weight", "input")
    FIXED_SLOTS: ClassVar[tuple[str, ...]] = ("bias", "output")

    def __init__(
        self, label: str, x: SSAValue, weight: SSAValue, bias: SSAValue | None = None
    ) -> None:
        out = float_tensor([*shape_of(x)[:-1], shape_of(weight)[0]])
        super().__init__(
            operands=[x, weight, bias],
            attributes={"op_name": StringAttr(label)},
            result_types=[out],
        )

    def verify_(self) -> None:
        for value in (*self.operands, self.result):
            require_f32(value)
        x, w, y = shape_of(self.input), shape_of(self.weight), shape_of(self.result)
        if len(w) != 2 or not x or x[-1] != w[1]:
            raise VerifyException(f"input {x} does not fit weight {w} = [outputs, inputs]")
        if y != (*x[:-1], w[0]):
            raise VerifyException(f"result is {y}, expected {(*x[:-1], w[0])}")
        if self.bias is not None and shape_of(self.bias) != (w[0],):
            raise VerifyException(f"bias is {shape_of(self.bias)}, expected {(w[0],)}")
        self.verify_annotations()


@irdl_op_definition
class SruOp(LayerOp):
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
    direction = attr_def(StringAttr)
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
    def directions(self) -> int:
        """Number of directions D."""
        return DIRECTIONS[self.direction.data]

    @property
    def hidden(self) -> int:
        """Units of one direction, H."""
        return shape_of(self.weight)[2]

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
        if self.initial_state is not None and shape_of(self.initial_state) != state:
            raise VerifyException(
                f"initial state is {shape_of(self.initial_state)}, expected {state}"
            )
        if shape_of(self.result) != (x[0], x[1], count * hidden):
            raise VerifyException(
                f"result is {shape_of(self.result)}, expected {(x[0], x[1], count * hidden)}"
            )
        if shape_of(self.final_state) != state:
            raise VerifyException(f"final state is {shape_of(self.final_state)}, expected {state}")
        self.verify_annotations()


Nn = Dialect("nn", [LinearOp, SruOp], [])

__all__ = [
    "ACTIVATIONS",
    "DIRECTIONS",
    "SKIPS",
    "LayerOp",
    "LinearOp",
    "Nn",
    "SruOp",
]
