"""The silago backend passes the conformance kit."""

from __future__ import annotations

from mohaq.backends.silago import BACKEND
from mohaq.backends.testing import Conformance


class TestSilago(Conformance):
    backend = BACKEND
    examples = 2
    words = ("*.safetensors",)
    not_in_simulator = (
        "mohaq.backends.silago.cost_model",
        "mohaq.backends.silago.dialect",
        "mohaq.backends.silago.emit",
        "mohaq.backends.silago.estimate",
        "mohaq.backends.silago.legalize",
        "mohaq.backends.silago.lowering",
        "mohaq.backends.silago.schedule",
        "mohaq.backends.silago.template",
        "mohaq.backends.silago.verify",
    )
