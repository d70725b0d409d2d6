"""The reference backend passes the conformance kit."""

from __future__ import annotations

from mohaq.backends.reference import BACKEND
from mohaq.backends.testing import Conformance


class TestReference(Conformance):
    backend = BACKEND
    examples = 2
    words = ("integers.safetensors", "program.json")
    not_in_simulator = (
        "mohaq.backends.reference.cost",
        "mohaq.backends.reference.emit",
        "mohaq.backends.reference.estimate",
        "mohaq.backends.reference.schedule",
    )
