"""Single integer operations at the ends of their ranges, in onnxruntime and by the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.onnx_export.integer import integer_to_onnx
from mohaq.compiler.onnx_export.session import open_session
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program, parse_module


def program(text: str, **arrays: np.ndarray) -> Program:
    store = ParameterStore(arrays)
    made = Program(parse_module(text, MohaqContext(parameters=store), "test"), store)
    made.verify()
    return made


def both(made: Program, x: np.ndarray) -> onnx.ModelProto:
    """Compare all results; gives the model."""
    model = integer_to_onnx(made, border="integer")
    session = open_session(model, threads=1)
    found = session.run(None, {session.get_inputs()[0].name: x})
    for a, b in zip(found, run_integer(made, [x]), strict=True):
        np.testing.assert_array_equal(a, b)
    return model


@settings(max_examples=80, deadline=None)
@given(
    st.data(),
    st.integers(2, 48),
    st.integers(2, 60),
    st.sampled_from([1, 2, 3, 6]),
)
def test_requantize(data: st.DataObject, bits: int, width: int, runs: int) -> None:
    largest = min(31, 63 - bits)
    pair = st.tuples(st.integers(1, 2**largest - 1), st.integers(0, 62))
    m, s = zip(*data.draw(st.lists(pair, min_size=runs, max_size=runs)), strict=True)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    values = data.draw(st.lists(st.integers(low, high), min_size=6, max_size=6))
    text = f"""
    func.func @main(%x: tensor<?x6xsi{bits}>) -> tensor<?x6xsi{width}> {{
      %y = qnn.requantize %x {{multipliers = array<i64: {str(list(m))[1:-1]}>,
        shifts = array<i64: {str(list(s))[1:-1]}>}}
        : (tensor<?x6xsi{bits}>) -> tensor<?x6xsi{width}>
      func.return %y : tensor<?x6xsi{width}>
    }}"""
    rows = [[low] * 6, [high] * 6, [0] * 6, [-1] * 6, [1] * 6, values]
    both(program(text), np.array(rows))


def test_requantize_at_63_bits_needs_the_remainder() -> None:
    """Moving the product to positive numbers would leave 64 bits; the exact form is another."""
    text = """
    func.func @main(%x: tensor<?x1xsi32>) -> tensor<?x1xsi16> {
      %y = qnn.requantize %x {multipliers = array<i64: 2147483647>, shifts = array<i64: 62>}
        : (tensor<?x1xsi32>) -> tensor<?x1xsi16>
      func.return %y : tensor<?x1xsi16>
    }"""
    model = both(program(text), np.array([[-(2**31)], [2**31 - 1], [-1], [0], [2**30]]))
    assert "Mod" in {n.op_type for n in model.graph.node}


@pytest.mark.parametrize("points", [4, 5, 16, 17, 256, 257])
def test_lookup_over_all_inputs(points: int) -> None:
    rng = np.random.default_rng(points)
    values = rng.integers(-(2**15), 2**15, points)
    values[:2] = -(2**15), 2**15 - 1  # the steepest line
    listed = ", ".join(map(str, values))
    text = f"""
    qnn.table @t dense<[{listed}]> : tensor<{points}xsi16>
    func.func @main(%x: tensor<?x1xsi16>) -> tensor<?x1xsi16> {{
      %y = qnn.lookup %x in @t : (tensor<?x1xsi16>) -> tensor<?x1xsi16>
      func.return %y : tensor<?x1xsi16>
    }}"""
    both(program(text), np.arange(-(2**15), 2**15).reshape(-1, 1))


def test_arithmetic() -> None:
    text = """
    func.func @main(%x: tensor<?x4xsi16>) -> (tensor<?x4xsi8>, tensor<?x4xui8>, tensor<?x4xsi30>,
        tensor<?x4xsi33>, tensor<?x4xsi5>, tensor<?x2xsi16>, tensor<?x8xsi16>) {
      %h, %l = qnn.split %x : (tensor<?x4xsi16>) -> (tensor<?x4xsi8>, tensor<?x4xui8>)
      %s = qnn.shl %x {amount = 14 : i64} : (tensor<?x4xsi16>) -> tensor<?x4xsi30>
      %m = qnn.mul %x, %x : (tensor<?x4xsi16>, tensor<?x4xsi16>) -> tensor<?x4xsi32>
      %a = qnn.add %m, %s : (tensor<?x4xsi32>, tensor<?x4xsi30>) -> tensor<?x4xsi33>
      %r = qnn.rsub %x {constant = 77 : i64} : (tensor<?x4xsi16>) -> tensor<?x4xsi17>
      %c = qnn.saturate %r : (tensor<?x4xsi17>) -> tensor<?x4xsi5>
      %p = qnn.slice %x {offset = 1 : i64, size = 2 : i64} : (tensor<?x4xsi16>) -> tensor<?x2xsi16>
      %j = qnn.concat %x, %x : (tensor<?x4xsi16>, tensor<?x4xsi16>) -> tensor<?x8xsi16>
      func.return %h, %l, %s, %a, %c, %p, %j : tensor<?x4xsi8>, tensor<?x4xui8>, tensor<?x4xsi30>,
        tensor<?x4xsi33>, tensor<?x4xsi5>, tensor<?x2xsi16>, tensor<?x8xsi16>
    }"""
    rng = np.random.default_rng(0)
    ends = np.array([[-(2**15), 2**15 - 1, 0, -1]])
    both(program(text), np.concatenate([ends, rng.integers(-(2**15), 2**15, (50, 4))]))


MATMUL = """
param.declare @w : tensor<3x{k}x{w}>
func.func @main(%x: tensor<?x{k}x{x}>) -> tensor<?x3xsi{bits}> {{
  %w = param.load @w : tensor<3x{k}x{w}>
  %y = qnn.matmul %x, %w {{acc = #qnn.acc<64, proved, bound = {bound}>}}
    : (tensor<?x{k}x{x}>, tensor<3x{k}x{w}>) -> tensor<?x3xsi{bits}>
  func.return %y : tensor<?x3xsi{bits}>
}}"""


@pytest.mark.parametrize(
    ("x", "w", "k", "kind"),
    [
        ("si2", "si2", 7, "MatMulInteger"),
        ("si8", "si8", 600, "MatMulInteger"),  # sums that a 16-bit intermediate would clip
        ("ui8", "si8", 600, "MatMulInteger"),
        ("si8", "ui8", 600, "MatMulInteger"),
        ("ui8", "ui8", 600, "MatMulInteger"),
        ("si8", "si8", 33_100, "MatMul"),  # 255 * 255 * 33100 is more than 31 bits
        ("si9", "si8", 9, "MatMul"),
        ("si16", "si16", 1100, "MatMul"),  # more than 31 bits
    ],
)
def test_products_at_the_ends(x: str, w: str, k: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    (low, high), (least, most) = (ends(name) for name in (x, w))
    weight = rng.integers(least, most + 1, (3, k))
    weight[0], weight[1] = least, most
    bound = int(np.abs(weight).sum(1).max()) * max(high, -low)
    text = MATMUL.format(k=k, w=w, x=x, bound=bound, bits=bound.bit_length() + 1)
    held = weight.astype({"si16": np.int16, "ui8": np.uint8}.get(w, np.int8))
    inputs = np.concatenate([np.full((1, k), low), np.full((1, k), high)])
    inputs = np.concatenate([inputs, rng.integers(low, high + 1, (4, k))])
    model = both(program(text, w=held), inputs)
    assert kind in {n.op_type for n in model.graph.node}


def ends(name: str) -> tuple[int, int]:
    """Smallest and largest of `si8`, `ui8`, ..."""
    bits = int(name[2:])
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if name[0] == "s" else (0, 2**bits - 1)


def test_a_float_program_has_no_integer_form() -> None:
    text = """
    func.func @main(%x: tensor<?x1xf32>) -> tensor<?x1xf32> {
      func.return %x : tensor<?x1xf32>
    }"""
    with pytest.raises(MohaqError, match="no integer program"):
        integer_to_onnx(program(text))


def test_real_borders_need_grids() -> None:
    text = """
    func.func @main(%x: tensor<?x1xsi8>) -> tensor<?x1xsi8> {
      func.return %x : tensor<?x1xsi8>
    }"""
    with pytest.raises(MohaqError, match="has no grid"):
        integer_to_onnx(program(text))
    held: Any = integer_to_onnx(program(text), border="integer")
    assert held.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
