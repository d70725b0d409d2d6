"""Forms of tables: what they hold, how far off they are, and that every executor follows."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from family import KINDS, Drawn, layers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import calibrated, one_cell, sequences
from xdsl.dialects.builtin import DictionaryAttr, StringAttr

from mohaq.backends.base import IllegalAssignment, Options, Workload
from mohaq.backends.bitfusion import BACKEND as BITFUSION
from mohaq.backends.reference import BACKEND as REFERENCE
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.analysis.slices import slice_layer
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.analysis.table_form import TableForm
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.qnn.table import SEGMENTS
from mohaq.compiler.interpreters.integer import interpolate, run_integer
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.compiler.search.frames import Ragged
from mohaq.compiler.search.plan import compile_plan
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.approximate_nonlinear import approximate_nonlinear, table_errors
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn
from mohaq.passes.lowering.tables import (
    input_step,
    largest_error,
    sigmoid_points,
    table_points,
)

FORMS = [TableForm(kind, n) for kind in ("pwl", "lut") for n in SEGMENTS]
TARGET = REFERENCE.load_target("reference")
FUNCTIONS = [
    FunctionAttr.of("sigmoid"),
    FunctionAttr.of("tanh"),
    FunctionAttr.of("softsign"),
    FunctionAttr.of("hard_sigmoid"),
    FunctionAttr.of("scaled_tanh", -0.7, 0.6),
]
REAL = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "softsign": lambda x: x / (1 + abs(x)),
    "hard_sigmoid": lambda x, a, b: min(1.0, max(0.0, a * x + b)),
    "scaled_tanh": lambda x, a, b: a * math.tanh(b * x),
}


def lowered(annotated: Program, bits: int) -> Program:
    slots = calibrated_table(annotated).searched()
    apply_assignment(annotated, Assignment.uniform(bits).complete(slots))
    return lower_to_qnn(annotated)


def tables(made: Program) -> dict[str, tuple[int, ...]]:
    block = made.module.body.block
    return {o.sym_name.data: o.values() for o in block.ops if isinstance(o, qnn.TableOp)}


@given(
    st.integers(-32768, 32767),
    st.sampled_from(SEGMENTS),
    st.booleans(),
    st.integers(0, 2**16),
)
@settings(max_examples=200, deadline=None)
def test_a_table_in_python_integers(x: int, segments: int, lines: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(-32768, 32768, size=segments + lines).tolist()
    width = 65536 // segments
    i, r = divmod(x + 32768, width)
    expected = points[i]
    if lines:
        expected += ((points[i + 1] - points[i]) * r + width // 2) // width
    assert int(interpolate(np.array([x]), np.array(points))[0]) == expected


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.kind)
@pytest.mark.parametrize("form", FORMS, ids=lambda f: f"{f.kind}{f.segments}")
def test_the_reported_error_is_the_largest(function: FunctionAttr, form: TableForm) -> None:
    """One number at a time, on a sample with the ends of all segments and their neighbours."""
    points, step = table_points(function, form), input_step(function)
    assert len(points) == form.segments + (form.kind == "pwl")
    width = 65536 // form.segments
    edges = [e for i in range(form.segments + 1) for e in (i * width - 1, i * width, i * width + 1)]
    sample = {e for e in (*edges, *range(0, 65536, 37)) if 0 <= e < 65536}
    worst = 0.0
    for place in sample:
        i, r = divmod(place, width)
        got = points[i]
        if form.kind == "pwl":
            got += ((points[i + 1] - points[i]) * r + width // 2) // width
        real = REAL[function.kind]((place - 32768) * step, *function.values)  # type: ignore[operator]
        worst = max(worst, abs(got / 32768 - real))
    said = largest_error(function, form)
    assert worst <= said
    assert said <= worst * 1.05 + 2e-4


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.kind)
@pytest.mark.parametrize("kind", ["pwl", "lut"])
def test_more_segments_are_better(function: FunctionAttr, kind: str) -> None:
    errors = [largest_error(function, TableForm(kind, n)) for n in SEGMENTS]
    assert all(b <= a * 1.1 + 1e-4 for a, b in pairwise(errors))
    assert errors[-1] < errors[0] / 4


def test_without_the_pass_and_with_its_defaults_bits_are_the_same() -> None:
    plain, chosen = calibrated(), calibrated()
    approximate_nonlinear(chosen, TableForm())
    one, two = lowered(plain, 8), lowered(chosen, 8)
    assert one.content_hash() == two.content_hash()
    assert tables(one) == {"sigmoid": tuple(sigmoid_points())}


def test_layers_have_forms_of_their_own() -> None:
    program = calibrated()
    found = approximate_nonlinear(program, TableForm("lut", 32), ("l1",))
    assert [e.layer for e in found] == ["l1"]
    assert found[0].error == largest_error(FunctionAttr.of("sigmoid"), TableForm("lut", 32))
    assert [e.form.segments for e in table_errors(program)] == [256, 32]
    made = lowered(program, 8)
    assert {n: len(p) for n, p in tables(made).items()} == {"sigmoid": 257, "sigmoid_lut32": 32}
    grids = calibrated_table(program).layer_grids(
        Assignment.uniform(8).complete(calibrated_table(program).searched())
    )
    alone = lower_to_qnn(slice_layer(program, "l1", grids["l1"]))
    assert set(tables(alone)) == {"sigmoid_lut32"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_executor_follows(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The reference target's simulator and the search's evaluator give the interpreter's bits."""

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        drawn=layers((kind,), device=True, stateless=True),
        form=st.sampled_from(FORMS),
        bits=st.sampled_from([4, 8]),
    )
    def check(drawn: Drawn, form: TableForm, bits: int) -> None:
        program = drawn.program
        calibrate(program, [drawn.inputs[0][:, 0]])
        approximate_nonlinear(program, form)
        table = layer_table(program)
        made = REFERENCE.legalize(lowered(program, bits), TARGET)
        expected_points = form.segments + (form.kind == "pwl")
        assert {len(p) for p in tables(made).values()} <= {expected_points}
        grid = argument_grids(made.entry)[0]
        assert grid is not None
        x = quantize(drawn.inputs[0], grid)
        wanted = run_integer(made, [x])
        device = REFERENCE.lower(made.clone(), TARGET, Options())
        folder: Path = tmp_path_factory.mktemp("emitted")
        REFERENCE.emit(device, folder, TARGET)
        run = REFERENCE.simulate(folder, [x], Options())
        for a, b in zip(run.outputs, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
        if not table.layers[0].projected:  # such a layer has two widths, the target one
            workload = Workload(*x.shape[:2])
            estimate = REFERENCE.estimate(device, TARGET, workload, Options())
            assert run.measured == estimate
            space = REFERENCE.space(table, TARGET)
            genome = np.full(len(space.groups), {4: 1, 8: 2}[bits])
            assert {int(v[0]) for v in space.widths(genome).values()} == {bits}
            costs = REFERENCE.cost_model(table, space, TARGET).cost(genome, workload, Options())
            assert estimate.size_bytes == costs["size"][0]
            assert estimate.total.joules == costs["energy"][0]
        batch = Ragged.of([x.shape[0]] * x.shape[1])
        flat: Any = np.concatenate([x[:, n] for n in range(x.shape[1])]).astype(np.int16)
        found = np.split(compile_plan(made).run(flat, batch), batch.ends[:-1])
        for n, part in enumerate(found):
            np.testing.assert_array_equal(part, wanted[0][:, n])

    check()


def test_coarse_tables_change_results_and_fine_ones_hardly() -> None:
    outputs = {}
    for form in (TableForm(), TableForm("pwl", 64), TableForm("lut", 8)):
        program = one_cell("gru", 3)
        calibrate(program, sequences(3, features=4))
        approximate_nonlinear(program, form)
        made = lowered(program, 16)
        grid = argument_grids(made.entry)[0]
        assert grid is not None
        x = quantize(sequences(5, features=4)[0], grid)[:, None]
        outputs[form.segments] = run_integer(made, [x])[0] / 32768
    near = np.abs(outputs[64] - outputs[256]).max()
    far = np.abs(outputs[8] - outputs[256]).max()
    assert 0 < near < 2e-2 < far


def test_bit_fusion_refuses_other_tables() -> None:
    program = calibrated()
    approximate_nonlinear(program, TableForm("pwl", 64))
    made = lowered(program, 8)
    with pytest.raises(IllegalAssignment, match="tables of 257 points, not of 65") as refused:
        BITFUSION.legalize(made, BITFUSION.load_target("bitfusion-e"))
    assert "table 'sigmoid_pwl64'" in refused.value.message()


def test_what_cannot_be_is_refused() -> None:
    program = calibrated()
    with pytest.raises(MohaqError, match="no approximation 'spline'"):
        TableForm("spline")
    for number in (0, 3, 24, 512):
        with pytest.raises(MohaqError, match=f"a table of {number} segments"):
            TableForm("pwl", number)
    with pytest.raises(MohaqError, match="no layer 'l7'"):
        approximate_nonlinear(program, TableForm(), ("l7",))
    with pytest.raises(MohaqError, match="'fc' has no function"):
        approximate_nonlinear(program, TableForm(), ("fc",))
    op = next(iter(program.layers()))
    for wrong in (StringAttr("pwl"), DictionaryAttr({"kind": StringAttr("pwl")})):
        op.attributes["nonlinear"] = wrong
        with pytest.raises(MohaqError, match="cannot be read"):
            lowered(program, 8)


def test_every_function_of_the_family_is_listed() -> None:
    for kind, expected in (
        ("lstm", {"sigmoid", "tanh"}),
        ("gru", {"sigmoid", "tanh"}),
        ("rnn", {"tanh"}),
        ("qrnn", {"sigmoid", "tanh"}),
        ("sru", {"sigmoid"}),
        ("ligru", {"sigmoid"}),
    ):
        program = one_cell(kind, 1)
        assert {e.function for e in table_errors(program)} == expected
        calibrate(program, sequences(3, features=4))
        assert set(tables(lowered(program, 8))) == expected
