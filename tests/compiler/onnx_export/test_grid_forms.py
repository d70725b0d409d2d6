"""The forms `qdq` and `scan` in onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from family import KINDS, Drawn, granularity, layers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.onnx_export.session import open_session
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import CalibrationSettings, calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

WIDTHS = (2, 3, 4, 5, 8, 11, 16)


def run_onnx(model: Any, inputs: list[Any]) -> list[Any]:
    session = open_session(model, threads=1)
    names = [i.name for i in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def annotated(drawn: Drawn, seed: int, widths: tuple[int, ...] = WIDTHS) -> Program:
    """The drawn layer with grids of drawn widths."""
    program, rng, x = drawn.program, np.random.default_rng(seed), drawn.inputs[0]
    held = CalibrationSettings(widths=WIDTHS, granularity=granularity(seed).granularity)
    calibrate(program, [x[:, i] for i in range(x.shape[1])], held)
    slots = calibrated_table(program).searched()
    apply_assignment(program, {s: int(rng.choice(widths)) for s in slots})
    return program


def with_rounded_weights(program: Program) -> Program | None:
    """The same float program with fake-quantized weights and layer inputs."""
    made = program.clone()
    (op,) = made.layers()
    for slot in ("weight", "recurrent"):
        grid = op.grid(slot)
        if grid is None:
            continue
        owner = getattr(op, slot).owner
        data = made.parameters[owner.symbol]
        steps = made.parameters[grid.rows] if grid.rows else None
        count = data.size // data.shape[-1] if steps is None else steps.size
        scale = grid.step if steps is None else steps.astype(np.float64)[:, None]
        real = quantize(data.reshape(count, -1), grid, steps) * scale
        made.parameters[owner.symbol] = real.reshape(data.shape).astype(np.float32)
    grid = op.grid("input")
    assert grid is not None
    name, kind = made.declare("input.scale", np.array([grid.step], np.float32))
    load = LoadOp(name, kind)
    fake = nn.FakeQuantizeOp(op.operands[0], load.result, width=grid.bits)
    made.entry.body.block.insert_ops_before([load, fake], op)
    x = op.operands[0]
    op.operands[0] = fake.result
    if isinstance(op, nn.SruOp) and op.skip.data == "identity":
        return None  # its skip path reads the input as it is, which no other program can say
    assert x is fake.input
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_qdq_is_the_network_with_rounded_weights_and_inputs(kind: str) -> None:
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), seed=st.integers(0, 1000))
    def check(drawn: Drawn, seed: int) -> None:
        program = annotated(drawn, seed)
        reference = with_rounded_weights(program)
        if reference is None:
            return
        model = program.to_onnx("qdq")
        expected, found = run_float(reference, drawn.inputs), run_onnx(model, drawn.inputs)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=str(drawn.facts))
        loops = {"Scan"} & {n.op_type for n in model.graph.node}
        native = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
        if kind in native and not drawn.facts.get("projection"):
            assert not loops
            assert native[kind] in {n.op_type for n in model.graph.node}

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_scan_is_near_the_integers(kind: str) -> None:
    """Only tables, biases and single roundings differ: a few steps of 16 bits."""

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), seed=st.integers(0, 1000))
    def check(drawn: Drawn, seed: int) -> None:
        program = annotated(drawn, seed, (16,))
        integers = lower_to_qnn(program)
        inputs = [
            quantize(x, g)
            for x, g in zip(drawn.inputs, argument_grids(integers.entry), strict=True)
            if g is not None
        ]
        expected = run_integer(integers, inputs)
        found = run_onnx(program.to_onnx("scan"), drawn.inputs)
        for a, b, grid in zip(found, expected, result_grids(integers.entry), strict=True):
            assert grid is not None
            clip = grid.step * grid.high
            np.testing.assert_allclose(
                a, dequantize(b, grid), rtol=0, atol=3e-3 * max(clip, 1), err_msg=str(drawn.facts)
            )

    check()
