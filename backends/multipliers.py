"""Multipliers of rescales, narrowed to what a target multiplies by."""

from __future__ import annotations

from mohaq.backends.base import IllegalAssignment


def narrow_multiplier(m: int, s: int, bits: int = 15) -> tuple[int, int]:
    """(m', s') with m' of at most `bits` bits, closest to m / 2^s, halves up.

    Raises:
        IllegalAssignment: the scale is 2^bits or more.
    """
    drop = m.bit_length() - bits
    if drop <= 0:
        return m, s
    m, s = (m + (1 << (drop - 1))) >> drop, s - drop
    if m >> bits:
        m, s = m >> 1, s - 1
    if s < 0:
        raise IllegalAssignment(
            "a rescale is too large for the target",
            why=f"{m} * 2^{-s} needs more than {bits} bits",
            hint="two scales of the model are many orders of magnitude apart",
        )
    return m, s
