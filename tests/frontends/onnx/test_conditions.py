"""If: the taken branch becomes part of the program; conditions that cannot be known say why."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from small_onnx import INT64, branches, constant, info, model, weights

import mohaq
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float

Node = helper.make_node


def graph(
    nodes: list[onnx.NodeProto], result: str, tensors: list[onnx.TensorProto] | None = None
) -> onnx.GraphProto:
    """A branch."""
    return helper.make_graph(nodes, result, [], [info(result, None)], tensors or [])


def nested(unused_kind: str = "NonMaxSuppression") -> onnx.ModelProto:
    """On `sr`, then on `mode`, then on the rank of x; all branches read values from outside."""
    deepest = graph([Node("Add", ["shifted", "c"], ["d"])], "d", [weights("c", 3)])
    unused = graph([Node(unused_kind, ["shifted", "shifted"], ["n"])], "n")
    inner = graph(
        [
            Node("Shape", ["shifted"], ["shape"]),
            Node("Size", ["shape"], ["rank"]),
            Node("Equal", ["rank", "three"], ["is3"]),
            Node("If", ["is3"], ["e"], then_branch=deepest, else_branch=unused),
            Node("MatMul", ["e", "W1"], ["f"]),
        ],
        "f",
    )
    other = graph([Node("Relu", ["shifted"], ["g"])], "g")
    then = graph(
        [
            Node("Greater", ["mode", "zero"], ["on"], "mode_is_on"),
            Node("If", ["on"], ["h"], "inner", then_branch=inner, else_branch=other),
        ],
        "h",
    )
    otherwise = graph([Node("Identity", ["shifted"], ["i"])], "i")
    return model(
        [
            Node("MatMul", ["x", "W0"], ["shifted"]),
            Node("Equal", ["sr", "rate"], ["same"], "rate_is_16k"),
            Node("If", ["same"], ["o"], "outer", then_branch=then, else_branch=otherwise),
            Node("Tanh", ["o"], ["y"]),
        ],
        [info("x", ["T", "B", 2]), info("sr", [], INT64), info("mode", [1], INT64)],
        [info("y", ["T", "B", 3])],
        [
            weights("W0", 2, 3),
            weights("W1", 3, 3),
            constant("rate", np.int64(16000)),
            constant("zero", np.int64(0)),
            constant("three", np.int64(3)),
        ],
    )


@pytest.mark.parametrize("constants", [{"sr": 16000, "mode": 1}, {"sr": 16000, "mode": -1}])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_nested_branches(constants: dict[str, int], rate: int) -> None:
    fixed = {**constants, "sr": rate}
    # onnxruntime checks the types of all branches, so it gets one that it can run.
    program = mohaq.load(nested(), constants=fixed)
    x = np.random.default_rng(rate).normal(size=(5, 2, 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(nested("Mul").SerializeToString())
    feeds = {"x": x, "sr": np.int64(rate), "mode": np.array([fixed["mode"]])}
    (expected,) = session.run(None, {k: np.asarray(v) for k, v in feeds.items()})
    (found,) = run_float(program, [x])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        ({}, ["'outer'", "'sr'", "--set sr=16000"]),
        ({"sr": 16000}, ["'inner'", "'mode'", "--set mode=0"]),
    ],
)
def test_conditions_on_inputs(constants: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(MohaqError) as caught:
        mohaq.load(nested(), constants=constants)
    for word in words:
        assert word in caught.value.message()


def on_condition(*nodes: onnx.NodeProto, **tensors: Any) -> onnx.ModelProto:
    """An If whose condition `c` the nodes compute from x [T, B, 2]."""
    one, two = graph([Node("Relu", ["x"], ["p"])], "p"), graph([Node("Neg", ["x"], ["q"])], "q")
    return model(
        [*nodes, Node("If", ["c"], ["y"], "if", then_branch=one, else_branch=two)],
        [info("x", ["T", None, 2])],
        [info("y", ["T", None, 2])],
        [constant(k, v) for k, v in tensors.items()],
    )


def test_conditions_on_data() -> None:
    made = on_condition(
        Node("ReduceMax", ["x"], ["m"], keepdims=0),
        Node("Greater", ["m", "k"], ["c"], "loud"),
        k=np.float32(1),
    )
    with pytest.raises(MohaqError, match=r"'if'.*depends on data.*'x'"):
        mohaq.load(made)


@pytest.mark.parametrize(("axis", "name"), [(0, "T"), (1, "x.1")])
def test_conditions_on_sizes(axis: int, name: str) -> None:
    made = on_condition(
        Node("Shape", ["x"], ["s"]),
        Node("Gather", ["s", "axis"], ["n"]),
        Node("Equal", ["n", "k"], ["c"], "length"),
        axis=np.int64(axis),
        k=np.int64(4),
    )
    with pytest.raises(MohaqError, match=f"'length'.*'{name}'.*\n.*--set {name}="):
        mohaq.load(made)
    x = np.random.default_rng(0).normal(size=(4, 4, 2)).astype(np.float32)
    (y,) = run_float(mohaq.load(made, constants={name: 4}), [x])
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    shape = [5, 5, 2]
    (y,) = run_float(mohaq.load(made, constants={name: 5}), [np.ones(shape, np.float32)])
    np.testing.assert_array_equal(y, -np.ones(shape))


def test_names_of_a_branch_end_with_it() -> None:
    made = branches()
    made.graph.node[2].input[0] = "p"
    with pytest.raises(MohaqError, match="'p' is computed by no node"):
        mohaq.load(made, constants={"sr": 16000})
