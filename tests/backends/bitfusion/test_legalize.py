"""Legalization: multipliers, splits, bounds, refusals, and that it is exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohaq.backends.base import IllegalAssignment
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.machine import load_target
from mohaq.backends.multipliers import narrow_multiplier
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import Program

from .programs import Spec, from_text, qnn_program, random_inputs

TARGET = load_target("bitfusion-e")


@given(st.integers(1, (1 << 31) - 1), st.integers(17, 62))
def test_multipliers_get_15_bits(m: int, s: int) -> None:
    small, shift = narrow_multiplier(m, s)
    assert 1 <= small < 1 << 15
    assert abs(small / 2.0**shift - m / 2.0**s) <= m / 2.0**s / (1 << 15)
    assert narrow_multiplier(small, shift) == (small, shift)


def test_a_multiplier_without_room_is_illegal() -> None:
    with pytest.raises(IllegalAssignment):
        narrow_multiplier((1 << 20) - 1, 2)


def raw(program: Program) -> Program:
    """The program with every multiplier already at 15 bits, so that legalization is exact."""
    made = program.clone()
    for op in made.entry.body.walk():
        if isinstance(op, qnn.RequantizeOp):
            scales = [narrow_multiplier(m, s) for m, s in op.scales()]
            new = qnn.RequantizeOp(op.input, [m for m, _ in scales], [s for _, s in scales], 16)
            op.attributes.update(new.attributes)
            new.erase()
    return made


@pytest.mark.parametrize(("a", "w"), [(16, 16), (16, 4), (2, 16), (8, 8)])
def test_products_stay_exact(a: int, w: int) -> None:
    program = raw(qnn_program(9, [Spec("sru", 5, a, w, "bidirectional"), Spec("fc", 4, a, w)], 1))
    legal = BACKEND.legalize(program, TARGET)
    legal.verify()
    inputs = random_inputs(program, 6, 2, 0)
    np.testing.assert_array_equal(run_integer(program, inputs)[0], run_integer(legal, inputs)[0])
    passes = (2 if a == 16 else 1) * (2 if w == 16 else 1)
    products = [op for op in legal.entry.body.walk() if isinstance(op, qnn.MatmulOp)]
    assert len(products) == 2 * passes
    assert {op.acc.width.data for op in products} == {32}
    assert all(op.acc.bound.data < 1 << 31 for op in products)


def test_legalization_leaves_its_input_alone() -> None:
    program = qnn_program(9, [Spec("fc", 4, 16, 16)], 1)
    before = program.content_hash()
    BACKEND.legalize(program, TARGET)
    assert program.content_hash() == before


TEXT = """
builtin.module {{
  param.declare @w : tensor<2x3xsi8>
  param.declare @b : tensor<2xsi16>
  func.func @main(%x: tensor<?x?x3xsi{a}>) -> tensor<?x?x2xsi16> {{
    %w = param.load @w : tensor<2x3xsi8>
    %b = param.load @b : tensor<2xsi16>
    %p = qnn.matmul %x, %w {{acc = #qnn.acc<64, proved, bound = {bound}>}} : (tensor<?x?x3xsi{a}>, tensor<2x3xsi8>) -> tensor<?x?x2xsi{bits}>
    %q = qnn.bias %p, %b {{acc_shift = 0 : i64, bias_shift = {shift} : i64}} : (tensor<?x?x2xsi{bits}>, tensor<2xsi16>) -> tensor<?x?x2xsi{wide}>
    %y = qnn.requantize %q {{multipliers = array<i64: 1>, shifts = array<i64: 20>}} : (tensor<?x?x2xsi{wide}>) -> tensor<?x?x2xsi16>
    func.return %y : tensor<?x?x2xsi16>
  }}
}}
"""


def written(a: int, bound: int, bits: int, shift: int, wide: int) -> Program:
    text = TEXT.format(a=a, bound=bound, bits=bits, shift=shift, wide=wide)
    w = np.full((2, 3), 100, dtype=np.int8)
    return from_text(text, w=w, b=np.zeros(2, dtype=np.int16))


def test_operand_widths_that_the_array_lacks_are_refused() -> None:
    with pytest.raises(MohaqError, match="operands of 2, 4, 8 or 16 bits") as caught:
        BACKEND.legalize(written(6, 9600, 15, 0, 17), TARGET)
    assert "'w'" in caught.value.message()


def test_a_bound_that_the_data_exceed_is_refused() -> None:
    with pytest.raises(MohaqError, match="a sum can reach 38400"):
        BACKEND.legalize(written(8, 38399, 17, 0, 18), TARGET)


def test_wide_sums_leave_less_room_for_multipliers() -> None:
    # 25 bits of sums and a bias aligned 40 bits up: the split makes 57 bits.
    program = written(16, 300 << 15, 25, 40, 57)
    legal = BACKEND.legalize(program, TARGET)
    legal.verify()
    inputs = random_inputs(program, 3, 1, 0)
    np.testing.assert_array_equal(run_integer(program, inputs)[0], run_integer(legal, inputs)[0])
    multiplier = (1 << 15) - 1
    assert narrow_multiplier(multiplier, 20, 6) == (32, 10)
