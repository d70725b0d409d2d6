"""Already quantized ONNX models compute what onnxruntime computes, or are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from small_onnx import Array, constant, info, integers, model, weights

import mohaq
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import FakeQuantizeOp
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import Program

Node = helper.make_node
QUIET = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
KINDS = ("int8", "uint8", "int16", "uint16", "int4", "uint4")


def fakes(program: Program) -> list[FakeQuantizeOp]:
    return [o for o in program.module.walk() if isinstance(o, FakeQuantizeOp)]


def limits(kind: str) -> tuple[int, int]:
    width = int(kind.lstrip("uint"))
    return (
        (0, 2**width - 1) if kind.startswith("u") else (-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[onnx.ModelProto, Array, dict[str, Any]]:
    """x -> QuantizeLinear -> DequantizeLinear -> MatMul with DequantizeLinear(W)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows, features, hidden = (draw(st.integers(1, 5)) for _ in range(3))
    facts: dict[str, Any] = {}
    tensors = []

    def grid(name: str, kind: str, count: int, *, zero: bool) -> None:
        low, high = limits(kind)
        scale = rng.uniform(0.01, 0.2, size=(count,) if count else ()).astype(np.float32)
        zeros = rng.integers(low, high, size=scale.shape, endpoint=True) if zero else 0 * scale
        tensors.append(constant(f"s{name}", scale))
        tensors.append(constant(f"z{name}", np.asarray(zeros).astype(kind)))

    for name, length in (("x", features), ("w", hidden)):
        facts[name] = (draw(st.sampled_from(KINDS)), draw(st.booleans()), draw(st.booleans()))
        kind, channels, zero = facts[name]
        grid(name, kind, length if channels else 0, zero=zero)
    low, high = limits(facts["w"][0])
    values = rng.integers(low, high, size=(features, hidden), endpoint=True)
    tensors.append(constant("W", values.astype(facts["w"][0])))
    made = model(
        [
            Node("QuantizeLinear", ["x", "sx", "zx"], ["xq"], axis=1),
            Node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"], axis=1),
            Node("DequantizeLinear", ["W", "sw", "zw"], ["wd"], axis=1),
            Node("MatMul", ["xd", "wd"], ["y"]),
        ],
        [info("x", ["N", features])],
        [info("y", ["N", hidden])],
        tensors,
    )
    return made, rng.normal(size=(rows, features), scale=2).astype(np.float32), facts


@QUIET
@given(drawn=pairs())
def test_pairs_of_every_width(drawn: tuple[onnx.ModelProto, Array, dict[str, Any]]) -> None:
    made, x, facts = drawn
    program = mohaq.load(made)
    widths = sorted((k.width.value.data, bool(k.signed.value.data)) for k in fakes(program))
    kinds = (facts[name][0] for name in ("x", "w"))
    assert widths == sorted((int(k.lstrip("uint")), k.startswith("i")) for k in kinds)
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x})
    (found,) = run_float(program, [x])
    np.testing.assert_allclose(found, np.asarray(expected), 1e-5, 1e-5, err_msg=str(facts))


# Models that onnxruntime's own tool writes.


