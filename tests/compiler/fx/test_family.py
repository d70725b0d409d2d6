"""program.to_fx() against the float interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from family import KINDS, Drawn, layers
from hypothesis import HealthCheck, given, settings

from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.tools.support.forms import FORMS, Form


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_of_the_family(kind: str) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,)))
    def check(drawn: Drawn) -> None:
        module = drawn.program.to_fx()
        made = module(*(torch.from_numpy(i) for i in drawn.inputs))
        expected = run_float(drawn.program, drawn.inputs)
        for a, b in zip(made, expected, strict=True):
            scale = max(1.0, float(np.abs(b).max()))
            np.testing.assert_allclose(
                a.detach().numpy(),
                b,
                rtol=0,
                atol=(1e-5 if scale < 100 else 1e-4) * scale,
                err_msg=str(drawn.facts),
            )
        made[0].square().sum().backward()
        weight = next(p for n, p in module.named_parameters() if n.endswith("weight"))
        assert weight.grad is not None

    check()


@pytest.mark.parametrize("form", FORMS, ids=[f.title for f in FORMS])
def test_every_form_of_every_operation(form: Form) -> None:
    program = form.program()
    rng = np.random.default_rng(0)
    inputs: list[np.ndarray[Any, Any]] = [rng.normal(size=(4, 2, 6)).astype(np.float32)]
    if len(program.entry.args) > 1:
        tokens = form.title == "embedding"
        inputs.append(rng.integers(1, 5, size=(4, 2) if tokens else 2))
    made = program.to_fx()(*(torch.from_numpy(i) for i in inputs))
    first = made[0] if isinstance(made, tuple) else made
    (expected, *_) = run_float(program, inputs)
    np.testing.assert_allclose(first.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
