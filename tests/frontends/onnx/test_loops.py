"""Scan bodies that are steps of our cells become whole layers again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from family import Drawn, layers
from hypothesis import HealthCheck, assume, given, settings
from onnx import helper, numpy_helper

import mohaq
from mohaq.compiler.dialects.nn import LayerOp, LinearOp, QrnnOp
from mohaq.compiler.interpreters.float_nn import run_float


@pytest.mark.parametrize("kind", ["sru", "ligru", "qrnn", "lstm"])
def test_exported_loops_come_back(kind: str) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True))
    def check(drawn: Drawn) -> None:
        facts = drawn.facts
        assume(kind != "lstm" or facts["projection"])
        program = drawn.program
        back = mohaq.load(program.to_onnx())
        found = [
            op for op in back.layers() if isinstance(op, LayerOp) and not isinstance(op, LinearOp)
        ]
        count = 2 if facts["direction"] == "bidirectional" else 1
        assert [op.name for op in found] == [f"nn.{kind}"] * count, facts
        windows = {op.window for op in found if isinstance(op, QrnnOp)}
        assert windows == ({facts["window"]} if kind == "qrnn" else set())
        for ours, theirs in zip(
            run_float(back, drawn.inputs), run_float(program, drawn.inputs), strict=True
        ):
            assert ours.shape == theirs.shape
            scale = max(1.0, float(np.abs(theirs).max()))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-5 * scale, err_msg=str(facts))

    check()


def model(
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, np.ndarray[Any, Any]],
    states: Sequence[str],
    nexts: Sequence[str],
    output: str,
    *,
    size: int,
    reverse: int = 0,
) -> onnx.ModelProto:
    """x [T, B, 3] through a Scan whose body has these nodes; states start at inputs."""
    info = helper.make_tensor_value_info
    real = onnx.TensorProto.FLOAT
    body = helper.make_graph(
        [*nodes, helper.make_node("Identity", [output], ["shown"])],
        "step",
        [info(s, real, [None, size]) for s in states] + [info("x_t", real, [None, 3])],
        [info(n, real, [None, size]) for n in nexts] + [info("shown", real, [None, size])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    starts = [f"{s}0" for s in states]
    loop = helper.make_node(
        "Scan",
        [*starts, "x"],
        [*(f"{s}_last" for s in states), "y"],
        body=body,
        num_scan_inputs=1,
        scan_input_directions=[reverse],
        scan_output_directions=[reverse],
    )
    graph = helper.make_graph(
        [loop],
        "loop",
        [info("x", real, ["T", "B", 3]), *(info(s, real, ["B", size]) for s in starts)],
        [info("y", real, None), *(info(f"{s}_last", real, None) for s in states)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compare(made: onnx.ModelProto, states: int, size: int) -> list[str]:
    """Our program against onnxruntime at several lengths; gives the names of its layers."""
    program = mohaq.load(made)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    rng = np.random.default_rng(1)
    for steps, batch in ((1, 1), (6, 3)):
        inputs = [rng.normal(size=(steps, batch, 3)).astype(np.float32)]
        inputs += [rng.normal(size=(batch, size)).astype(np.float32) for _ in range(states)]
        feeds = dict(zip((i.name for i in session.get_inputs()), inputs, strict=True))
        for ours, theirs in zip(run_float(program, inputs), session.run(None, feeds), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)
    return [op.name for op in program.layers()]


def data(*shape: int) -> np.ndarray[Any, Any]:
    made: np.ndarray[Any, Any] = np.random.default_rng(sum(shape)).normal(size=shape)
    return made.astype(np.float32)


def n(kind: str, inputs: str, outputs: str, **facts: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **facts)


def lstm_nodes(last: str = "n_mul") -> list[onnx.NodeProto]:
    """One product for all gates of [x, h], as TensorFlow's cells have it (order i, g, f, o)."""
    nodes = [
        n("Concat", "x_t h", "both", axis=1),
        n("MatMul", "both W", "mixed"),
        n("Add", "mixed b", "total"),
        n("Split", "total", "vi vg vf vo", axis=1),
        n("Add", "vf one", "vf1"),
        n("Sigmoid", "vi", "i"),
        n("Sigmoid", "vf1", "f"),
        n("Sigmoid", "vo", "o"),
        n("Tanh", "vg", "g"),
        n("Mul", "f c", "fc"),
        n("Mul", "g i", "gi"),
        n("Add", "gi fc", "c_next"),
        n("Tanh", "c_next", "tc"),
        n("Mul", "tc o", "h_next"),
    ]
    if last == "no output gate":
        nodes[-1] = n("Identity", "tc", "h_next")
    return nodes


LSTM = {"W": data(7, 16), "b": data(16), "one": np.ones(1, dtype=np.float32)}


@pytest.mark.parametrize("reverse", [0, 1])
def test_an_lstm_written_out(reverse: int) -> None:
    made = model(
        lstm_nodes(), LSTM, ["c", "h"], ["c_next", "h_next"], "h_next", size=4, reverse=reverse
    )
    assert compare(made, 2, 4) == ["nn.lstm"]


def test_a_cell_without_an_output_gate_is_none_of_ours() -> None:
    nodes = lstm_nodes("no output gate")
    made = model(nodes, LSTM, ["c", "h"], ["c_next", "h_next"], "h_next", size=4)
    with pytest.raises(mohaq.MohaqError, match="no recurrent cell"):
        mohaq.load(made)


