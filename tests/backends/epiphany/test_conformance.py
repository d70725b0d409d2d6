"""The Epiphany backend passes the conformance kit; C is compiled for every run."""

from __future__ import annotations

import pytest

from mohaq.backends.epiphany import BACKEND
from mohaq.backends.epiphany.simulator import missing_tools
from mohaq.backends.testing import KINDS, Conformance


@pytest.mark.skipif(bool(missing_tools()), reason="needs a C compiler and make")
class TestEpiphany(Conformance):
    backend = BACKEND
    examples = 2
    words = ("weights.bin",)
    flips = 24
    must_notice = 0.2  # 30 of 100 were noticed when this was written
    not_in_simulator = (
        "mohaq.backends.epiphany.cost_model",
        "mohaq.backends.epiphany.dialect",
        "mohaq.backends.epiphany.emit",
        "mohaq.backends.epiphany.estimate",
        "mohaq.backends.epiphany.legalize",
        "mohaq.backends.epiphany.lowering",
        "mohaq.backends.epiphany.module",
        "mohaq.backends.epiphany.passes",
        "mohaq.backends.epiphany.plan",
        "mohaq.backends.epiphany.template",
    )

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    def test_generated_layers_run_exactly(self, kind: str) -> None:
        super().test_generated_layers_run_exactly(kind)
