"""program.to_onnx() against the float interpreter, through onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from family import KINDS, Drawn, layers
from hypothesis import HealthCheck, given, settings

from mohaq.compiler.interpreters.float_nn import run_float


def run_onnx(model: onnx.ModelProto, inputs: list[np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [i.name for i in session.get_inputs()]
    made = session.run(None, dict(zip(names, inputs, strict=True)))
    return [np.asarray(m) for m in made]


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_of_the_family(kind: str) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,)))
    def check(drawn: Drawn) -> None:
        expected = run_float(drawn.program, drawn.inputs)
        found = run_onnx(drawn.program.to_onnx(), drawn.inputs)
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape, drawn.facts
            scale = max(1.0, float(np.abs(b).max()))
            np.testing.assert_allclose(
                a, b, rtol=0, atol=(1e-5 if scale < 100 else 1e-4) * scale, err_msg=str(drawn.facts)
            )

    check()
