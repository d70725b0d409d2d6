"""The forms `qdq` and `scan` in onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from family import KINDS, Drawn, granularity, layers, moved_zero
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import one_cell, sequences
from xdsl.dialects.builtin import DictionaryAttr

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
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
    moved_zero(program, seed)
    held = CalibrationSettings(widths=WIDTHS, granularity=granularity(seed).granularity)
    calibrate(program, [x[:, i] for i in range(x.shape[1])], held)
    slots = calibrated_table(program).searched()
    apply_assignment(program, {s: int(rng.choice(widths)) for s in slots})
    return program


def with_rounded_weights(program: Program) -> Program:
    """The same float program with fake-quantized weights."""
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
    return made


def on_grid(x: Any, grid: GridAttr) -> Any:
    """QuantizeLinear and DequantizeLinear: halves to even, in float32."""
    whole = np.rint(x / np.float32(grid.step)) + grid.zero
    return ((np.clip(whole, grid.low, grid.high) - grid.zero) * np.float32(grid.step)).astype("f4")


@pytest.mark.parametrize("kind", KINDS)
def test_qdq_is_the_network_with_rounded_weights_and_inputs(kind: str) -> None:
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), seed=st.integers(0, 1000))
    def check(drawn: Drawn, seed: int) -> None:
        if drawn.facts.get("skip") == "identity":
            return  # its skip path reads the input as it is, which no float program can say
        program = annotated(drawn, seed)
        model = program.to_onnx("qdq")
        (op,) = program.layers()
        grid, first = op.grid("input"), list(drawn.inputs)
        assert grid is not None
        first[0] = on_grid(first[0], grid)
        expected = run_float(with_rounded_weights(program), first)
        found = run_onnx(model, drawn.inputs)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=str(drawn.facts))
        native = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
        if kind in native and not drawn.facts.get("projection"):
            kinds = {n.op_type for n in model.graph.node}
            assert native[kind] in kinds
            assert "Scan" not in kinds

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


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "ligru"])
def test_scan_rounds_what_recurrent_products_read(kind: str) -> None:
    """With h at 3 bits the form `scan` is near the integers, and `qdq`, which keeps h, is not."""
    far, near = [], []
    for seed in range(4):
        program = one_cell(kind, seed, gain=1.5)
        held = CalibrationSettings(widths=(3, 16))
        calibrate(program, sequences(seed, features=4), held)
        slots = calibrated_table(program).searched()
        apply_assignment(program, {s: 3 if s.slot == "hidden" else 16 for s in slots})
        integers = lower_to_qnn(program)
        x = sequences(seed, features=4)[2][:, None]
        given_, made = argument_grids(integers.entry)[0], result_grids(integers.entry)[0]
        assert given_ is not None
        assert made is not None
        exact = dequantize(run_integer(integers, [quantize(x, given_)])[0], made)
        far.append(np.abs(run_onnx(program.to_onnx("qdq"), [x])[0] - exact).mean())
        near.append(np.abs(run_onnx(program.to_onnx("scan"), [x])[0] - exact).mean())
    assert np.mean(near) < 0.2 * np.mean(far), (near, far)


def test_steps_without_a_float32() -> None:
    program = one_cell("gru", 0)
    calibrate(program, sequences(0, features=4))
    apply_assignment(program, dict.fromkeys(calibrated_table(program).searched(), 8))
    (op,) = program.layers()
    assert op.quant is not None
    for slot in ("weight", "input"):
        grids = {**op.quant.data, slot: GridAttr.of(8, 1e-42)}
        broken = program.clone()
        next(iter(broken.layers())).attributes["quant"] = DictionaryAttr(grids)
        with pytest.raises(MohaqError, match="1e-42 has no float32"):
            broken.to_onnx("qdq")


def test_forms_need_their_kind_of_program() -> None:
    program = one_cell("gru", 0)
    with pytest.raises(MohaqError, match="no layer of the program has grids"):
        program.to_onnx("scan")
    calibrate(program, sequences(0, features=4))
    apply_assignment(program, dict.fromkeys(calibrated_table(program).searched(), 8))
    with pytest.raises(MohaqError, match="no integer program"):
        program.to_onnx("integer")
    for form in ("float", "qdq", "scan"):
        with pytest.raises(MohaqError, match="is for float programs"):
            lower_to_qnn(program).to_onnx(form)
    wrong: Any = "sacn"
    with pytest.raises(MohaqError, match="no form 'sacn'"):
        program.to_onnx(wrong)
