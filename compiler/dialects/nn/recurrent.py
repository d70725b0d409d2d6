"""What the recurrent layers share: directions, functions of the cell, clip, lengths.

Sequences are time-first, [T, B, F]; batch-first models get `nn.transpose` at the border.
Direction index 1 of a bidirectional layer is the reverse one; results of both directions lie
side by side in the last extent. Initial states may have batch extent 1, which stands for all.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import ArrayAttr, FloatAttr, StringAttr, f64
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import attr_def, opt_attr_def
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.nn.function import CELL_FUNCTIONS, FunctionAttr
from mohaq.compiler.dialects.nn.layer import LayerOp, require_shape, shape_text
from mohaq.compiler.dialects.types import (
    DYNAMIC,
    float_tensor,
    require_f32,
    require_index,
    shape_of,
)

DIRECTIONS: dict[str, int] = {"forward": 1, "reverse": 1, "bidirectional": 2}
"""Direction -> number of directions D."""


class RecurrentOp(LayerOp, ABC):
    """A layer that walks over time, one or both ways."""

    direction = attr_def(StringAttr)

    @property
    def directions(self) -> int:
        """Number of directions D."""
        return DIRECTIONS[self.direction.data]

    def is_reverse(self, d: int) -> bool:
        """Whether direction index d walks from the last step to the first."""
        return self.direction.data == "reverse" or d == 1

    def verify_direction(self) -> None:
        """Check the direction's name.

        Raises:
            VerifyException: unknown.
        """
        if self.direction.data not in DIRECTIONS:
            raise VerifyException(f"'{self.direction.data}' is none of {', '.join(DIRECTIONS)}")


class CellOp(RecurrentOp, ABC):
    """A recurrent layer whose cell has functions that can be exchanged (RNN, GRU, LSTM, ...).

    activations: D * n functions in the order of `ROLES`, direction by direction; the default
    (`DEFAULTS`) when absent. clip: inputs of the functions are limited to [-clip, clip].
    lengths [B]: steps of each sequence; results beyond are zero, final states are those of a
    sequence's last step, and the reverse direction starts there (ONNX `sequence_lens`).
    """

    activations = opt_attr_def(ArrayAttr)
    clip = opt_attr_def(FloatAttr)

    ROLES: ClassVar[tuple[str, ...]] = ()
    DEFAULTS: ClassVar[tuple[str, ...]] = ()

    def functions(self, d: int) -> tuple[FunctionAttr, ...]:
        """Functions of direction d in the order of `ROLES`."""
        if self.activations is None:
            return tuple(FunctionAttr.of(name) for name in self.DEFAULTS)
        n = len(self.ROLES)
        chosen = self.activations.data[d * n : (d + 1) * n]
        return tuple(f for f in chosen if isinstance(f, FunctionAttr))

    @property
    def limit(self) -> float | None:
        """The clip, or None."""
        return None if self.clip is None else float(self.clip.value.data)

    def verify_cell(self) -> None:
        """Check direction, functions and clip.

        Raises:
            VerifyException: unknown direction, wrong number or kind of functions, bad clip.
        """
        self.verify_direction()
        if self.activations is not None:
            expected = self.directions * len(self.ROLES)
            if len(self.activations) != expected:
                raise VerifyException(
                    f"{len(self.activations)} functions, expected {expected} "
                    f"({', '.join(self.ROLES)} for each direction)"
                )
            for one in self.activations:
                if not isinstance(one, FunctionAttr) or one.kind not in CELL_FUNCTIONS:
                    raise VerifyException(f"'{one}' cannot be a function of a cell")
        if self.limit is not None and not 0 < self.limit < float("inf"):
            raise VerifyException(f"clip must be positive and finite, got {self.limit}")

    def verify_gates(
        self, gates: int, x: SSAValue, weight: SSAValue, recurrent: SSAValue, fed_back: int
    ) -> tuple[int, int]:
        """Check x [T, B, I], weight [D, gates, H, I], recurrent [D, gates, H, fed_back].

        Returns:
            (D, H).

        Raises:
            VerifyException: wrong rank, gate count or size.
        """
        for value in (x, weight, recurrent):
            require_f32(value)
        if len(shape_of(x)) != 3 or len(shape_of(weight)) != 4:
            raise VerifyException(
                f"input {shape_text(x)} must be [T, B, I] and weight {shape_text(weight)} "
                f"[D, {gates}, H, I]"
            )
        hidden = shape_of(weight)[2]
        require_shape("weight", weight, (self.directions, gates, hidden, shape_of(x)[2]))
        require_shape("recurrent", recurrent, (self.directions, gates, hidden, fed_back))
        return self.directions, hidden

    def verify_lengths(self, lengths: SSAValue | None, batch: int) -> None:
        """Check lengths [B] of 64-bit integers.

        Raises:
            VerifyException: wrong type or shape.
        """
        if lengths is not None:
            require_index(lengths)
            require_shape("lengths", lengths, (batch,))


def require_state(title: str, value: SSAValue | None, shape: tuple[int, int, int]) -> None:
    """Check a state [D, B, H]; batch extent 1 stands for all sequences.

    Raises:
        VerifyException: wrong type or shape.
    """
    if value is None:
        return
    require_f32(value)
    if len(shape_of(value)) == 3 and shape_of(value)[1] == 1:
        shape = (shape[0], 1, shape[2])
    require_shape(title, value, shape)


def cell_attributes(
    label: str,
    direction: str,
    activations: Sequence[FunctionAttr] | None,
    clip: float | None,
) -> dict[str, Attribute | None]:
    """Attributes of a `CellOp` from plain values."""
    return {
        "op_name": StringAttr(label),
        "direction": StringAttr(direction),
        "activations": None if activations is None else ArrayAttr(activations),
        "clip": None if clip is None else FloatAttr(clip, f64),
    }


def sequence_type(x: SSAValue, features: int) -> Attribute:
    """Type of a result [T, B, features] of a layer that reads x."""
    return float_tensor([*shape_of(x)[:2], features])


def state_type(x: SSAValue, directions: int, hidden: int) -> Attribute:
    """Type of a state [D, B, hidden] of a layer that reads x."""
    batch = shape_of(x)[1] if len(shape_of(x)) == 3 else DYNAMIC
    return float_tensor([directions, batch, hidden])
