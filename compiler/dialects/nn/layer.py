"""What every `nn` layer has: a name, precision slots and their annotations."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from xdsl.dialects.builtin import DictionaryAttr, StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import IRDLOperation, attr_def, opt_attr_def
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.dialects.types import fits, shape_of


class LayerOp(IRDLOperation, ABC):
    """What every layer op has: a name and annotations for its precision slots.

    Annotations, all optional, keyed by slot:
      given:       {slot = #quant.grid<...>}    grid that an already quantized model came with,
                                                from `absorb-fake-quantize`; `calibrate` keeps it
      calibration: {slot = #quant.clips<...>}   clip for each width, from `calibrate`
      quant:       {slot = #quant.grid<...>}    chosen grid, from `apply-assignment` or `uniform`
    """

    op_name = attr_def(StringAttr)
    given = opt_attr_def(DictionaryAttr)
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

    def clip_rows(self, slot: str) -> dict[int, str]:
        """Calibrated {width: parameter with the rows' steps} of a weight; mostly empty."""
        found = self.calibration.data.get(slot) if self.calibration else None
        return found.rows() if isinstance(found, ClipsAttr) else {}

    def given_grid(self, slot: str) -> GridAttr | None:
        """Grid of a slot that the model came with, or None."""
        found = self.given.data.get(slot) if self.given else None
        return found if isinstance(found, GridAttr) else None

    def grid(self, slot: str) -> GridAttr | None:
        """Chosen grid of a slot, or None."""
        found = self.quant.data.get(slot) if self.quant else None
        return found if isinstance(found, GridAttr) else None

    def state_operands(self) -> dict[str, SSAValue]:
        """{slot: initial state operand} of the states that are given; empty for most layers."""
        return {}

    def state_results(self) -> dict[str, SSAValue]:
        """{slot: final state result}, in result order; empty for most layers."""
        return {}

    def verify_annotations(self) -> None:
        """Check slot names and attribute kinds.

        Raises:
            VerifyException: unknown slot or wrong attribute.
        """
        known = (*self.SEARCHED_SLOTS, *self.FIXED_SLOTS)
        for title, held, kind in (
            ("given", self.given, GridAttr),
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


def require_shape(title: str, value: SSAValue | None, expected: tuple[int, ...]) -> None:
    """Check a shape; symbolic extents fit anything; an absent operand is right.

    Raises:
        VerifyException: it does not fit; the message says what was expected.
    """
    if value is not None and not fits(shape_of(value), expected):
        raise VerifyException(f"{title} is {shape_text(value)}, expected {_text(expected)}")


def shape_text(value: SSAValue) -> str:
    """`[?, ?, 23]`."""
    return _text(shape_of(value))


def _text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("?" if n < 0 else str(n) for n in shape) + "]"
