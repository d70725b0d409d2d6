"""The integer form in onnxruntime against the integer reference: the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from family import KINDS, Drawn, granularity, layers, moved_zero
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import calibrated

from mohaq.backends.base import IllegalAssignment
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.driver import lower_for_target
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.onnx_export.integer import integer_to_onnx
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import CalibrationSettings, calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

WIDTHS = (2, 3, 4, 5, 8, 11, 16)


def run_onnx(model: onnx.ModelProto, inputs: Sequence[Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [i.name for i in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def lowered(drawn: Drawn, seed: int) -> Program:
    """The drawn layer in integers at drawn widths."""
    program, rng = drawn.program, np.random.default_rng(seed)
    moved_zero(program, seed)
    x = drawn.inputs[0]
    held = CalibrationSettings(widths=WIDTHS, granularity=granularity(seed).granularity)
    calibrate(program, [x[:, i] for i in range(x.shape[1])], held)
    slots = calibrated_table(program).searched()
    apply_assignment(program, {s: int(rng.choice(WIDTHS)) for s in slots})
    return lower_to_qnn(program)


def drawn_inputs(program: Program, rng: Any, steps: int, batch: int) -> list[Any]:
    """Integers of the whole range of every argument."""
    found: list[Any] = []
    for arg, grid in zip(program.entry.args, argument_grids(program.entry), strict=True):
        assert grid is not None
        shape = [n if n > 0 else batch for n in shape_of(arg)]
        if len(found) == 0:
            shape[0] = steps
        found.append(rng.integers(grid.low, grid.high + 1, shape))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_of_the_family(kind: str) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), seed=st.integers(0, 1000))
    def check(drawn: Drawn, seed: int) -> None:
        program, rng = lowered(drawn, seed), np.random.default_rng(seed)
        model = integer_to_onnx(program, border="integer")
        for steps, batch in ((1, 1), (7, 3)):
            inputs = drawn_inputs(program, rng, steps, batch)
            found, expected = run_onnx(model, inputs), run_integer(program, inputs)
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == np.int64
                np.testing.assert_array_equal(a, b, err_msg=str(drawn.facts))

    check()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=layers(device=True), seed=st.integers(0, 1000))
def test_real_borders(drawn: Drawn, seed: int) -> None:
    program = lowered(drawn, seed)
    entry = program.entry
    given_, made = argument_grids(entry), result_grids(entry)
    found = run_onnx(integer_to_onnx(program), drawn.inputs)
    whole = [quantize(x, g) for x, g in zip(drawn.inputs, given_, strict=True) if g]
    expected = run_integer(program, whole)
    for a, b, grid in zip(found, expected, made, strict=True):
        assert grid is not None
        np.testing.assert_array_equal(a, dequantize(b, grid).astype(np.float32))


TARGETS = ("bitfusion-e", "bitfusion-s", "reference", "silago1-nn", "silago-mohaq")


@pytest.mark.parametrize("target", TARGETS)
def test_programs_legalized_for_targets(target: str) -> None:
    backend, machine = find_target(target)
    program = calibrated(5)
    table = calibrated_table(program).table
    space = backend.space(table, machine)
    rng = np.random.default_rng(0)
    ends = [np.zeros(len(space.groups), int), [len(g.choices) - 1 for g in space.groups]]
    drawn = [[rng.integers(len(g.choices)) for g in space.groups] for _ in range(3)]
    ran = 0
    for genome in (*ends, *drawn):
        widths = {s: int(v[0]) for s, v in space.widths(np.asarray(genome)).items()}
        try:
            legal = lower_for_target(program, backend, machine, widths).legalized
        except IllegalAssignment:
            continue
        if any(isinstance(o, qnn.MatmulOp) and o.acc.saturates for o in legal.module.walk()):
            with pytest.raises(MohaqError, match="may saturate after any of its additions"):
                integer_to_onnx(legal)
            ran += 1
            continue
        model = integer_to_onnx(legal, border="integer")
        inputs = drawn_inputs(legal, rng, 6, 2)
        for a, b in zip(run_onnx(model, inputs), run_integer(legal, inputs), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=str(widths))
        ran += 1
    assert ran > 2
