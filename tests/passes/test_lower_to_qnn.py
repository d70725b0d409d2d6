"""The lowering to integers: the SRU cell in Python integers, slices, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import calibrated, one_sru, sequences, speech_like

from mohaq.compiler.analysis.slices import slice_layer
from mohaq.compiler.analysis.storage import GATE_GRID, calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import Program, argument_grids, parse_module, result_grids
from mohaq.compiler.quantizer import dequantize, derive_multiplier, quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn
from mohaq.passes.lowering.tables import sigmoid_points

WIDTHS = (2, 4, 8, 16)


def lowered(program: Program, widths: dict[Slot, int]) -> Program:
    annotated = program.clone()
    apply_assignment(annotated, widths)
    annotated.verify()
    made = lower_to_qnn(annotated)
    made.verify()
    return made


def uniform(program: Program, bits: int) -> dict[Slot, int]:
    return Assignment.uniform(bits).complete(calibrated_table(program).searched())


def given_grid(program: Program) -> GridAttr:
    grid = argument_grids(program.entry)[0]
    assert grid is not None
    return grid


def result_grid(program: Program) -> GridAttr:
    grid = result_grids(program.entry)[0]
    assert grid is not None
    return grid


# --- a second, independent statement of the cell, on Python integers -----------------------


def clamp(x: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, x))


def rescaled(x: int, ratio: float, operand_bits: int, bits: int) -> int:
    m, s = derive_multiplier(ratio, operand_bits)
    return clamp((x * m + ((1 << s) >> 1)) >> s, bits)


def nearest(value: float, step: float, bits: int) -> int:
    return clamp(math.floor(value / step + 0.5), bits)


def squash(x: int) -> int:
    points = sigmoid_points()
    i, r = divmod(x + 32768, 256)
    return points[i] + (((points[i + 1] - points[i]) * r + 128) >> 8)


def cell(program: Program, grids: Any, sequence: list[list[int]]) -> list[list[int]]:
    """A forward SRU without skip, straight from docs/semantics.md."""
    slots = grids.slots
    w_step, x_step = slots["weight"].step, slots["input"].step
    s_step, g_step, v_step = slots["state"].step, slots["gate"].step, slots["vector"].step
    weight = program.parameters["l0.weight"][0].astype(float)
    vector = program.parameters["l0.vector"][0].astype(float)
    bias = program.parameters["l0.bias"][0].astype(float)
    hidden, features = weight.shape[1:]
    w = [
        [[nearest(v, w_step, slots["weight"].bits) for v in row] for row in gate] for gate in weight
    ]
    longest = max(sum(abs(v) for v in row) for gate in w for row in gate)
    bound = max(1, longest * 2 ** (slots["input"].bits - 1))
    acc_bits = bound.bit_length() + 1
    acc_step = w_step * x_step
    shift = math.floor(math.log2(32767 * acc_step / np.abs(bias).max()))
    up = min(max(shift, 0), max(0, 30 - acc_bits))
    down = max(-shift, 0)
    b_step = acc_step * 2.0 ** (down - up)
    total_bits = 1 + max(acc_bits + up, 16 + down)
    aligned_step = acc_step * 2.0**-up
    c = [0] * hidden
    result = []
    for frame in sequence:
        if grids.stored_input != slots["input"]:
            ratio = grids.stored_input.step / x_step
            x = [rescaled(v, ratio, 16, slots["input"].bits) for v in frame]
        else:
            x = frame
        h = []
        for n in range(hidden):
            u = []
            for gate in range(3):
                acc = sum(x[k] * w[gate][n][k] for k in range(features)) << up
                if gate:
                    acc += nearest(bias[gate - 1][n], b_step, 16) << down
                out = g_step if gate else s_step
                u.append(rescaled(acc, aligned_step / out, total_bits, 16))
            gates = []
            for row in (0, 1):
                product = nearest(vector[row][n], v_step, 16) * c[n]
                term = rescaled(product, v_step * s_step / g_step, 32, 16)
                gates.append(squash(clamp(u[row + 1] + term, 16)))
            f, r = gates
            c[n] = clamp((f * c[n] + (32768 - f) * u[0] + (1 << 14)) >> 15, 16)
            h.append(clamp((r * c[n] + (1 << 14)) >> 15, 16))
        result.append(h)
    return result


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(WIDTHS), st.sampled_from(WIDTHS))
def test_sru_equals_the_cell_in_python_integers(seed: int, w: int, a: int) -> None:
    program = one_sru(seed, direction="forward")
    data = sequences(seed, features=4)
    calibrate(program, data)
    widths = {Slot("l0", "weight"): w, Slot("l0", "input"): a}
    integers = lowered(program, widths)
    x = quantize(data[0], given_grid(integers))
    (got,) = run_integer(integers, [x[:, None, :]])
    grids = calibrated_table(program).layer_grids(widths)["l0"]
    assert got[:, 0].tolist() == cell(program, grids, x.tolist())


@pytest.mark.parametrize(
    "facts",
    [
        {"direction": "forward"},
        {"direction": "reverse"},
        {"direction": "bidirectional"},
        {"direction": "bidirectional", "skip": "projected", "skip_scale": 1.5},
        {"direction": "forward", "skip": "identity", "inputs": 6, "hidden": 6},
        {"direction": "bidirectional", "skip": "identity", "inputs": 8, "hidden": 4},
    ],
)
def test_sixteen_bits_are_close_to_float(facts: dict[str, Any]) -> None:
    program = one_sru(3, **facts)
    data = sequences(3, features=facts.get("inputs", 4), lengths=(40, 25))
    calibrate(program, data)
    integers = lowered(program, uniform(program, 16))
    for sequence in data:
        (real,) = run_float(program, [sequence[:, None, :]])
        (got,) = run_integer(integers, [quantize(sequence, given_grid(integers))[:, None, :]])
        error = dequantize(got, result_grid(integers)) - real
        assert np.sqrt((error**2).mean() / (real**2).mean()) < 2e-3


def test_error_falls_with_width() -> None:
    """In expectation: over a few networks, more bits are never worse."""
    errors = dict.fromkeys(WIDTHS, 0.0)
    for seed in range(4):
        program = calibrated(seed)
        data = sequences(seed + 1)
        for bits in WIDTHS:
            integers = lowered(program, uniform(program, bits))
            for sequence in data:
                (real,) = run_float(program, [sequence[:, None, :]])
                x = quantize(sequence, given_grid(integers))[:, None, :]
                got = dequantize(run_integer(integers, [x])[0], result_grid(integers))
                errors[bits] += float(((got - real) ** 2).mean())
    assert errors[2] > errors[4] > errors[8] > errors[16]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 50), st.data())
def test_slices_compute_what_the_whole_program_does(seed: int, data: st.DataObject) -> None:
    program = calibrated(seed)
    table = calibrated_table(program)
    widths = {slot: data.draw(st.sampled_from(WIDTHS)) for slot in table.searched()}
    whole = lowered(program, widths)
    x = quantize(sequences(seed + 7)[0], given_grid(whole))[:, None, :]
    (expected,) = run_integer(whole, [x])
    grids = table.layer_grids(widths)
    for name in table.table.names:
        part = lower_to_qnn(slice_layer(program, name, grids[name]))
        part.verify()
        (x,) = run_integer(part, [x])
    np.testing.assert_array_equal(x, expected)


def test_batches_equal_single_sequences() -> None:
    program = calibrated()
    integers = lowered(program, uniform(program, 4))
    x = quantize(np.stack(sequences(5, lengths=(9,) * 3)), given_grid(integers))
    (batch,) = run_integer(integers, [np.swapaxes(x, 0, 1)])
    for number, one in enumerate(x):
        np.testing.assert_array_equal(
            batch[:, number], run_integer(integers, [one[:, None]])[0][:, 0]
        )


def test_text_round_trip_and_save(tmp_path: Any) -> None:
    program = calibrated()
    integers = lowered(program, uniform(program, 4))
    again = parse_module(integers.text(), MohaqContext(), "text")
    assert again.is_structurally_equivalent(integers.module)
    integers.save(tmp_path / "p")
    loaded = Program.load(tmp_path / "p")
    x = quantize(sequences()[0], given_grid(integers))[:, None, :]
    np.testing.assert_array_equal(run_integer(loaded, [x])[0], run_integer(integers, [x])[0])


def test_no_float_is_left() -> None:
    text = lowered(calibrated(), uniform(calibrated(), 8)).text()
    body = text.replace("quant.grid", "").split("func.func", 1)[1]
    assert "f32" not in text
    assert "f64" not in body


def test_streaming_in_chunks_equals_the_whole() -> None:
    """State is an operand and a result: chunks give the same integers (forward models)."""
    from programs import sru

    from mohaq.compiler.network import Network

    rng = np.random.default_rng(2)
    net = Network()
    x, state = net.sequence(4), net.state(1, 5)
    h, end = sru(net, rng, "l0", x, 4, 5, direction="forward", initial_state=state)
    program = net.finish([h, end])
    data = sequences(2, features=4, lengths=(12,))
    calibrate(program, data)
    integers = lowered(program, uniform(program, 8))
    q = quantize(data[0], given_grid(integers))[:, None, :]
    zero = np.zeros((1, 1, 5), dtype=np.int64)
    whole, last = run_integer(integers, [q, zero])
    parts, carried = [], zero
    for chunk in np.split(q, [1, 5, 6]):
        part, carried = run_integer(integers, [chunk, carried])
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(carried, last)


def test_gate_grid_is_the_domain_of_the_table() -> None:
    assert (GATE_GRID.bits, GATE_GRID.step * 32768) == (16, 16.0)


def test_missing_steps_are_named() -> None:
    program = speech_like()
    with pytest.raises(MohaqError, match="no calibration"):
        calibrated_table(program)
    with pytest.raises(MohaqError, match="has no grid"):
        lower_to_qnn(program)
    with pytest.raises(MohaqError, match="not calibrated for 5 bits"):
        lowered(calibrated(), uniform(calibrated(), 5))
