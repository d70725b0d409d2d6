"""Tensors repeated to symbolic sizes, and reshapes that leave a known extent open."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from small_onnx import constant, info, model, weights

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float

Node = helper.make_node
SIZES = ((1, 1), (7, 3), (60, 2))


def agree(made: onnx.ModelProto) -> None:
    session = onnxruntime.InferenceSession(made.SerializeToString())
    program = mohaq.load(made)
    for steps, batch in SIZES:
        x = np.random.default_rng(0).normal(size=(steps, batch, 4)).astype(np.float32)
        wanted = session.run(None, {"x": x})
        for a, b in zip(run_float(program, [x]), wanted, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * float(np.abs(b).max()))


def from_sequence(nodes: list[onnx.NodeProto], *tensors: onnx.TensorProto) -> onnx.ModelProto:
    """A model of x [T, B, 4] to y."""
    return model(nodes, [info("x", ["T", "B", 4])], [info("y", None)], list(tensors), opset=17)


def test_a_layer_on_zeros_as_many_as_the_batch() -> None:
    agree(
        from_sequence(
            [
                Node("Shape", ["x"], ["batch"], start=1, end=2),
                Node("Concat", ["batch", "four"], ["sizes"], axis=0),
                Node("ConstantOfShape", ["sizes"], ["zeros"]),
                Node("Gemm", ["zeros", "w", "b"], ["h"], transB=1),
                Node("Tanh", ["h"], ["y"]),
            ],
            constant("four", [4]),
            weights("w", 3, 4),
            weights("b", 3),
        )
    )


@pytest.mark.parametrize("kind", ["Add", "Concat"])
def test_one_row_at_every_step(kind: str) -> None:
    options: dict[str, Any] = {"axis": 2} if kind == "Concat" else {}
    agree(
        from_sequence(
            [
                Node("Shape", ["x"], ["sizes"]),
                Node("Expand", ["row", "sizes"], ["rows"]),
                Node("Tanh", ["rows"], ["bent"]),
                Node(kind, ["x", "bent"], ["y"], **options),
            ],
            weights("row", 1, 1, 4),
        )
    )


def test_rows_whose_width_is_left_open() -> None:
    agree(
        from_sequence(
            [
                Node("Shape", ["x"], ["sizes"], start=0, end=2),
                Node("ReduceProd", ["sizes"], ["count"]),
                Node("Concat", ["count", "open"], ["to"], axis=0),
                Node("Reshape", ["x", "to"], ["rows"]),
                Node("Gemm", ["rows", "w"], ["y"], transB=1),
            ],
            constant("open", [-1]),
            weights("w", 3, 4),
        )
    )


def test_normalization_of_instances() -> None:
    made = model(
        [Node("InstanceNormalization", ["x", "scale", "shift"], ["y"])],
        [info("x", ["B", 3, "T"])],
        [info("y", ["B", 3, "T"])],
        [weights("scale", 3), weights("shift", 3)],
        opset=17,
    )
    session = onnxruntime.InferenceSession(made.SerializeToString())
    program = mohaq.load(made)
    for steps in (2, 7, 60):
        x = np.random.default_rng(0).normal(size=(2, 3, steps)).astype(np.float32)
        (wanted,) = session.run(None, {"x": x})
        np.testing.assert_allclose(run_float(program, [x])[0], wanted, rtol=1e-5, atol=1e-5)


def test_a_size_of_minus_one_is_any_size() -> None:
    agree(
        model(
            [Node("MatMul", ["x", "w"], ["y"])],
            [info("x", [-1, -1, 4])],
            [info("y", None)],
            [weights("w", 4, 3)],
            opset=17,
        )
    )
