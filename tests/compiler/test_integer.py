"""The integer reference against a brute-force model in plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.interpreters.integer import interpolate, round_shift, run_integer
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program, parse_module
from mohaq.passes.lowering.tables import sigmoid_points

int16 = st.integers(-(2**15), 2**15 - 1)


def program(text: str, **arrays: np.ndarray) -> Program:
    store = ParameterStore(arrays)
    made = Program(parse_module(text, MohaqContext(parameters=store), "test"), store)
    made.verify()
    return made


def clamp(x: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, x))


@given(st.integers(-(2**62), 2**62 - 1), st.integers(0, 62))
def test_round_shift_is_floor_of_half_up(x: int, shift: int) -> None:
    if shift and abs(x) + (1 << (shift - 1)) >= 2**63:
        return
    expected = (2 * x + (1 << shift)) // (1 << (shift + 1))
    assert int(round_shift(np.array([x], dtype=np.int64), shift)[0]) == expected


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=6, max_size=6),
    st.lists(st.tuples(st.integers(1, 2**31 - 1), st.integers(0, 62)), min_size=1, max_size=3),
    st.sampled_from([2, 4, 8, 16]),
)
def test_requantize(values: list[int], scales: list[tuple[int, int]], width: int) -> None:
    if 6 % len(scales):
        scales = scales[:1]
    m, s = zip(*scales, strict=True)
    text = f"""
    func.func @main(%x: tensor<?x6xsi32>) -> tensor<?x6xsi{width}> {{
      %y = qnn.requantize %x {{multipliers = array<i64: {str(list(m))[1:-1]}>,
        shifts = array<i64: {str(list(s))[1:-1]}>}} : (tensor<?x6xsi32>) -> tensor<?x6xsi{width}>
      func.return %y : tensor<?x6xsi{width}>
    }}"""
    (got,) = run_integer(program(text), [np.array([values])])
    run = 6 // len(scales)
    for channel, value in enumerate(values):
        m_c, s_c = scales[channel // run]
        half = 1 << (s_c - 1) if s_c else 0
        assert got[0, channel] == clamp((value * m_c + half) >> s_c, width)


@given(
    st.lists(st.integers(-(2**40), 2**40), min_size=6, max_size=6),
    st.lists(st.integers(-20, 62), min_size=1, max_size=3),
    st.sampled_from([2, 8, 16, 40]),
)
def test_shr_floors_and_clamps(values: list[int], shifts: list[int], width: int) -> None:
    shifts = shifts[:1] if 6 % len(shifts) else shifts
    text = f"""
    func.func @main(%x: tensor<?x6xsi42>) -> tensor<?x6xsi{width}> {{
      %y = qnn.shr %x {{shifts = array<i64: {str(shifts)[1:-1]}>}}
        : (tensor<?x6xsi42>) -> tensor<?x6xsi{width}>
      func.return %y : tensor<?x6xsi{width}>
    }}"""
    (got,) = run_integer(program(text), [np.array([values])])
    run = 6 // len(shifts)
    assert got[0].tolist() == [
        clamp(value * 2**20 // 2 ** (shifts[c // run] + 20), width)
        for c, value in enumerate(values)
    ]


@given(st.data(), st.integers(1, 7), st.sampled_from([24, 31, 32]))
def test_a_saturating_sum_clamps_after_every_addition(
    data: st.DataObject, features: int, bits: int
) -> None:
    edge = st.one_of(st.sampled_from([-32768, 32767]), int16)
    row = st.lists(edge, min_size=features, max_size=features)
    x, w = data.draw(row), data.draw(row)
    bound = features << 30
    rule = qnn.AccAttr.saturating(bits, bound)
    text = f"""
    param.declare @w : tensor<1x{features}xsi16>
    func.func @main(%x: tensor<?x{features}xsi16>) -> tensor<?x1xsi{rule.bits}> {{
      %w = param.load @w : tensor<1x{features}xsi16>
      %y = qnn.matmul %x, %w {{acc = {rule}}}
        : (tensor<?x{features}xsi16>, tensor<1x{features}xsi16>) -> tensor<?x1xsi{rule.bits}>
      func.return %y : tensor<?x1xsi{rule.bits}>
    }}"""
    (got,) = run_integer(program(text, w=np.array([w], dtype=np.int16)), [np.array([x])])
    expected = 0
    for a, b in zip(x, w, strict=True):
        expected = clamp(expected + a * b, bits)
    assert got.tolist() == [[expected]]


@given(int16, st.integers(0, 3), st.integers(-3000, 3000))
def test_piecewise(x: int, shift: int, mirror: int) -> None:
    knots, slopes, offsets = [0, 100, 5000], [300, -200, 4], [1, 50, -7]
    op = qnn.PiecewiseOp("f", knots, slopes, offsets, fraction=9, input_shift=shift, mirror=mirror)
    op.verify()
    a = min(abs(x) << shift, 32767)
    k = sum(a >= knot for knot in knots) - 1
    line = (slopes[k] * a) // 512 + offsets[k]
    if x < 0:
        line = (-slopes[k] * a) // 512 + mirror - offsets[k]
    assert op.values()[x + 32768] == line
    assert int(interpolate(np.array([x]), np.array(op.values()))[0]) == line


@given(int16, st.lists(int16, min_size=257, max_size=257))
def test_interpolation(x: int, points: list[int]) -> None:
    i, r = divmod(x + 32768, 256)
    expected = points[i] + (((points[i + 1] - points[i]) * r + 128) >> 8)
    assert int(interpolate(np.array([x]), np.array(points))[0]) == expected
    low, high = sorted((points[i], points[i + 1]))
    assert low <= expected <= high


def test_the_sigmoid_table_is_as_good_as_it_says() -> None:
    """Over all 65,536 inputs: error below 2.2e-4 and never decreasing."""
    x = np.arange(-32768, 32768)
    y = interpolate(x, np.array(sigmoid_points())) / 32768
    assert np.abs(y - 1 / (1 + np.exp(-x / 2048))).max() < 2.2e-4
    assert (np.diff(y) >= 0).all()


MATMUL = """
param.declare @w : tensor<3x4xsi{w}>
func.func @main(%x: tensor<?x4xsi{a}>) -> tensor<?x3xsi{bits}> {{
  %w = param.load @w : tensor<3x4xsi{w}>
  %y = qnn.matmul %x, %w {{acc = #qnn.acc<64, proved, bound = {bound}>}}
    : (tensor<?x4xsi{a}>, tensor<3x4xsi{w}>) -> tensor<?x3xsi{bits}>
  func.return %y : tensor<?x3xsi{bits}>
}}"""


@settings(max_examples=60)
@given(st.sampled_from([2, 4, 8, 16]), st.sampled_from([2, 4, 8, 16]), st.data())
def test_matmul_is_exact_at_every_pair_of_widths(a: int, w: int, data: st.DataObject) -> None:
    grid = st.integers(-(2 ** (a - 1)), 2 ** (a - 1) - 1)
    weights = st.integers(-(2 ** (w - 1)), 2 ** (w - 1) - 1)
    x = data.draw(st.lists(grid, min_size=4, max_size=4))
    rows = data.draw(st.lists(st.lists(weights, min_size=4, max_size=4), min_size=3, max_size=3))
    bound = max(1, max(sum(abs(v) for v in row) for row in rows) * 2 ** (a - 1))
    text = MATMUL.format(a=a, w=w, bound=bound, bits=bound.bit_length() + 1)
    held = np.array(rows, dtype=np.int16 if w == 16 else np.int8)
    (got,) = run_integer(program(text, w=held), [np.array([x])])
    assert got[0].tolist() == [sum(p * q for p, q in zip(x, row, strict=True)) for row in rows]
    assert np.abs(got).max() <= bound


def test_a_false_bound_is_caught() -> None:
    text = MATMUL.format(a=8, w=8, bound=3, bits=3)
    with pytest.raises(MohaqError, match="exceeds its bound"):
        run_integer(program(text, w=np.full((3, 4), 100, dtype=np.int8)), [np.full((1, 4), 9)])


@given(st.lists(int16, min_size=1, max_size=20))
def test_split_recombines(values: list[int]) -> None:
    n = len(values)
    text = f"""
    func.func @main(%x: tensor<?x{n}xsi16>) -> (tensor<?x{n}xsi8>, tensor<?x{n}xui8>) {{
      %h, %l = qnn.split %x : (tensor<?x{n}xsi16>) -> (tensor<?x{n}xsi8>, tensor<?x{n}xui8>)
      func.return %h, %l : tensor<?x{n}xsi8>, tensor<?x{n}xui8>
    }}"""
    high, low = run_integer(program(text), [np.array([values])])
    assert (high * 256 + low).tolist() == [values]
    assert high.min() >= -128
    assert high.max() <= 127
    assert low.min() >= 0
    assert low.max() <= 255


SCAN = """
func.func @main(%x: tensor<?x?x1xsi16>, %c: tensor<?x1xsi16>)
    -> (tensor<?x?x1xsi17>, tensor<?x1xsi16>) {{
  %y, %e = qnn.scan "{direction}" iter(%x : tensor<?x?x1xsi16>) init(%c : tensor<?x1xsi16>)
      -> (tensor<?x?x1xsi17>, tensor<?x1xsi16>) {{
  ^bb0(%a: tensor<?x1xsi16>, %b: tensor<?x1xsi16>):
    %s = qnn.add %a, %b : (tensor<?x1xsi16>, tensor<?x1xsi16>) -> tensor<?x1xsi17>
    %n = qnn.saturate %s : (tensor<?x1xsi17>) -> tensor<?x1xsi16>
    qnn.yield %s, %n : tensor<?x1xsi17>, tensor<?x1xsi16>
  }}
  func.return %y, %e : tensor<?x?x1xsi17>, tensor<?x1xsi16>
}}"""


@given(st.lists(int16, min_size=1, max_size=9), int16, st.sampled_from(["forward", "reverse"]))
def test_scan_carries_its_state(values: list[int], start: int, direction: str) -> None:
    made = program(SCAN.format(direction=direction))
    y, end = run_integer(made, [np.array(values)[:, None, None], np.array([[start]])])
    state, expected = start, {}
    order = range(len(values)) if direction == "forward" else reversed(range(len(values)))
    for t in order:
        expected[t] = values[t] + state
        state = clamp(expected[t], 16)
    assert y[:, 0, 0].tolist() == [expected[t] for t in range(len(values))]
    assert end.tolist() == [[state]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 1, 1)), "integers are needed"),
        (np.zeros((2, 1, 3), dtype=int), "does not fit"),
        (np.zeros((0, 1, 1), dtype=int), "holds no values"),
        (np.full((2, 1, 1), 40000), "leave the range"),
    ],
)
def test_bad_inputs_are_refused(value: np.ndarray, message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        run_integer(program(SCAN.format(direction="forward")), [value, np.array([[0]])])