@pytest.mark.parametrize("blend", ["convex", "difference"])
@pytest.mark.parametrize("reset", ["before", "after"])
def test_a_gru_written_out(blend: str, reset: str) -> None:
    nodes = [
        n("Gemm", "x_t Wz bz", "xz", transB=1),
        n("Gemm", "h Rz", "hz", transB=1),
        n("Add", "hz xz", "vz"),
        n("Sigmoid", "vz", "z"),
        n("Gemm", "x_t Wr br", "xr", transB=1),
        n("MatMul", "h Rr", "hr"),
        n("Add", "xr hr", "vr"),
        n("Sigmoid", "vr", "r"),
        n("Gemm", "x_t Wn bn", "xn", transB=1),
    ]
    if reset == "before":
        nodes += [n("Mul", "h r", "rh"), n("MatMul", "rh Rn", "fed")]
    else:
        nodes += [n("Gemm", "h Rn qn", "hn"), n("Mul", "r hn", "fed")]
    nodes += [n("Add", "xn fed", "vn"), n("Tanh", "vn", "n")]
    if blend == "convex":
        nodes += [
            n("Sub", "one z", "rest"),
            n("Mul", "rest h", "kept"),
            n("Mul", "z n", "fresh"),
            n("Add", "kept fresh", "h_next"),
        ]
    else:
        nodes += [n("Sub", "h n", "gap"), n("Mul", "z gap", "part"), n("Add", "n part", "h_next")]
    weights = {f"W{g}": data(4, 3) + k for k, g in enumerate("zrn")}
    weights |= {f"R{g}": data(4, 4) * (0.3 + 0.2 * k) for k, g in enumerate("zrn")}
    weights |= {f"b{g}": data(4) * k for k, g in enumerate("zrn")}
    weights |= {"qn": data(4) * 0.5, "one": np.ones(1, dtype=np.float32)}
    made = model(nodes, weights, ["h"], ["h_next"], "h_next", size=4)
    assert compare(made, 1, 4) == ["nn.gru"]


def test_an_elman_network_written_out() -> None:
    nodes = [
        n("MatMul", "x_t W", "a"),
        n("MatMul", "h R", "b"),
        n("Sum", "a b c", "v"),
        n("Relu", "v", "h_next"),
    ]
    weights = {"W": data(3, 4), "R": data(4, 4) * 0.3, "c": data(4)}
    made = model(nodes, weights, ["h"], ["h_next"], "h_next", size=4)
    assert compare(made, 1, 4) == ["nn.rnn"]


def leaky(keeps: float) -> onnx.ModelProto:
    """h' = keeps h + tanh(...) / 2."""
    nodes = [
        n("MatMul", "x_t W", "a"),
        n("MatMul", "h R", "b"),
        n("Add", "a b", "v"),
        n("Tanh", "v", "t"),
        n("Mul", "t half", "th"),
        n("Mul", "h keeps", "hh"),
        n("Add", "th hh", "h_next"),
    ]
    constants = {"half": 0.5, "keeps": keeps}
    weights = {k: np.full(1, v, dtype=np.float32) for k, v in constants.items()}
    weights |= {"W": data(3, 4), "R": data(4, 4)}
    return model(nodes, weights, ["h"], ["h_next"], "h_next", size=4)


def test_a_leaky_unit_has_a_gate_that_is_fixed() -> None:
    assert compare(leaky(0.5), 1, 4) == ["nn.ligru"]


def test_a_leaky_sum_that_is_no_mean_is_none_of_ours() -> None:
    with pytest.raises(mohaq.MohaqError, match="no recurrent cell"):
        mohaq.load(leaky(0.4))


def loop_model(*, trips: int | None = None, decides: bool = False) -> onnx.ModelProto:
    """An Elman network as Loop: Shape(x)[0] steps, Gather(x, i)."""
    info = helper.make_tensor_value_info
    real = onnx.TensorProto.FLOAT
    nodes = [
        n("Gather", "x i", "x_t", axis=0),
        n("MatMul", "x_t W", "a"),
        n("MatMul", "h R", "b"),
        n("Add", "a b", "v"),
        n("Tanh", "v", "h_next"),
        n("Identity", "h_next", "shown"),
        n("Less", "i five", "on") if decides else n("Identity", "go", "on"),
    ]
    body = helper.make_graph(
        nodes,
        "step",
        [
            info("i", onnx.TensorProto.INT64, []),
            info("go", onnx.TensorProto.BOOL, []),
            info("h", real, [None, 4]),
        ],
        [
            info("on", onnx.TensorProto.BOOL, []),
            info("h_next", real, [None, 4]),
            info("shown", real, [None, 4]),
        ],
        [
            numpy_helper.from_array(data(3, 4), "W"),
            numpy_helper.from_array(data(4, 4) * np.float32(0.3), "R"),
            numpy_helper.from_array(np.array(5, dtype=np.int64), "five"),
        ],
    )
    around = [
        n("Shape", "x", "shape"),
        n("Gather", "shape zero", "counted", axis=0),
        helper.make_node("Loop", ["counted" if trips is None else "trips", "yes", "h0"],
                         ["h_last", "y"], body=body),
    ]  # fmt: skip
    graph = helper.make_graph(
        around,
        "loop",
        [info("x", real, ["T", "B", 3]), info("h0", real, ["B", 4])],
        [info("y", real, None), info("h_last", real, None)],
        [
            numpy_helper.from_array(np.array(0, dtype=np.int64), "zero"),
            numpy_helper.from_array(np.array(True), "yes"),
            numpy_helper.from_array(np.array(trips or 0, dtype=np.int64), "trips"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_loop_over_time() -> None:
    assert compare(loop_model(), 1, 4) == ["nn.rnn"]


def test_loops_that_end_otherwise_are_refused() -> None:
    with pytest.raises(mohaq.MohaqError, match="trip count is not the length"):
        mohaq.load(loop_model(trips=3))
    with pytest.raises(mohaq.MohaqError, match="decides when it ends"):
        mohaq.load(loop_model(decides=True))
