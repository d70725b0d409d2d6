"""Already quantized models: their grids become grids of slots, and calibration keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from small_onnx import constant, info, integers, model, quantized_gru, weights
from xdsl.transforms.canonicalize import CanonicalizePass

import mohaq
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FakeQuantizeOp, LayerOp
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import Program
from mohaq.passes.absorb_fake_quantize import AbsorbFakeQuantizePass, absorb_fake_quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate

Node = helper.make_node


def fakes(program: Program) -> list[FakeQuantizeOp]:
    return [o for o in program.module.walk() if isinstance(o, FakeQuantizeOp)]


def layer(program: Program, kind: type[LayerOp]) -> Any:
    (found,) = [o for o in program.layers() if isinstance(o, kind)]
    return found


def scale_of(made: onnx.ModelProto, name: str) -> float:
    (tensor,) = [t for t in made.graph.initializer if t.name == name]
    return float(numpy_helper.to_array(tensor))


def test_a_quantized_gru_keeps_its_own_scales() -> None:
    made = quantized_gru()
    program = mohaq.load(made)
    x = np.random.default_rng(0).normal(size=(6, 3, 2)).astype(np.float32)
    (before,) = run_float(program, [x])
    assert absorb_fake_quantize(program) == []
    program.verify()
    assert not fakes(program)
    gru, out = layer(program, nn.GruOp), layer(program, nn.LinearOp)
    for op, slot, name in (
        (gru, "input", "sx"),
        (gru, "weight", "sw"),
        (gru, "recurrent", "sr"),
        (out, "weight", "sg"),
    ):
        scale = scale_of(made, name)
        for grid in (op.grid(slot), op.given.data[slot]):
            assert (grid.bits, grid.step) == (8, scale)
        # `uniform` and `apply-assignment` divide the clip by 127: the same double comes back.
        assert op.clips(slot)[8] / 127 == scale
    # Only the input is no longer rounded.
    rounded = np.clip(np.rint(x / np.float32(0.02)), -128, 127) * np.float32(0.02)
    (after,) = run_float(program, [rounded.astype(np.float32)])
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-7)
    # No scale is left behind, and the program survives its folder.
    assert not any("scale" in name for name in program.parameters)


def test_text_form_and_folder(tmp_path: Any) -> None:
    program = mohaq.load(quantized_gru())
    absorb_fake_quantize(program)
    program.save(tmp_path / "a")
    again = mohaq.load(tmp_path / "a")
    assert layer(again, nn.GruOp).given == layer(program, nn.GruOp).given


def dense(
    *,
    kind: str = "int8",
    zero: int = 0,
    scales: Any = 0.01,
    axis: int = 1,
    activation: tuple[str, int] = ("int8", 0),
    residual: bool = False,
    ends: bool = False,
) -> onnx.ModelProto:
    """x [T, B, 4] -> fake quantization -> transposed twice -> linear -> y [T, B, 3]."""
    scale = np.asarray(scales, np.float32)
    act, act_zero = activation
    nodes = [
        Node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        Node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        Node("Transpose", ["xd"], ["xt"], perm=[1, 0, 2]),
        Node("Transpose", ["xt"], ["xb"], perm=[1, 0, 2]),
        Node("DequantizeLinear", ["Wq", "sw", "zw"], ["W"], axis=axis),
        Node("MatMul", ["xb", "W"], ["m"]),
        Node("Add", ["m", "xd" if residual else "bias"], ["a"]),
    ]
    if ends:
        nodes += [
            Node("QuantizeLinear", ["a", "sx", "zx"], ["aq"]),
            Node("DequantizeLinear", ["aq", "sx", "zx"], ["y"]),
        ]
    else:
        nodes.append(Node("Relu", ["a"], ["y"]))
    return model(
        nodes,
        [info("x", ["T", "B", 4])],
        [info("y", ["T", "B", 4])],
        [
            integers("Wq", 4, 4, dtype=kind),
            constant("sw", scale),
            constant("zw", np.full(scale.shape, zero, kind)),
            constant("sx", np.float32(0.05)),
            constant("zx", np.asarray(act_zero, act)),
            weights("bias", 4),
        ],
    )


@pytest.mark.parametrize(
    ("facts", "width"),
    [({}, 8), ({"kind": "uint8", "zero": 128}, 8), ({"kind": "int16"}, 16), ({"kind": "int4"}, 4)],
)
def test_grids_that_a_slot_can_have(facts: dict[str, Any], width: int) -> None:
    program = mohaq.load(dense(**facts))
    assert absorb_fake_quantize(program) == []
    op = layer(program, nn.LinearOp)
    assert (op.grid("weight").bits, op.grid("weight").step) == (width, float(np.float32(0.01)))
    assert (op.grid("input").bits, op.grid("input").step) == (8, float(np.float32(0.05)))


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"scales": [0.01, 0.02, 0.03, 0.04], "axis": 0}, "a scale for each column"),
        ({"zero": 3}, "zero point is 3"),
        ({"kind": "uint8"}, "zero point is -128"),
        ({"scales": [0.01, 0.02, 0.03, 0.04], "zero": -2}, "zero point is -2"),
        ({"residual": True}, "nn.binary"),
        ({"ends": True}, "result of the program"),
    ],
)
def test_grids_that_stay(facts: dict[str, Any], why: str) -> None:
    made = dense(**facts)
    program = mohaq.load(made)
    x = np.random.default_rng(1).normal(size=(5, 2, 4)).astype(np.float32)
    (before,) = run_float(program, [x])
    (left,) = absorb_fake_quantize(program)
    program.verify()
    (op,) = fakes(program)
    assert why in left.why
    assert why in str(op.attributes["left"])
    if "activation" in facts or "residual" in facts:  # the input is still rounded
        np.testing.assert_array_equal(run_float(program, [x])[0], before)
    strict = mohaq.load(made)
    context = MohaqContext(parameters=strict.parameters)
    with pytest.raises(MohaqError, match="fits no slot") as caught:
        AbsorbFakeQuantizePass(strict=True).apply(context, strict.module)
    assert why in str(caught.value)


def test_weights_off_their_grid_are_rounded_once() -> None:
    """Trained with fake quantization: QuantizeLinear of float weights."""
    made = dense()
    real = weights("Wf", 4, 4)
    made.graph.initializer.append(real)
    made.graph.node.insert(0, Node("QuantizeLinear", ["Wf", "sw", "zw"], ["Wn"]))
    for node in made.graph.node:
        node.input[:] = ["Wn" if n == "Wq" else n for n in node.input]
    program = mohaq.load(made)
    x = np.zeros((3, 1, 4), np.float32)
    x[:, 0] = np.eye(4, dtype=np.float32)[:3]  # on the grid of the input
    (before,) = run_float(program, [x])
    assert absorb_fake_quantize(program) == []
    np.testing.assert_array_equal(run_float(program, [x])[0], before)
    assert layer(program, nn.LinearOp).grid("weight").step == float(np.float32(0.01))


def test_calibration_and_assignment_keep_the_models_grids() -> None:
    """LSTM and linear layer: 8 bits everywhere gives exactly the model's own scales."""
    scales = {"sx": 0.03, "sw": 0.004, "sr": 0.006, "sh": 0.008, "sv": 0.01}
    made = model(
        [
            Node("QuantizeLinear", ["x", "sx", "zero"], ["xq"]),
            Node("DequantizeLinear", ["xq", "sx", "zero"], ["xd"]),
            Node("DequantizeLinear", ["Wq", "sw", "zero"], ["W"]),
            Node("DequantizeLinear", ["Rq", "sr", "zero"], ["R"]),
            Node("DequantizeLinear", ["Vq", "sv", "zero"], ["V"]),
            Node("LSTM", ["xd", "W", "R"], ["all"], "lstm", hidden_size=3),
            Node("Squeeze", ["all", "one"], ["h"]),
            Node("QuantizeLinear", ["h", "sh", "zero"], ["hq"]),
            Node("DequantizeLinear", ["hq", "sh", "zero"], ["hd"]),
            Node("MatMul", ["hd", "V"], ["y"], "out"),
        ],
        [info("x", ["T", "B", 2])],
        [info("y", ["T", "B", 4])],
        [
            *(integers("Wq", 1, 12, 2), integers("Rq", 1, 12, 3), integers("Vq", 3, 4)),
            *(constant(name, np.float32(value)) for name, value in scales.items()),
            *(constant("zero", np.int8(0)), constant("one", [1])),
        ],
    )
    program = mohaq.load(made)
    assert absorb_fake_quantize(program) == []
    CanonicalizePass().apply(MohaqContext(parameters=program.parameters), program.module)
    rng = np.random.default_rng(2)
    calibrate(program, [rng.normal(size=(9, 2)).astype(np.float32) for _ in range(3)])
    slots = calibrated_table(program).searched()
    apply_assignment(program, dict.fromkeys(slots, 8))
    lstm, out = layer(program, nn.LstmOp), layer(program, nn.LinearOp)
    for op, slot, name in (
        (lstm, "input", "sx"),
        (lstm, "weight", "sw"),
        (lstm, "recurrent", "sr"),
        (out, "input", "sh"),
        (out, "weight", "sv"),
    ):
        assert (op.grid(slot).bits, op.grid(slot).step) == (8, scale_of(made, name)), slot