class Signals(CalibrationDataReader):  # type: ignore[misc]
    """A few random inputs."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self._left = [{"x": rng.normal(size=shape).astype(np.float32)} for _ in range(3)]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop() if self._left else None


def layers(*, recurrent: bool) -> onnx.ModelProto:
    """LSTM and MatMul, or MatMul, Add, Relu, Reshape and Gemm; x [4, 2, 6]."""
    if recurrent:
        nodes = [
            Node("LSTM", ["x", "W", "R", "B"], ["all"], "lstm", hidden_size=3),
            Node("Squeeze", ["all", "one"], ["h"]),
            Node("MatMul", ["h", "V"], ["y"], "out"),
        ]
        tensors = [weights("W", 1, 12, 6), weights("R", 1, 12, 3), weights("B", 1, 24)]
        tensors += [weights("V", 3, 5), constant("one", [1])]
        return model(nodes, [info("x", [4, 2, 6])], [info("y", [4, 2, 5])], tensors, opset=17)
    nodes = [
        Node("MatMul", ["x", "W"], ["m"], "first"),
        Node("Add", ["m", "b"], ["a"]),
        Node("Relu", ["a"], ["r"]),
        Node("Reshape", ["r", "flat"], ["f"]),
        Node("Gemm", ["f", "G", "c"], ["y"], "second", transB=1),
    ]
    tensors = [weights("W", 6, 4), weights("b", 4), weights("G", 5, 4), weights("c", 5)]
    tensors.append(constant("flat", [8, 4]))
    return model(nodes, [info("x", [4, 2, 6])], [info("y", [8, 5])], tensors, opset=17)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activation", ["QUInt8", "QInt8", "QInt16"])
def test_models_of_onnxruntimes_quantizer(
    tmp_path: Path, activation: str, per_channel: bool, recurrent: bool
) -> None:
    path = tmp_path / "q.onnx"
    onnx.save(layers(recurrent=recurrent), tmp_path / "m.onnx")
    quantize_static(
        tmp_path / "m.onnx",
        path,
        Signals((4, 2, 6)),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=QuantType[activation],
        weight_type=QuantType.QInt8,
    )
    same_as_onnxruntime(path)


def same_as_onnxruntime(path: Path) -> Program:
    """Checked with the optimizer off: it replaces pairs by integer kernels that round otherwise."""
    program = mohaq.load(path)
    assert fakes(program)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options)
    (entry,) = session.get_inputs()
    x = np.random.default_rng(7).normal(size=entry.shape).astype(np.float32)
    (expected,) = session.run(None, {"x": x})
    (found,) = run_float(program, [x])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    return program


def test_integer_operators_of_onnxruntimes_quantizer(tmp_path: Path) -> None:
    """QLinearMatMul; what stands between the pairs in the other format."""
    path = tmp_path / "q.onnx"
    onnx.save(layers(recurrent=True), tmp_path / "m.onnx")
    quantize_static(
        tmp_path / "m.onnx", path, Signals((4, 2, 6)), quant_format=QuantFormat.QOperator
    )
    assert any(n.op_type == "QLinearMatMul" for n in onnx.load(path).graph.node)
    same_as_onnxruntime(path)


@pytest.mark.parametrize(
    ("recurrent", "words"), [(True, "DynamicQuantizeLSTM"), (False, "run time")]
)
def test_dynamic_quantization_is_refused(tmp_path: Path, recurrent: bool, words: str) -> None:
    onnx.save(layers(recurrent=recurrent), tmp_path / "m.onnx")
    quantize_dynamic(tmp_path / "m.onnx", tmp_path / "q.onnx")
    with pytest.raises(MohaqError) as caught:
        mohaq.load(tmp_path / "q.onnx")
    assert words in caught.value.message()
    assert "QDQ" in caught.value.message() or "static" in caught.value.message()


# Integer operators.


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_qlinear_matmul(channels: bool, moved: bool) -> None:
    rng = np.random.default_rng(3)
    scale = rng.uniform(0.01, 0.03, size=3 if channels else ()).astype(np.float32)
    inner = [Node("Transpose", ["q"], ["t"], perm=[1, 0, 2])] if moved else []
    made = model(
        [
            Node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
            *inner,
            Node(
                "QLinearMatMul",
                ["t" if moved else "q", "sx", "zx", "W", "sw", "zw", "sy", "zy"],
                ["p"],
                "product",
            ),
            Node("DequantizeLinear", ["p", "sy", "zy"], ["y"]),
        ],
        [info("x", [2, 3, 4])],
        [info("y", None)],
        [
            integers("W", 4, 3),
            constant("sw", scale),
            constant("zw", np.zeros(scale.shape, np.int8)),
            *(constant(f"s{n}", np.float32(0.05)) for n in "xy"),
            *(constant(f"z{n}", np.uint8(120)) for n in "xy"),
        ],
    )
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x})
    (found,) = run_float(mohaq.load(made), [x])
    # A sum in floats may fall on the other side of a half: one step of the result at most.
    assert np.abs(found - expected).max() <= 0.05 + 1e-6
    assert np.mean(np.abs(found - expected) < 1e-6) > 0.9


@pytest.mark.parametrize("channels", [False, True])
def test_qlinear_conv(channels: bool) -> None:
    rng = np.random.default_rng(4)
    scale = rng.uniform(0.01, 0.03, size=3 if channels else ()).astype(np.float32)
    made = model(
        [
            Node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
            Node(
                "QLinearConv",
                ["q", "sx", "zx", "W", "sw", "zw", "sy", "zy", "B"],
                ["p"],
                "conv",
                pads=[1, 1],
            ),
            Node("DequantizeLinear", ["p", "sy", "zy"], ["y"]),
        ],
        [info("x", [2, 2, 6])],
        [info("y", None)],
        [
            integers("W", 3, 2, 3),
            constant("sw", scale),
            constant("zw", np.zeros(scale.shape, np.int8)),
            constant("B", rng.integers(-500, 500, size=3).astype(np.int32)),
            *(constant(f"s{n}", np.float32(0.05)) for n in "xy"),
            *(constant(f"z{n}", np.int8(0)) for n in "xy"),
        ],
    )
    x = rng.normal(size=(2, 2, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    (expected,) = session.run(None, {"x": x})
    (found,) = run_float(mohaq.load(made), [x])
    assert np.abs(found - expected).max() <= 0.05 + 1e-6
    assert np.mean(np.abs(found - expected) < 1e-6) > 0.9


# Recurrent weights.


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("rows", [False, True])
def test_recurrent_weights(kind: str, direction: str, rows: bool) -> None:
    """One scale for a matrix, or one for each row, which stays with its gate."""
    rng = np.random.default_rng(5)
    gates, count = {"LSTM": 4, "GRU": 3}[kind], 2 if direction == "bidirectional" else 1
    shape = (gates * 3,) if rows else ()
    tensors = [integers("Wq", count, gates * 3, 2), integers("Rq", count, gates * 3, 3)]
    tensors += [
        constant(name, rng.uniform(0.002, 0.01, size=shape).astype(np.float32))
        for name in ("sw", "sr")
    ]
    made = model(
        [
            Node("DequantizeLinear", ["Wq", "sw"], ["W"], axis=1),
            Node("DequantizeLinear", ["Rq", "sr"], ["R"], axis=1),
            Node(kind, ["x", "W", "R"], ["y"], "cell", hidden_size=3, direction=direction),
        ],
        [info("x", ["T", "B", 2])],
        [info("y", ["T", count, "B", 3])],
        tensors,
    )
    x = rng.normal(size=(5, 2, 2)).astype(np.float32)
    program = mohaq.load(made)
    assert len(fakes(program)) == 2
    expected = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(run_float(program, [x])[0], expected, rtol=1e-5, atol=1e-6)


# Refused by name.


def pair(**changes: Any) -> onnx.ModelProto:
    """A pair on x [2, 4], changed."""
    facts: dict[str, Any] = {
        "scale": np.float32(0.1),
        "zero": np.int8(0),
        "scale2": np.float32(0.1),
        "attributes": {},
        **changes,
    }
    return model(
        [
            Node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize", **facts["attributes"]),
            Node("DequantizeLinear", ["q", "s2", "z"], ["y"], "back", **facts["attributes"]),
        ],
        [info("x", [2, 4])],
        [info("y", [2, 4])],
        [
            constant("s", facts["scale"]),
            constant("s2", facts["scale2"]),
            facts["zero"]
            if isinstance(facts["zero"], onnx.TensorProto)
            else constant("z", facts["zero"]),
        ],
    )


FLOAT8 = helper.make_tensor("z", onnx.TensorProto.FLOAT8E4M3FN, [], [0.0])
BLOCKS = np.full((2, 2), 0.1, np.float32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale2": np.float32(0.2)}, "differs"),
        ({"scale": np.float32(0)}, "not positive"),
        ({"scale": np.float32(np.nan)}, "not positive"),
        ({"zero": FLOAT8}, "float8"),
        (
            {
                "scale": BLOCKS,
                "scale2": BLOCKS,
                "zero": np.zeros((2, 2), np.int8),
                "attributes": {"axis": 1, "block_size": 2},
            },
            "blocks",
        ),
        (
            {"scale": np.full(3, 0.1, np.float32), "scale2": np.full(3, 0.1, np.float32)},
            "3 scales",
        ),
    ],
)
def test_grids_that_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MohaqError) as caught:
        mohaq.load(pair(**changes))
    assert words in caught.value.message()
    assert "Linear'" in caught.value.message()


def test_integer_ends_are_refused() -> None:
    made = pair()
    made.graph.output[0].CopyFrom(info("q", [2, 4], onnx.TensorProto.INT8))
    del made.graph.node[1]
    with pytest.raises(MohaqError, match="result of the model is an integer tensor"):
        mohaq.load(made)
    made = pair()
    del made.graph.node[0]
    made.graph.input[0].CopyFrom(info("q", [2, 4], onnx.TensorProto.INT8))
    with pytest.raises(MohaqError, match=r"'q'.*(?s:.)*begin with QuantizeLinear"):
        mohaq.load(made)


def test_biases_of_32_bits_are_parameters() -> None:
    bias = np.array([100, -20, 3], np.int32)
    made = model(
        [
            Node("DequantizeLinear", ["Bq", "s"], ["B"]),
            Node("Gemm", ["x", "W", "B"], ["y"], "out"),
        ],
        [info("x", [2, 4])],
        [info("y", [2, 3])],
        [weights("W", 4, 3), constant("Bq", bias), constant("s", np.float32(0.001))],
    )
    program = mohaq.load(made)
    assert not fakes(program)
    zeros = np.zeros((2, 4), np.float32)
    (y,) = run_float(program, [zeros])
    np.testing.assert_allclose(y[0], bias * np.float32(0.001), rtol=1e-6)
    assert numpy_helper.to_array(made.graph.initializer[1]).dtype == np.int32
