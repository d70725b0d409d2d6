"""Grids with a step for each row and with a zero point, down to the integer program."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from family import KINDS, Drawn, layers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from small_onnx import constant, info, integers, model, weights
from xdsl.dialects.builtin import DictionaryAttr

import mohaq
from mohaq.backends.bitfusion import BACKEND as BITFUSION
from mohaq.backends.reference import BACKEND as REFERENCE
from mohaq.compiler.analysis.storage import ScaleRule, calibrated_table
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn, qnn
from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, derive_multiplier, quantize
from mohaq.passes.absorb_fake_quantize import absorb_fake_quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import CalibrationSettings, calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

Node = helper.make_node
Reals = npt.NDArray[np.float32]


def uniform(program: Program, bits: int) -> Program:
    """The program with all searched slots at one width."""
    made = program.clone()
    slots = calibrated_table(made).searched()
    apply_assignment(made, Assignment.uniform(bits).complete(slots))
    return made


def outputs(annotated: Program, inputs: list[Any]) -> list[Any]:
    """Real results of the integer program."""
    lowered = lower_to_qnn(annotated)
    given = [
        quantize(x, g) for x, g in zip(inputs, argument_grids(lowered.entry), strict=True) if g
    ]
    made = run_integer(lowered, given)
    return [dequantize(y, g) for y, g in zip(made, result_grids(lowered.entry), strict=True) if g]


def clamp(x: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, x))


def rescaled(x: int, ratio: Fraction, operand_bits: int) -> int:
    m, s = derive_multiplier(ratio, operand_bits)
    return (x * m + ((1 << s) >> 1)) >> s


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    zero=st.integers(-128, 127),
    per_row=st.booleans(),
    bias=st.booleans(),
    bits=st.sampled_from([2, 4, 8]),
)
def test_a_linear_layer_in_python_integers(
    seed: int, zero: int, per_row: bool, bias: bool, bits: int
) -> None:
    """docs/semantics.md for rows and zero points, one number at a time."""
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    w = rng.normal(size=(rows, columns)).astype(np.float32)
    b = rng.normal(size=rows).astype(np.float32) * 3
    net = Network()
    x_in = net.sequence(columns, name="x")
    op = nn.LinearOp("fc", x_in, net.parameter("w", w), net.parameter("b", b) if bias else None)
    net.add(op)
    program = net.finish([op.result])
    granularity = "per-channel" if per_row else "per-tensor"
    x = rng.normal(size=(5, 1, columns)).astype(np.float32)
    calibrate(program, [x[:, 0]], CalibrationSettings((2, 4, 8, 16), granularity=granularity))
    op.attributes["given"] = DictionaryAttr({"input": GridAttr.of(8, 0.03, zero=zero)})
    widths = {s: bits if s.slot == "weight" else 8 for s in calibrated_table(program).searched()}
    apply_assignment(program, widths)
    lowered = lower_to_qnn(program)
    held, out = argument_grids(lowered.entry)[0], result_grids(lowered.entry)[0]
    slot = op.grid("weight")
    assert held is not None
    assert out is not None
    assert slot is not None
    steps = [float(slot.step)] * rows
    if per_row:
        steps = [float(v) for v in program.parameters[slot.rows]]
    given = quantize(x, held)
    (made,) = run_integer(lowered, [given])

    ints = [
        [clamp(math.floor(float(v) / s + 0.5), bits) for v in row]
        for row, s in zip(w, steps, strict=True)
    ]
    sums_bits = 1 + max(1, max(sum(map(abs, row)) for row in ints) * 128).bit_length()
    size = [0.03 * s for s in steps]
    add = [0.0] * rows
    for n in range(rows):
        add[n] = (float(b[n]) if bias else 0.0) + (-zero * size[n] * sum(ints[n]) if zero else 0)
    has_bias = bias or zero != 0
    top = max(abs(a) / s for a, s in zip(add, size, strict=True))
    shift = math.floor(math.log2(32767 / top)) if top else 0
    up, down = (min(max(shift, 0), max(0, 30 - sums_bits)), max(-shift, 0)) if has_bias else (0, 0)
    offsets = [
        clamp(math.floor(a / (s * 2.0 ** (down - up)) + 0.5), 16)
        for a, s in zip(add, size, strict=True)
    ]
    wide = max(sums_bits + up, 16 + down) + 1 if has_bias else sums_bits
    for t in range(5):
        ratio = Fraction(held.step) / Fraction(0.03)
        read = [clamp(rescaled(int(v), ratio, 16) + zero, 8) for v in given[t, 0]]
        for n in range(rows):
            total = sum(a * c for a, c in zip(ints[n], read, strict=True))
            if has_bias:
                total = (total << up) + (offsets[n] << down)
            ratio = Fraction(size[n] * 2.0**-up) / Fraction(out.step)
            assert made[t, 0, n] == clamp(rescaled(total, ratio, wide), 16)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_are_one_tensor(kind: str) -> None:
    """A grid of rows with the same step everywhere gives the bits of the plain grid."""

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), bits=st.sampled_from([2, 4, 8, 16]))
    def check(drawn: Drawn, bits: int) -> None:
        program = drawn.program
        calibrate(program, [drawn.inputs[0][:, 0]])
        (op,) = program.layers()
        for slot in ("weight", "recurrent"):  # steps that float32 can hold
            if slot in op.SEARCHED_SLOTS:
                found = dict(op.calibration.data) if op.calibration else {}
                grid = ClipsAttr.of({bits: 2.0**-3 * ((1 << (bits - 1)) - 1)})
                op.attributes["calibration"] = DictionaryAttr({**found, slot: grid})
        plain = outputs(uniform(program, bits), drawn.inputs)
        for slot in ("weight", "recurrent"):
            if slot in op.SEARCHED_SLOTS:
                assert op.calibration is not None
                shape = getattr(op, slot).type.get_shape()
                shape = shape[: 3 if kind != "linear" else 1]
                name, _ = program.declare("steps", np.full(math.prod(shape), 2.0**-3))
                grid = ClipsAttr.of(op.clips(slot), {bits: name})
                op.attributes["calibration"] = DictionaryAttr({**op.calibration.data, slot: grid})
        program.verify()
        for a, b in zip(plain, outputs(uniform(program, bits), drawn.inputs), strict=True):
            np.testing.assert_array_equal(a, b)

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_different_size_keep_their_precision(kind: str) -> None:
    """Rows that differ by 2^12 leave small ones nothing on one grid; on grids of rows they live."""

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True, stateless=True), seed=st.integers(0, 999))
    def check(drawn: Drawn, seed: int) -> None:
        program, rng = drawn.program, np.random.default_rng(seed)
        (op,) = program.layers()
        for slot in ("weight", "recurrent"):
            if slot in op.SEARCHED_SLOTS:
                symbol = getattr(op, slot).owner.symbol
                real = program.parameters[symbol]
                rows = real.reshape(-1, real.shape[-1])
                scale = 2.0 ** -rng.integers(0, 12, size=(len(rows), 1))
                program.parameters[symbol] = (rows * scale).reshape(real.shape).astype(np.float32)
        x = drawn.inputs[0]
        calibrate(
            program, [x[:, 0]], CalibrationSettings(method="minmax", granularity="per-channel")
        )
        made = uniform(program, 8)
        (op,) = made.layers()
        for slot in ("weight", "recurrent"):
            if slot in op.SEARCHED_SLOTS:
                grid = op.grid(slot)
                assert grid is not None
                assert grid.rows
                real = made.parameters[getattr(op, slot).owner.symbol]
                rows, steps = real.reshape(-1, real.shape[-1]), made.parameters[grid.rows]
                if op.name == "nn.qrnn":  # rows of both taps
                    rows = real.reshape(len(steps), -1)
                near = quantize(rows, grid, steps) * steps[:, None]
                assert (np.abs(near - rows) <= steps[:, None] * 0.5001).all()
                assert (steps <= np.abs(rows).max(axis=1) / 127 * 1.001 + 1e-9).all()

    check()


def quantized_dense(*, zero: int = 110, features: int = 4, outputs: int = 3) -> Any:
    """x -> QDQ (uint8 with a zero point) -> MatMul of int8 weights, a scale for each row -> + b."""
    scales = np.linspace(0.004, 0.02, outputs, dtype=np.float32)
    nodes = [
        Node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        Node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        Node("DequantizeLinear", ["Wq", "sw", "zw"], ["W"], axis=1),
        Node("MatMul", ["xd", "W"], ["m"]),
        Node("Add", ["m", "bias"], ["y"]),
    ]
    return model(
        nodes,
        [info("x", ["T", "B", features])],
        [info("y", ["T", "B", outputs])],
        [
            integers("Wq", features, outputs, dtype="int8"),
            constant("sw", scales),
            constant("zw", np.zeros(outputs, np.int8)),
            constant("sx", np.float32(0.02)),
            constant("zx", np.asarray(zero, np.uint8)),
            weights("bias", outputs),
        ],
    )


@pytest.mark.parametrize("zero", [0, 17, 110, 128, 255])
def test_a_quantized_onnx_model_compiles_with_its_own_grids(zero: int) -> None:
    made = quantized_dense(zero=zero)
    program = mohaq.load(made)
    assert absorb_fake_quantize(program) == []
    x = np.random.default_rng(zero).uniform(-2, 2, size=(50, 2, 4)).astype(np.float32)
    low, high = -0.02 * zero, 0.02 * (255 - zero)
    calibrate(program, [x[:, 0], x[:, 1]])
    annotated = uniform(program, 8)
    lowered = lower_to_qnn(annotated)
    # The weights are the integers of the file.
    held = {i.name: i for i in made.graph.initializer}
    from onnx import numpy_helper

    (q,) = [a for n, a in lowered.parameters.items() if a.ndim == 2]
    np.testing.assert_array_equal(q, numpy_helper.to_array(held["Wq"]).T)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    (wanted,) = session.run(None, {"x": x})
    (ours,) = outputs(annotated, [x])
    # Halves of an input step may fall to either side (the input is held in 16 bits first).
    slack = 0.02 * np.abs(numpy_helper.to_array(held["Wq"]) * numpy_helper.to_array(held["sw"]))
    assert np.abs(ours - wanted).max() < slack.sum(axis=0).max() * 0.5
    assert np.abs(ours - wanted).mean() < 0.01 * np.abs(wanted).mean() + 2e-3
    assert low <= 0 <= high


def test_an_input_clips_where_the_zero_point_says() -> None:
    """uint8 with zero point 255 holds nothing above zero."""
    program = mohaq.load(quantized_dense(zero=255))
    absorb_fake_quantize(program)
    x = np.abs(np.random.default_rng(0).normal(size=(9, 1, 4))).astype(np.float32)
    calibrate(program, [x[:, 0]])
    (ours,) = outputs(uniform(program, 8), [x])
    (rest,) = run_float(program, [np.zeros_like(x)])
    np.testing.assert_allclose(ours, rest, atol=2e-3)


def test_targets_with_one_scale_for_a_weight() -> None:
    net = Network()
    x = net.sequence(3, name="x")
    w = np.array([[1, 2, 3], [0.1, 0.2, 0.3]], np.float32)
    op = nn.LinearOp("fc", x, net.parameter("w", w), None)
    net.add(op)
    program = net.finish([op.result])
    data = [np.ones((2, 3), np.float32)]
    calibrate(program, data, CalibrationSettings(method="minmax", granularity="per-channel"))
    table = calibrated_table(program)
    plain = BITFUSION.obeyed(table, BITFUSION.load_target("bitfusion-e"))
    rows = REFERENCE.obeyed(table, REFERENCE.load_target("reference"))
    assert rows.grid("fc", "weight", 8).rows
    assert not plain.grid("fc", "weight", 8).rows
    assert plain.grid("fc", "weight", 8).step == pytest.approx(3 / 127)
    # A model's own rows are not dropped silently.
    name, _ = program.declare("own", np.array([0.01, 0.02]))
    op.attributes["given"] = DictionaryAttr({"weight": GridAttr.of(8, 0.02, rows=name)})
    table = BITFUSION.obeyed(calibrated_table(program), BITFUSION.load_target("bitfusion-e"))
    with pytest.raises(MohaqError, match="a scale for each row"):
        table.grid("fc", "weight", 8)
    assert table.grid("fc", "weight", 4).step == pytest.approx(3 / 7)


def test_targets_that_only_shift() -> None:
    net = Network()
    x = net.sequence(3, name="x")
    op = nn.LinearOp("fc", x, net.parameter("w", np.eye(3, dtype=np.float32) * 0.7), None)
    last = nn.LinearOp("top", op.result, net.parameter("v", np.eye(3, dtype=np.float32)), None)
    net.add(op)
    net.add(last)
    program = net.finish([last.result])
    calibrate(program, [np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)])
    rules = dict.fromkeys(("fc", "top"), ScaleRule(per_channel=False, power_of_two=True))
    table = calibrated_table(program).obeying(rules)
    widths = dict.fromkeys(table.searched(), 8)
    from mohaq.passes.apply_assignment import annotate

    annotate(program, table, table.layer_grids(widths))
    lowered = lower_to_qnn(program)
    scales = [
        s for o in lowered.module.walk() if isinstance(o, qnn.RequantizeOp) for s in o.scales()
    ]
    assert scales
    assert all(m & (m - 1) == 0 for m, _ in scales)
    frames = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 1, 3)
    (ours,) = outputs(program, [frames])
    np.testing.assert_allclose(ours, frames * 0.7, atol=0.02)


def test_missing_and_wrong_steps_are_named() -> None:
    net = Network()
    x = net.sequence(3, name="x")
    op = nn.LinearOp("fc", x, net.parameter("w", np.eye(3, dtype=np.float32)), None)
    net.add(op)
    program = net.finish([op.result])
    calibrate(program, [np.ones((2, 3), np.float32)])
    op.attributes["given"] = DictionaryAttr({"weight": GridAttr.of(8, 0.02, rows="gone")})
    with pytest.raises(MohaqError, match="no parameter 'gone'"):
        program.verify()
    for bad in (np.ones(2), np.array([1, 0, 1]), np.array([1, np.inf, 1])):
        name, _ = program.declare("bad", bad)
        op.attributes["given"] = DictionaryAttr({"weight": GridAttr.of(8, 0.02, rows=name)})
        with pytest.raises(MohaqError, match="must be 3 positive numbers"):
            lower_to_qnn(uniform(program, 8))
