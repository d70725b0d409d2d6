"""Inputs of ONNX models that are fixed at import."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from small_onnx import branches, constant, info, model

import mohaq
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float

Node = helper.make_node


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        ({}, ["'sr'", "constants={'sr': 16000}", "--set sr=16000"]),
        ({"sr": 16000.5}, ["'sr'", "16000.5"]),
        ({"sr": "fast"}, ["'sr'"]),
        ({"sr": 2**70}, ["'sr'"]),
        ({"sr": [1, 2]}, ["'sr'", "shape"]),
        ({"rate": 1, "sr": 16000}, ["'rate'", "'x'", "'sr'"]),
        ({"sr": 16000, "T": 0}, ["'T'", "positive"]),
        ({"sr": 16000, "T": True}, ["'T'", "positive"]),
    ],
)
def test_fixed_inputs(constants: dict[str, object], words: list[str]) -> None:
    with pytest.raises(MohaqError) as caught:
        mohaq.load(branches(), constants=constants)
    for word in words:
        assert word in caught.value.message()


def test_old_models_list_constants_as_inputs() -> None:
    made = model(
        [Node("Mul", ["x", "gain"], ["y"])],
        [info("x", [2, 3]), info("gain", [1])],
        [info("y", [2, 3])],
        [constant("gain", np.array([2.0], np.float32))],
        opset=8,
    )
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run_float(mohaq.load(made), [x])[0], 2 * x)
    fixed = mohaq.load(made, constants={"gain": 5.0})
    np.testing.assert_array_equal(run_float(fixed, [x])[0], 5 * x)
