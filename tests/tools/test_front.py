"""How a front is shown on the terminal."""

from __future__ import annotations

from mohaq.compiler.assignment import Slot, bits_text


def test_bits_of_plain_and_recurrent_layers() -> None:
    widths = {
        Slot("l0", "weight"): 4,
        Slot("l0", "input"): 8,
        Slot("l0", "recurrent"): 2,
        Slot("l0", "hidden"): 16,
        Slot("fc", "weight"): 8,
        Slot("fc", "input"): 2,
    }
    assert bits_text(widths) == "4x8/2x16 8x2"
