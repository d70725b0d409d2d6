"""Opening ONNX files: what is refused, with which words, and what is read from disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from small_onnx import branches, constant, info, lstm, model, weights

import mohaq
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float

Node = helper.make_node
Change = Callable[[onnx.ModelProto], object]


def refused(source: object, *words: str) -> MohaqError:
    """The error, whose message holds the words."""
    with pytest.raises(MohaqError) as caught:
        mohaq.load(source)  # type: ignore[arg-type]
    text = caught.value.message()
    for word in words:
        assert word in text, text
    return caught.value


def matrix(*nodes: onnx.NodeProto, **initializers: object) -> onnx.ModelProto:
    """A model from x [2, 3] to y [2, 3]."""
    tensors = [constant(name, values) for name, values in initializers.items()]
    return model(list(nodes), [info("x", [2, 3])], [info("y", [2, 3])], tensors)


# Files.


def test_files_that_are_no_models(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "none.onnx", "No such file")
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    refused(folder, "folder.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", "no regular file")
    for name, data in {
        "empty": b"",
        "text": b"hello, this is no model",
        "cut": lstm().SerializeToString()[:200],
        "zeros": bytes(1000),
    }.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(data)
        refused(path, path.name)


def test_text_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(lstm().SerializeToString().replace(b"squeeze", b"squ\xff\xfeze"))
    refused(path, "not UTF-8")


@pytest.mark.parametrize("opset", [-1, 0, 6, onnx.defs.onnx_opset_version() + 1, 2**40])
def test_opsets_out_of_range(opset: int) -> None:
    made = lstm()
    made.opset_import[0].version = opset
    refused(made, f"opset {opset}", f"7 to {onnx.defs.onnx_opset_version()}")


def test_unknown_domains_are_named() -> None:
    made = matrix(Node("Attention", ["x"], ["y"], "a1", domain="com.example"))
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    refused(made, "com.example.Attention", "'a1'")


# The graph.


def test_nodes_in_any_order_are_sorted() -> None:
    straight = lstm()
    turned = lstm()
    del turned.graph.node[:]
    turned.graph.node.extend(reversed(straight.graph.node))
    x = np.random.default_rng(1).normal(size=(4, 2, 2)).astype(np.float32)
    (a,), (b,) = (run_float(mohaq.load(m), [x]) for m in (straight, turned))
    np.testing.assert_array_equal(a, b)


def test_a_branch_may_read_a_later_node() -> None:
    made = branches()
    (other,) = [a.g for a in made.graph.node[1].attribute if a.name == "else_branch"]
    other.node[0].input[0] = "later"
    made.graph.node.append(Node("Neg", ["x"], ["later"]))
    mohaq.load(made, constants={"sr": 8000})


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([Node("Add", ["x", "b"], ["a"]), Node("Add", ["a", "x"], ["b"])], ["cycle"]),
        ([Node("Add", ["x", "a"], ["a"])], ["cycle"]),
        ([Node("Relu", ["ghost"], ["a"], "reader")], ["'ghost'", "'reader'"]),
        ([Node("Relu", ["x"], ["a"]), Node("Tanh", ["x"], ["a"])], ["two values", "'a'"]),
        ([Node("Relu", ["x"], ["x"])], ["two values", "'x'"]),
        ([Node("Relu", ["x"], ["other"])], ["'a' is computed by no node"]),
        ([Node("Relu", ["x", "x"], ["a"])], ["not a valid ONNX model"]),
        ([Node("NoSuchThing", ["x"], ["a"])], ["NoSuchThing"]),
    ],
)
def test_graphs_that_are_wired_wrongly(nodes: list[onnx.NodeProto], words: list[str]) -> None:
    refused(model(nodes, [info("x", [2, 3])], [info("a", [2, 3])]), *words)


def test_duplicate_and_nameless_tensors() -> None:
    made = lstm()
    made.graph.initializer.append(weights("W", 1, 12, 2))
    refused(made, "two tensors are called 'W'")
    made = lstm()
    made.graph.initializer[0].name = ""
    refused(made, "no name")
    made = lstm()
    made.graph.input.append(made.graph.input[0])
    refused(made, "two values are called 'x'")


def test_empty_graphs() -> None:
    refused(onnx.ModelProto(), "no graph")
    refused(model([], [info("x", [2])], []), "no graph")


def test_graphs_nested_without_end() -> None:
    leaf = helper.make_graph([Node("Relu", ["x"], ["o"])], "g", [], [info("o", None)])
    inner = leaf
    for _ in range(25):
        inner = helper.make_graph(
            [Node("If", ["c"], ["o"], then_branch=inner, else_branch=leaf)],
            "g",
            [],
            [info("o", None)],
        )
    made = model(
        list(inner.node),
        [info("x", [2]), info("c", [], onnx.TensorProto.BOOL)],
        [info("o", None)],
    )
    refused(made, "nested more than 20 deep")


def function(name: str, calls: str, domain: str) -> onnx.FunctionProto:
    """Calls something twice."""
    nodes = [Node(calls, ["a"], ["b"], domain=domain), Node(calls, ["b"], ["c"], domain=domain)]
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["a"], ["c"], nodes, imports)


def test_functions_are_inlined_unless_they_explode() -> None:
    call = [Node("f0", ["x"], ["y"], domain="local")]
    ends = [info("x", [2, 3])], [info("y", [2, 3])]

    def doubling(levels: int) -> onnx.ModelProto:
        made = [function(f"f{n}", f"f{n + 1}", "local") for n in range(levels - 1)]
        return model(call, *ends, functions=[*made, function(f"f{levels - 1}", "Tanh", "")])

    x = np.random.default_rng(2).normal(size=(2, 3)).astype(np.float32)
    (y,) = run_float(mohaq.load(doubling(2)), [x])
    np.testing.assert_allclose(y, np.tanh(np.tanh(np.tanh(np.tanh(x)))), rtol=1e-5)
    refused(doubling(60), "more than 200000 nodes")
    refused(model(call, *ends, functions=[function("f0", "f0", "local")]), "calls itself")


# Tensors.


TENSORS: dict[str, tuple[Change, str]] = {
    "short": (lambda t: setattr(t, "raw_data", t.raw_data[:-1]), "needs 96 bytes"),
    "long": (lambda t: setattr(t, "raw_data", t.raw_data + b"\0"), "needs 96 bytes"),
    "huge": (lambda t: t.dims.__setitem__(1, 2**60), "do not fit its size"),
    "negative": (lambda t: t.dims.__setitem__(1, -12), "negative"),
    "zero": (lambda t: (t.dims.__setitem__(1, 0), t.ClearField("raw_data")), "LSTM"),
    "type": (lambda t: setattr(t, "data_type", 99), "unknown element type"),
    "text": (lambda t: setattr(t, "data_type", onnx.TensorProto.STRING), "text"),
    "nothing": (lambda t: t.ClearField("raw_data"), "0 values"),
}


@pytest.mark.parametrize("case", sorted(TENSORS))
def test_tensors_that_do_not_fit(case: str) -> None:
    change, words = TENSORS[case]
    made = lstm()
    change(made.graph.initializer[0])
    refused(made, words)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_weights_that_are_no_numbers(value: float, dtype: str) -> None:
    bad = np.zeros((3, 3), dtype)
    bad[1, 2] = value
    made = model(
        [Node("Cast", ["W"], ["V"], to=1), Node("MatMul", ["x", "V"], ["y"])]
        if dtype != "float32"
        else [Node("MatMul", ["x", "W"], ["y"], "product")],
        [info("x", [2, 3])],
        [info("y", [2, 3])],
        [constant("W", bad)],
    )
    refused(made, "NaN or infinity")


def test_sparse_tensors() -> None:
    made = lstm()
    made.graph.sparse_initializer.add()
    refused(made, "sparse")


# External data.


def external(tmp_path: Path, location: str, **facts: int) -> Path:
    """The LSTM with W in another file."""
    made = lstm()
    tensor = made.graph.initializer[0]
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "w.bin").write_bytes(b"\0" * 16 + tensor.raw_data)
    (tmp_path / "secret.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **facts}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = tmp_path / "model" / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    path = external(tmp_path, "w.bin", offset=16, length=96)
    x = np.random.default_rng(3).normal(size=(4, 2, 2)).astype(np.float32)
    (a,), (b,) = (run_float(mohaq.load(m), [x]) for m in (path, lstm()))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("location", "facts", "words"),
    [
        ("../secret.bin", {}, "outside"),
        ("../model/../secret.bin", {}, "outside"),
        ("/etc/hostname", {}, "outside"),
        ("", {}, "outside"),
        (".", {}, "outside"),
        ("a\0b", {}, "outside"),
        ("x" * 5000, {}, "external data"),
        ("nothing.bin", {}, "No such file"),
        ("w.bin", {"offset": 17}, "do not fit"),
        ("w.bin", {"offset": -1}, "do not fit"),
        ("w.bin", {"offset": 2**63}, "do not fit"),
        ("w.bin", {"length": 95}, "do not fit"),
        ("w.bin", {"length": 2**50}, "do not fit"),
        ("link.bin", {}, "outside"),
        ("links/secret.bin", {}, "outside"),
        ("circle.bin", {}, "external data"),
        ("pipe.bin", {}, "no regular file"),
    ],
)
def test_external_data_that_are_not_read(
    tmp_path: Path, location: str, facts: dict[str, int], words: str
) -> None:
    path = external(tmp_path, location, **facts)
    (path.parent / "link.bin").symlink_to(tmp_path / "secret.bin")
    (path.parent / "links").symlink_to(tmp_path)
    (path.parent / "circle.bin").symlink_to(path.parent / "circle.bin")
    os.mkfifo(path.parent / "pipe.bin")
    refused(path, "'W'", words)


def test_external_data_of_a_model_in_memory(tmp_path: Path) -> None:
    path = external(tmp_path, "w.bin", offset=16)
    refused(onnx.load(path, load_external_data=False), "another file")


# Memory.

INT = np.int64
HUGE = {
    "ConstantOfShape": matrix(
        Node("ConstantOfShape", ["s"], ["c"]),
        Node("ReduceSum", ["c"], ["r"], keepdims=0),
        Node("Add", ["x", "r"], ["y"]),
        s=np.array([2**20, 2**20], INT),
    ),
    "Expand": matrix(
        Node("Expand", ["one", "s"], ["c"]),
        Node("ReduceMax", ["c"], ["r"], keepdims=0),
        Node("Add", ["x", "r"], ["y"]),
        s=np.array([2**40], INT),
        one=np.ones(1, np.float32),
    ),
    "Tile": matrix(
        Node("Tile", ["one", "s"], ["c"]),
        Node("ReduceMax", ["c"], ["r"], keepdims=0),
        Node("Add", ["x", "r"], ["y"]),
        s=np.array([2**40], INT),
        one=np.ones(1, np.float32),
    ),
    "Range": matrix(
        Node("Range", ["a", "b", "d"], ["c"]),
        Node("ReduceMax", ["c"], ["r"], keepdims=0),
        Node("Cast", ["r"], ["f"], to=1),
        Node("Add", ["x", "f"], ["y"]),
        a=INT(0),
        b=INT(2**40),
        d=INT(1),
    ),
    "Pad": matrix(
        Node("Pad", ["one", "p"], ["c"]),
        Node("ReduceMax", ["c"], ["r"], keepdims=0),
        Node("Add", ["x", "r"], ["y"]),
        p=np.array([2**39, 2**39], INT),
        one=np.ones(1, np.float32),
    ),
    "MatMul": matrix(
        Node("ConstantOfShape", ["s"], ["c"]),
        Node("MatMul", ["c", "d"], ["m"]),
        Node("ConstantOfShape", ["t"], ["d"]),
        Node("ReduceMax", ["m"], ["r"], keepdims=0),
        Node("Add", ["x", "r"], ["y"]),
        s=np.array([2**20, 1], INT),
        t=np.array([1, 2**20], INT),
    ),
    "many": matrix(
        *(Node("ConstantOfShape", ["s"], [f"c{n}"]) for n in range(40)),
        Node("Sum", ["x", *(f"c{n}" for n in range(40))], ["y"]),
        s=np.array([2**12, 2**12], INT),
    ),
    "input": model(
        [Node("Relu", ["x"], ["y"])], [info("x", [2**40, 2**20])], [info("y", [2**40, 2**20])]
    ),
}
LIMITED = """
import sys, resource
import mohaq, mohaq.compiler.frontends.onnx
from mohaq.compiler.diagnostics import MohaqError
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        mohaq.load(path)
        print(path, "loaded")
    except MohaqError as error:
        print("refused", error.message().splitlines()[0])
print("grown", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) >> 10)
"""


def test_huge_constants_are_refused_before_they_are_made(tmp_path: Path) -> None:
    paths = []
    for name, made in HUGE.items():
        paths.append(tmp_path / f"{name}.onnx")
        onnx.save(made, paths[-1])

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *lines, grown = done.stdout.splitlines()
    assert len(lines) == len(HUGE)
    assert all(line.startswith("refused") for line in lines), done.stdout
    assert int(grown.split()[1]) < 1500  # MiB
