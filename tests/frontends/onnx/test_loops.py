"""Scan bodies that are steps of our cells become whole layers again."""

from __future__ import annotations

import numpy as np
import pytest
from family import Drawn, layers
from hypothesis import HealthCheck, assume, given, settings

import mohaq
from mohaq.compiler.dialects.nn import LayerOp, LinearOp
from mohaq.compiler.interpreters.float_nn import run_float


@pytest.mark.parametrize("kind", ["sru", "ligru", "qrnn", "lstm"])
def test_exported_loops_come_back(kind: str) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True))
    def check(drawn: Drawn) -> None:
        facts = drawn.facts
        assume(kind != "lstm" or facts["projection"])
        assume(facts.get("window", 1) == 1 and not facts.get("clip"))
        program = drawn.program
        back = mohaq.load(program.to_onnx())
        found = [
            op for op in back.layers() if isinstance(op, LayerOp) and not isinstance(op, LinearOp)
        ]
        count = 2 if facts["direction"] == "bidirectional" else 1
        assert [op.name for op in found] == [f"nn.{kind}"] * count, facts
        for ours, theirs in zip(
            run_float(back, drawn.inputs), run_float(program, drawn.inputs), strict=True
        ):
            assert ours.shape == theirs.shape
            scale = max(1.0, float(np.abs(theirs).max()))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-5 * scale, err_msg=str(facts))

    check()
