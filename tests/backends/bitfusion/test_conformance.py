"""The Bit Fusion backend passes the conformance kit."""

from __future__ import annotations

from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.testing import Conformance, Drawn


class TestBitfusion(Conformance):
    backend = BACKEND
    examples = 2
    words = ("*.bin",)
    not_in_simulator = (
        "mohaq.backends.bitfusion.cost_model",
        "mohaq.backends.bitfusion.emit",
        "mohaq.backends.bitfusion.estimate",
        "mohaq.backends.bitfusion.legalize",
        "mohaq.backends.bitfusion.lowering",
        "mohaq.backends.bitfusion.schedule",
    )

    def excluded(self, drawn: Drawn) -> bool:
        """A clip beyond the range of a relu's sums (docs/targets/bitfusion.md)."""
        return drawn.facts["kind"] == "ligru" and bool(drawn.facts["clip"])
