"""What the datapath of a target can express, as rules for the legalizer."""

from __future__ import annotations

from dataclasses import dataclass

ACCUMULATOR = 32
"""Bits of an accumulator, saturating at every addition (docs/isa/silago.md)."""

Q411_SHIFT = 12
"""mult and mac in Q4.11 give acc >> 12 (section 5)."""


@dataclass(frozen=True)
class Numerics:
    """Arithmetic of a target.

    faithful: 16 bits only; a product leaves the datapath in Q4.11, shifted right by 12, and by
    nothing else. wide_acc: our extension (no public hardware computes it): 32-bit accumulators
    in every lane, and any shift of -32..31 bits in the instruction.
    """

    name: str

    @property
    def wide(self) -> bool:
        """Whether instructions carry a shift of their own."""
        return self.name == "wide_acc"

    @property
    def gate_exponent(self) -> int:
        """A gate g in Q0.15 is used as a factor of g / 2^this.

        Results of the NACU are Q4.11, so 4; `faithful` doubles them, because Q4.11 products
        halve.
        """
        return 4 if self.wide else 3


FAITHFUL = Numerics("faithful")
WIDE_ACC = Numerics("wide_acc")
KNOWN = {n.name: n for n in (FAITHFUL, WIDE_ACC)}
