"""Ranges of integer programs: no run leaves them, and single products reach their ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from family import KINDS, Drawn, granularity, layers, moved_zero
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from programs import calibrated
from xdsl.interpreter import Interpreter, PythonValues
from xdsl.interpreters.func import FuncFunctions
from xdsl.ir import Operation

from mohaq.backends.bitfusion import BACKEND as BITFUSION
from mohaq.compiler.analysis.ranges import find_ranges
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.analysis.sums import check_sums, sums
from mohaq.compiler.analysis.value_table import range_rows
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import int_range, int_width
from mohaq.compiler.interpreters.integer import QnnFunctions, run_integer
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program, argument_grids, parse_module
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

WIDTHS = (2, 4, 8, 16)


def program(text: str, **arrays: np.ndarray) -> Program:
    store = ParameterStore(arrays)
    made = Program(parse_module(text, MohaqContext(parameters=store), "test"), store)
    made.verify()
    return made


@dataclass
class Recorder(Interpreter.Listener):
    """Every value that a run computes."""

    seen: list[tuple[Operation, PythonValues]] = field(default_factory=list)

    def will_interpret_op(self, op: Operation, args: PythonValues) -> None:
        """Nothing."""

    def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
        """Keep them."""
        self.seen.append((op, results))


def traced(made: Program, inputs: list[Any]) -> list[tuple[Operation, PythonValues]]:
    recorder = Recorder()
    interpreter = Interpreter(made.module, listeners=(recorder,))
    interpreter.register_implementations(FuncFunctions())
    interpreter.register_implementations(QnnFunctions(made.parameters))
    interpreter.call_op(made.entry, tuple(inputs))
    return recorder.seen


def lowered(drawn: Drawn, bits: int, seed: int) -> tuple[Program, list[Any]]:
    """The integer program of a drawn layer at one width, and inputs in its grids."""
    annotated = drawn.program
    calibrate(annotated, [drawn.inputs[0][:, 0]], granularity(seed))
    moved_zero(annotated, seed)
    slots = calibrated_table(annotated).searched()
    apply_assignment(annotated, Assignment.uniform(bits).complete(slots))
    made = lower_to_qnn(annotated)
    grids = argument_grids(made.entry)
    return made, [quantize(x, g) for x, g in zip(drawn.inputs, grids, strict=True) if g]


@pytest.mark.parametrize("kind", KINDS)
def test_no_run_leaves_the_ranges(kind: str) -> None:
    """Elementwise, for drawn inputs and for the largest ones, neutral and legalized."""

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        drawn=layers((kind,), device=True),
        bits=st.sampled_from(WIDTHS),
        seed=st.integers(0, 2**16),
        legal=st.booleans(),
    )
    def check(drawn: Drawn, bits: int, seed: int, legal: bool) -> None:
        made, given_ = lowered(drawn, bits, seed)
        if legal:
            made = BITFUSION.legalize(made, BITFUSION.load_target(BITFUSION.targets()[0]))
        ranges = find_ranges(made)
        rng = np.random.default_rng(seed)
        wild = [
            rng.choice(int_range(int_width(a)[0]), size=x.shape)
            for a, x in zip(made.entry.args, given_, strict=True)
        ]
        for inputs in (given_, wild):
            seen = traced(made, inputs)
            assert any(isinstance(op, qnn.ScanOp) for op, _ in seen)
            for op, results in seen:
                for value, got in zip(op.results, results, strict=True):
                    interval = ranges[value]
                    assert (interval.low <= got).all(), op
                    assert (got <= interval.high).all(), op
                    low, high = int_range(int_width(value)[0], signed=int_width(value)[1])
                    assert low <= interval.low.min()
                    assert interval.high.max() <= high
        check_sums(ranges, made.parameters)

    check()


MATMUL = """
param.declare @w : tensor<3x4xsi{w}>
func.func @main(%x: tensor<?x4xsi{a}>) -> tensor<?x3xsi{bits}> {{
  %w = param.load @w : tensor<3x4xsi{w}>
  %y = qnn.matmul %x, %w {{acc = #qnn.acc<64, proved, bound = {bound}>, layer = "fc"}}
    : (tensor<?x4xsi{a}>, tensor<3x4xsi{w}>) -> tensor<?x3xsi{bits}>
  func.return %y : tensor<?x3xsi{bits}>
}}"""


def one_product(a: int, w: int, rows: list[list[int]]) -> Program:
    bound = max(1, max(sum(abs(v) for v in row) for row in rows) << (a - 1))
    text = MATMUL.format(a=a, w=w, bound=bound, bits=bound.bit_length() + 1)
    return program(text, w=np.array(rows, dtype=np.int16 if w == 16 else np.int8))


@st.composite
def products(draw: st.DrawFn) -> tuple[int, int, list[list[int]]]:
    a, w = draw(st.sampled_from(WIDTHS)), draw(st.sampled_from(WIDTHS))
    weight = st.integers(*int_range(w))
    row = st.lists(weight, min_size=4, max_size=4)
    return a, w, draw(st.lists(row, min_size=3, max_size=3))


@settings(max_examples=60, deadline=None)
@given(products())
def test_single_products_reach_both_ends_of_every_row(
    drawn: tuple[int, int, list[list[int]]],
) -> None:
    a, w, rows = drawn
    made = one_product(a, w, rows)
    (op,) = [o for o in made.module.walk() if isinstance(o, qnn.MatmulOp)]
    interval = find_ranges(made)[op.result]
    low, high = int_range(a)
    for n, row in enumerate(rows):
        least = [[low if v > 0 else high for v in row]]
        most = [[high if v > 0 else low for v in row]]
        assert run_integer(made, [np.array(least)])[0][0, n] == interval.low[0, n]
        assert run_integer(made, [np.array(most)])[0][0, n] == interval.high[0, n]


def needed(rows: list[list[int]], low: int, high: int) -> int:
    """Bits of the largest sum, one number at a time."""
    tops = [sum(v * (high if v > 0 else low) for v in row) for row in rows]
    feet = [~sum(v * (low if v > 0 else high) for v in row) for row in rows]
    return 1 + max([0, *tops, *feet]).bit_length()


@settings(max_examples=60, deadline=None)
@given(products(), st.integers(2, 40), st.data())
def test_a_sum_fits_or_is_named(
    drawn: tuple[int, int, list[list[int]]], accumulator: int, data: st.DataObject
) -> None:
    """The verdict equals a count in Python, and what a remedy says makes the sum fit."""
    a, w, rows = drawn
    made = one_product(a, w, rows)
    low, high = int_range(a)
    fits = needed(rows, low, high) <= accumulator
    ranges = find_ranges(made)
    if fits:
        check_sums(ranges, made.parameters, accumulator)
        return
    with pytest.raises(MohaqError, match=f"the accumulator has {accumulator}") as refused:
        check_sums(ranges, made.parameters, accumulator)
    assert "qnn.matmul with 'w' of layer 'fc'" in refused.value.message()
    hint = refused.value.hint
    assert hint
    if "shift the input right by" in hint:
        k = int(hint.split("shift the input right by ")[1].split()[0])
        assume(k < a)
        for amount, expected in ((k, True), (k - 1, False)):
            bits = needed(rows, low >> amount, high >> amount)
            assert (bits <= accumulator) is expected
    if "cut the sum into" in hint:
        count = int(hint.split("cut the sum into ")[1].split()[0])
        edges = [4 * i // count for i in range(count + 1)]
        x = [data.draw(st.integers(low, high)) for _ in range(4)]
        for first, last in pairwise(edges):
            for row in rows:
                part = sum(v * q for v, q in zip(row[first:last], x[first:last], strict=True))
                assert -(1 << (accumulator - 1)) <= part < 1 << (accumulator - 1)


def test_remedies_name_the_split_of_wide_operands() -> None:
    rows = [[32767] * 4] * 3
    for a, w, text in (
        (16, 8, "split the input into high and low bytes (2 passes)"),
        (8, 16, "split the weights into high and low bytes (2 passes)"),
        (16, 16, "split the input into high and low bytes (2 passes)"),
    ):
        held = [[min(v, int_range(w)[1]) for v in row] for row in rows]
        made = one_product(a, w, held)
        ranges = find_ranges(made)
        (found,) = sums(ranges)
        with pytest.raises(MohaqError) as refused:
            check_sums(ranges, made.parameters, found.bits - 1)
        assert text in (refused.value.hint or "")


def test_a_false_bound_is_found_without_a_run() -> None:
    text = MATMUL.format(a=8, w=8, bound=3, bits=3)
    made = program(text, w=np.full((3, 4), 100, dtype=np.int8))
    with pytest.raises(MohaqError, match="a sum can reach 51200, the program says 3"):
        check_sums(find_ranges(made), made.parameters)


GROWS = """
func.func @main(%x: tensor<?x?x2xsi16>) -> (tensor<?x?x2xsi{bits}>, tensor<?x2xsi{bits}>) {{
  %y, %e = qnn.scan "forward" iter(%x : tensor<?x?x2xsi16>)
      -> (tensor<?x?x2xsi{bits}>, tensor<?x2xsi{bits}>) {{
  ^bb0(%a: tensor<?x2xsi16>, %b: tensor<?x2xsi{bits}>):
    {body}
    qnn.yield %n, %n : tensor<?x2xsi{bits}>, tensor<?x2xsi{bits}>
  }}
  func.return %y, %e : tensor<?x?x2xsi{bits}>, tensor<?x2xsi{bits}>
}}"""


def ends(body: str, bits: int) -> tuple[int, int]:
    made = program(GROWS.format(bits=bits, body=body))
    (scan,) = [o for o in made.module.walk() if isinstance(o, qnn.ScanOp)]
    return find_ranges(made)[scan.outs[0]].bounds


def test_states_grow_to_their_fixpoint_and_no_further() -> None:
    """A decaying state keeps a range of its own, an adding one gets its type's."""
    decay = (
        "%h = qnn.requantize %b {multipliers = array<i64: 1>, shifts = array<i64: 2>}"
        " : (tensor<?x2xsi20>) -> tensor<?x2xsi18>\n"
        "%s = qnn.add %h, %a : (tensor<?x2xsi18>, tensor<?x2xsi16>) -> tensor<?x2xsi19>\n"
        "%n = qnn.saturate %s : (tensor<?x2xsi19>) -> tensor<?x2xsi20>"
    )
    low, high = ends(decay, 20)
    # The state is its own quarter, rounded half up, and 32767 more.
    assert high in {43689, 43690}
    assert low in {-43691, -43690}
    adding = (
        "%s = qnn.add %b, %a : (tensor<?x2xsi20>, tensor<?x2xsi16>) -> tensor<?x2xsi21>\n"
        "%n = qnn.saturate %s : (tensor<?x2xsi21>) -> tensor<?x2xsi20>"
    )
    assert ends(adding, 20) == int_range(20)


def test_rows_tell_layers_tables_and_bits() -> None:
    annotated = calibrated()
    slots = calibrated_table(annotated).searched()
    apply_assignment(annotated, Assignment.uniform(8).complete(slots))
    rows = range_rows(find_ranges(lower_to_qnn(annotated)))
    assert {row.layer for row in rows} == {"l0", "pr1", "l1", "fc"}
    looked = [row for row in rows if row.operation == "lookup sigmoid"]
    assert len(looked) == 8
    assert {(row.low, row.high) for row in looked} == {(0, 32767)}
    assert all(2 <= row.needed <= row.held for row in rows)
    assert "l0: lookup sigmoid in [0, 32767], 16 bits of si16" in {row.line() for row in rows}
