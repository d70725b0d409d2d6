"""Layers exported to ONNX come back as the same layers; the recurrent operators at all opsets."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from family import Drawn, layers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import argument_names

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
OPSETS = (7, 11, 14, 21, onnx.defs.onnx_opset_version())
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@QUIET
@given(drawn=layers(("rnn", "lstm", "gru")))
def test_exported_layers_come_back(drawn: Drawn) -> None:
    model = drawn.program.to_onnx()
    if drawn.facts.get("projection"):
        return  # exported as Scan: test_loops
    back = mohaq.load(model)
    (op,) = [
        op
        for op in back.entry.body.block.ops
        if op.name.startswith("nn.") and "op_name" in op.attributes
    ]
    assert op.name == f"nn.{drawn.facts['kind']}"
    for ours, theirs in zip(
        run_float(back, drawn.inputs), run_float(drawn.program, drawn.inputs), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=str(drawn.facts))


@st.composite
def recurrent_models(draw: st.DrawFn) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """One LSTM, GRU or RNN node with whatever its operator page allows at the opset."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(sorted(GATES)))
    opset = draw(st.sampled_from(OPSETS))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    count = 2 if direction == "bidirectional" else 1
    steps, batch, features, hidden = (draw(st.integers(1, 4)) for _ in range(4))
    layout = draw(st.integers(0, 1)) if opset >= 14 else 0
    rows = GATES[kind] * hidden

    def data(*shape: int) -> np.ndarray[Any, Any]:
        return rng.normal(size=shape).astype(np.float32)

    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if opset >= 14:
        attributes["layout"] = layout
    if kind == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    if kind == "LSTM":
        attributes["input_forget"] = 0
    weights = {"W": data(count, rows, features), "R": data(count, rows, hidden)}
    inputs = ["X", "W", "R", "", "", "", ""]
    if draw(st.booleans()):
        weights["B"], inputs[3] = data(count, 2 * rows), "B"
    feeds = {"X": data(batch, steps, features) if layout else data(steps, batch, features)}
    if draw(st.booleans()):
        feeds["lens"], inputs[4] = rng.integers(1, steps + 1, size=batch).astype(np.int32), "lens"
    for place, name in ((5, "h0"), (6, "c0"))[: 2 if kind == "LSTM" else 1]:
        if draw(st.booleans()):
            shape = (batch, count, hidden) if layout else (count, batch, hidden)
            feeds[name], inputs[place] = data(*shape), name
    if kind == "LSTM" and draw(st.booleans()):
        weights["P"] = data(count, 3 * hidden)
        inputs.append("P")
    elif kind != "LSTM":
        inputs = inputs[:6]
    while not inputs[-1]:
        inputs.pop()
    outputs = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, inputs, outputs, **attributes)
    infos = [
        helper.make_tensor_value_info(
            n,
            helper.np_dtype_to_tensor_dtype(v.dtype),
            [None, None, v.shape[2]] if n == "X" else [None] if n == "lens"
            else [None if (i == 0) == bool(layout) else s for i, s in enumerate(v.shape[:2])] + [hidden],
        )
        for n, v in feeds.items()
    ]  # fmt: skip
    graph = helper.make_graph(
        [node],
        "one",
        infos,
        [
            helper.make_tensor_value_info(
                o, onnx.TensorProto.FLOAT, [None] * (4 if o == "Y" else 3)
            )
            for o in outputs
        ],
        [numpy_helper.from_array(v, n) for n, v in weights.items()],
    )
    ir = 3 if opset < 9 else 8
    if ir == 3:  # initializers are inputs, too, in old models
        graph.input.extend(
            helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, v.shape)
            for n, v in weights.items()
        )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir
    ), feeds


def reference(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """onnxruntime, which has no layout 1; onnx's reference has it, but no sequence_lens."""
    if any(a.name == "layout" and a.i for a in model.graph.node[0].attribute):
        return list(ReferenceEvaluator(model).run(None, feeds))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return list(session.run(None, feeds))


@QUIET
@given(drawn=recurrent_models())
def test_operators_at_every_opset(drawn: tuple[onnx.ModelProto, dict[str, Any]]) -> None:
    model, feeds = drawn
    layout = any(a.name == "layout" and a.i for a in model.graph.node[0].attribute)
    if layout and ("lens" in feeds or model.graph.node[0].op_type != "LSTM"):
        return
    program = mohaq.load(model)
    made = run_float(program, [feeds[n or ""] for n in argument_names(program.entry)])
    for ours, theirs in zip(made, reference(model, feeds), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6)


def test_a_program_from_onnx_runs_at_any_length() -> None:
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n)
        for n, s in (("W", (2, 16, 3)), ("R", (2, 16, 4)), ("F", (5, 8)))
    ]
    nodes = [
        helper.make_node("LSTM", ["x", "W", "R"], ["Y"], hidden_size=4, direction="bidirectional"),
        helper.make_node("Transpose", ["Y"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Constant", [], ["s"], value_ints=[0, 0, -1]),
        helper.make_node("Reshape", ["t", "s"], ["h"]),
        helper.make_node("Transpose", ["F"], ["Ft"], perm=[1, 0]),
        helper.make_node("MatMul", ["h", "Ft"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [info("x", onnx.TensorProto.FLOAT, ["T", "B", 3])],
        [info("y", onnx.TensorProto.FLOAT, ["T", "B", 5])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    program = mohaq.load(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for steps, batch in ((1, 1), (7, 2), (300, 1)):
        x = rng.normal(size=(steps, batch, 3)).astype(np.float32)
        (ours,) = run_float(program, [x])
        np.testing.assert_allclose(ours, session.run(None, {"x": x})[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_weights_of_other_floats(kind: str) -> None:
    import ml_dtypes

    dtype = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float64": np.float64}[kind]
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 4)).astype(dtype)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", element, ["n", 3])],
        [helper.make_tensor_value_info("y", element, ["n", 4])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = rng.normal(size=(2, 3)).astype(np.float32)
    (made,) = run_float(mohaq.load(model), [x])
    np.testing.assert_allclose(made, x @ weight.astype(np.float32), rtol=1e-6)
