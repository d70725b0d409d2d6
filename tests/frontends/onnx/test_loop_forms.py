"""Loops as exporters write them: masks of lengths, counters, clips, the Scan of opset 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from family import Drawn, layers
from hypothesis import HealthCheck, given, settings
from onnx import helper, numpy_helper

import mohaq
from mohaq.compiler.dialects import nn
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import argument_names

REAL, WHOLE, TRUTH = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
info = helper.make_tensor_value_info


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=layers())
def test_every_layer_comes_back_from_onnx(drawn: Drawn) -> None:
    """The same kind of layer and the same numbers, whatever it has."""
    back = mohaq.load(drawn.program.to_onnx())
    kinds = {op.name for op in back.layers() if not isinstance(op, nn.LinearOp)}
    assert kinds == {f"nn.{drawn.facts['kind']}"}, drawn.facts
    for ours, theirs in zip(
        run_float(back, drawn.inputs), run_float(drawn.program, drawn.inputs), strict=True
    ):
        assert ours.shape == theirs.shape
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-5 * scale)


def data(*shape: int) -> np.ndarray[Any, Any]:
    made: np.ndarray[Any, Any] = np.random.default_rng(sum(shape)).normal(size=shape) * 0.5
    return made.astype(np.float32)


def n(kind: str, inputs: str, outputs: str, **facts: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **facts)


ARRAYS = {
    "W": data(3, 4),
    "R": data(4, 4),
    "b": data(4),
    "half": np.float32(0.5),
    "minus": np.float32(-0.5),
    "none": np.float32(0),
    "one": np.array(1),
    "zero": np.array(0),
    "first": np.array([0]),
    "second": np.array([1]),
    "yes": np.array(True),
}
CELL = [
    n("MatMul", "x_t W", "a"),
    n("MatMul", "h R", "r"),
    n("Add", "a r", "v0"),
    n("Add", "v0 b", "v"),
]
PLAIN = [*CELL, n("Tanh", "v", "new")]
CLIPPED = [*CELL, n("Clip", "v minus half", "v1"), n("Tanh", "v1", "new")]


def initializers() -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(v), k) for k, v in ARRAYS.items()]


def close(graph: onnx.GraphProto, opset: int = 17) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def compare(
    made: onnx.ModelProto,
    *,
    batch_first: bool = False,
    sizes: Sequence[tuple[int, int]] = ((1, 1), (5, 3)),
) -> nn.LayerOp:
    """Our program against onnxruntime at several T and B; gives its recurrent layer."""
    program = mohaq.load(made)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    rng = np.random.default_rng(1)
    for steps, batch in sizes:
        feeds: dict[str, Any] = {
            "x": rng.normal(size=(batch, steps, 3) if batch_first else (steps, batch, 3)),
            "h0": rng.normal(size=(batch, 4)),
        }
        feeds = {k: v.astype(np.float32) for k, v in feeds.items()}
        feeds["lens"] = rng.integers(1, steps + 1, size=batch)
        asked = {i.name for i in session.get_inputs()}
        wanted = session.run(None, {k: v for k, v in feeds.items() if k in asked})
        ours = run_float(program, [feeds[k or ""] for k in argument_names(program.entry)])
        for a, b in zip(ours, wanted, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    (layer,) = [op for op in program.layers() if isinstance(op, nn.RecurrentOp)]
    return layer


MASKS = {
    "less": [n("Less", "t lens", "live1"), n("Unsqueeze", "live1 second", "live")],
    "greater": [n("Unsqueeze", "lens second", "column"), n("Greater", "column t", "live")],
    "not": [n("LessOrEqual", "lens t", "dead1"), n("Unsqueeze", "dead1 second", "dead"), n("Not", "dead", "live")],
}  # fmt: skip
KEPT = [n("Where", "live new h", "h_next"), n("Where", "live new none", "shown")]


def loop(
    body: Sequence[onnx.NodeProto], *, masked: bool = False, carried: str = "", axis: int = 0
) -> onnx.ModelProto:
    """A Loop over x whose nodes compute x_t; `carried` is a number that it hands on."""
    inputs = [info("t", WHOLE, []), info("go", TRUTH, []), info("h", REAL, [None, 4])]
    outputs = [info("on", TRUTH, []), info("h_next", REAL, [None, 4])]
    around = [
        n("Shape", "x", "shape"),
        helper.make_node("Gather", ["shape", "one" if axis else "zero"], ["T"], axis=0),
        n("Sub", "T one", "T1"),
        n("Identity", "h0", "start"),
    ]
    given, made = ["T", "yes", "start"], ["h_last"]
    if carried:
        inputs.append(info("k", WHOLE, []))
        outputs.append(info("k_next", WHOLE, []))
        given.append(carried)
        made.append("k_last")
    graph = helper.make_graph(
        [*body, n("Identity", "go", "on")],
        "step",
        inputs,
        [*outputs, info("shown", REAL, [None, 4])],
    )
    around.append(helper.make_node("Loop", given, [*made, "y"], body=graph))
    arguments = [
        info("x", REAL, ["B", "T", 3] if axis else ["T", "B", 3]),
        info("h0", REAL, ["B", 4]),
    ]
    if masked:
        arguments.append(info("lens", WHOLE, ["B"]))
    results = [info("y", REAL, None), info("h_last", REAL, None)]
    return close(helper.make_graph(around, "loop", arguments, results, initializers()))


SHOWN = [n("Identity", "new", "h_next"), n("Identity", "new", "shown")]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", sorted(MASKS))
def test_loops_with_lengths(mask: str, reverse: bool) -> None:
    if reverse:  # the position is T - 1 - i
        front = [n("Identity", "t", "i"), n("Sub", "T1 i", "p"), n("Gather", "x p", "x_t", axis=0)]
        nodes = [*front, *_renamed(MASKS[mask], "t", "p")]
    else:
        nodes = [n("Gather", "x t", "x_t", axis=0), *MASKS[mask]]
    layer = compare(loop([*nodes, *PLAIN, *KEPT], masked=True))
    assert isinstance(layer, nn.RnnOp)
    assert layer.lengths is not None
    assert layer.direction.data == ("reverse" if reverse else "forward")


def _renamed(nodes: Sequence[onnx.NodeProto], old: str, new: str) -> list[onnx.NodeProto]:
    made = [onnx.NodeProto.FromString(one.SerializeToString()) for one in nodes]
    for one in made:
        one.input[:] = [new if i == old else i for i in one.input]
    return made


@pytest.mark.parametrize("axis", [0, 1])
def test_loops_that_read_backwards(axis: int) -> None:
    front = [n("Sub", "T1 t", "p"), n("Gather", "x p", "x_t", axis=axis)]
    layer = compare(loop([*front, *PLAIN, *SHOWN], axis=axis), batch_first=bool(axis))
    assert isinstance(layer, nn.RnnOp)
    assert layer.direction.data == "reverse"


@pytest.mark.parametrize("way", ["Add", "Sub"])
def test_loops_that_carry_their_counter(way: str) -> None:
    front = [n("Gather", "x k", "x_t", axis=0), n(way, "k one", "k_next")]
    layer = compare(loop([*front, *PLAIN, *SHOWN], carried="zero" if way == "Add" else "T1"))
    assert isinstance(layer, nn.RnnOp)
    assert layer.direction.data == ("forward" if way == "Add" else "reverse")


def test_loops_with_a_clip() -> None:
    layer = compare(loop([n("Gather", "x t", "x_t", axis=0), *CLIPPED, *SHOWN]))
    assert isinstance(layer, nn.RnnOp)
    assert layer.limit == 0.5


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([n("Add", "t one", "p"), n("Gather", "x p", "x_t", axis=0), *PLAIN, *SHOWN], "end to end"),
        (
            [n("Gather", "x t", "x_t"), n("Gather", "x T1", "late"), *PLAIN[:-1], n("Tanh", "late", "new"), *SHOWN],
            "not constant",
        ),
        (
            [n("Gather", "x t", "x_t"), *MASKS["less"], *PLAIN, KEPT[0], n("Identity", "h_next", "shown")],
            "shows something else than zero",
        ),
        (
            [n("Gather", "x t", "x_t"), *MASKS["less"], *PLAIN, n("Where", "live new none", "h_next"), KEPT[1]],
            "states change beyond",
        ),
        (
            [n("Sub", "T1 t", "p"), n("Gather", "x p", "x_t"), *MASKS["less"], *PLAIN, *KEPT],
            "position that is read",
        ),
        ([n("Gather", "x t", "x_t"), n("Clip", "h minus half", "h1"), *_renamed(PLAIN, "h", "h1"), *SHOWN], "no recurrent cell"),
    ],
)  # fmt: skip
def test_what_is_no_such_loop_says_why(nodes: list[onnx.NodeProto], message: str) -> None:
    with pytest.raises(mohaq.MohaqError, match=message):
        mohaq.load(loop(nodes, masked=True))


@pytest.mark.parametrize("where", ["range", "mask"])
@pytest.mark.parametrize("reverse", [0, 1])
def test_scans_with_lengths(where: str, reverse: int) -> None:
    """The position is a scanned input, or the mask is."""
    around = [
        n("Shape", "x", "shape"),
        n("Gather", "shape zero", "T", axis=0),
        n("Range", "zero T one", "steps"),
    ]
    if where == "mask":
        around += [
            n("Unsqueeze", "steps second", "column"),
            n("Unsqueeze", "lens first", "row"),
            n("Less", "column row", "flat"),
            n("Unsqueeze", "flat two", "lives"),
        ]
        nodes, extra = [*PLAIN, *KEPT], info("live", TRUTH, [None, 1])
    else:
        nodes, extra = [*MASKS["less"], *PLAIN, *KEPT], info("t", WHOLE, [])
    body = helper.make_graph(
        nodes,
        "step",
        [info("h", REAL, [None, 4]), info("x_t", REAL, [None, 3]), extra],
        [info("h_next", REAL, [None, 4]), info("shown", REAL, [None, 4])],
    )
    second = "lives" if where == "mask" else "steps"
    around.append(
        helper.make_node("Scan", ["h0", "x", second], ["h_last", "y"], body=body, num_scan_inputs=2,
                         scan_input_directions=[reverse] * 2, scan_output_directions=[reverse])
    )  # fmt: skip
    arguments = [
        info("x", REAL, ["T", "B", 3]),
        info("h0", REAL, ["B", 4]),
        info("lens", WHOLE, ["B"]),
    ]
    results = [info("y", REAL, None), info("h_last", REAL, None)]
    arrays = [*initializers(), numpy_helper.from_array(np.array([2]), "two")]
    layer = compare(close(helper.make_graph(around, "scan", arguments, results, arrays)))
    assert isinstance(layer, nn.RnnOp)
    assert layer.lengths is not None


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("reverse", [0, 1])
def test_scans_of_opset_8(reverse: int, lengths: bool) -> None:
    """The batch comes first, and the body sees one sequence at a time."""
    nodes = [
        n("Concat", "x_t h", "both", axis=0),
        n("MatMul", "both WR", "v"),
        n("Split", "v", "u z", axis=0),
        n("Tanh", "u", "g"),
        n("Sigmoid", "z", "s"),
        n("Sub", "h g", "gap"),
        n("Mul", "s gap", "kept"),
        n("Add", "g kept", "h_next"),
        n("Identity", "h_next", "shown"),
    ]
    body = helper.make_graph(
        nodes,
        "step",
        [info("h", REAL, [4]), info("x_t", REAL, [3])],
        [info("h_next", REAL, [4]), info("shown", REAL, [4])],
        [numpy_helper.from_array(data(7, 8), "WR")],
    )
    node = helper.make_node(
        "Scan", ["lens" if lengths else "", "h0", "x"], ["h_last", "y"], body=body,
        num_scan_inputs=1, directions=[reverse],
    )  # fmt: skip
    arguments = [info("x", REAL, ["B", "T", 3]), info("h0", REAL, ["B", 4])]
    if lengths:
        arguments.append(info("lens", WHOLE, ["B"]))
    results = [info("y", REAL, None), info("h_last", REAL, None)]
    made = close(helper.make_graph([node], "scan", arguments, results), 8)
    if lengths and reverse:
        with pytest.raises(mohaq.MohaqError, match="shows the last step first"):
            mohaq.load(made)
        return
    layer = compare(made, batch_first=True)
    assert isinstance(layer, nn.LiGruOp)
    assert layer.direction.data == ("reverse" if reverse else "forward")
