"""The benches of the peer and of retraining: their rows and figures on small networks."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
from programs import calibrated, speech_like
from searches import labelled

from mohaq.compiler.data import Dataset
from mohaq.compiler.qat import RetrainOptions
from mohaq.tools.bench import peer, retraining
from mohaq.tools.bench.figures import as_csv


def frames(seed: int, count: int) -> Dataset:
    return labelled(speech_like(), seed, lengths=tuple(8 + 3 * (i % 4) for i in range(count)))


def test_both_sides_of_the_peer_are_close_to_float_at_8_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer, "PAIRS", ((8, 8), (4, 4)))
    chosen = (peer.Setting(per_channel=True), peer.Setting("Percentile", per_channel=True))
    monkeypatch.setattr(peer, "SETTINGS", chosen)
    calibration, data = frames(1, 8), frames(2, 12)
    lines = peer.ours(speech_like(), calibration, data)
    lines += peer.theirs(speech_like(), calibration, data)
    held = {(line.how, line.weights): line for line in lines}
    full = held["onnxruntime, float32", 32].fer
    assert len(lines) == 4 + 1 + 4
    for line in lines:
        assert not line.note
        assert line.low <= line.fer <= line.high
        if line.weights == 8:
            assert line.fer == pytest.approx(full, abs=0.06)
    text = peer.as_markdown(lines)
    assert text.splitlines()[0] == "| FER % | 8 x 8 | 4 x 4 | float |"
    assert len(text.splitlines()) == 2 + 2 + 1 + 2
    rows = list(csv.DictReader(io.StringIO(as_csv(peer.Line, lines))))
    assert {row["how"] for row in rows} == {line.how for line in lines}
    assert "12 utterances" in str(peer.show(lines, len(data)).title)


def test_their_models_are_quantized_where_the_bench_says() -> None:
    """Every product has rounded inputs and a weight of 4 bits, nothing else is quantized."""
    import onnx

    model = speech_like().to_onnx()
    made = onnx.ModelProto.FromString(
        peer.quantized(model, frames(1, 4), peer.Setting(per_channel=True), 4, 8)
    )
    givers = {name: node for node in made.graph.node for name in node.output}
    data = {one.name: one for one in made.graph.initializer}
    products = [node for node in made.graph.node if node.op_type == "MatMul"]
    assert len(products) == 6 + 1 + 6 + 1
    for node in products:
        assert all(givers[name].op_type == "DequantizeLinear" for name in node.input)
        weight = data[givers[node.input[1]].input[0]]
        assert weight.data_type == onnx.TensorProto.INT4
    read = {givers[node.input[0]].input[0] for node in products}
    rounded = {node.output[0] for node in made.graph.node if node.op_type == "QuantizeLinear"}
    assert read == rounded
    assert len(rounded) == 4  # the inputs of l0, pr1, l1 and fc


def test_what_the_peer_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("no kernel\nmore")

    monkeypatch.setattr(peer, "quantized", fail)
    monkeypatch.setattr(peer, "PAIRS", ((4, 4),))
    lines = peer.theirs(speech_like(), frames(1, 4), frames(2, 4))
    assert [line.note for line in lines] == ["", *["no kernel"] * len(peer.SETTINGS)]
    assert all(math.isnan(line.fer) for line in lines[1:])
    assert "fails" in peer.as_markdown(lines)
    assert peer.show(lines, 4).row_count == len(lines)


def test_windows_of_one_length_for_methods_that_want_them() -> None:
    data = frames(1, 4)  # 8, 11, 14 and 17 frames
    assert peer.Setting().frames(data) is data.inputs
    found = peer.Setting("Entropy").frames(data)
    assert [x.shape for x in found] == [(8, 5)] * 5
    np.testing.assert_array_equal(found[-1], data.inputs[3][8:16])


def test_retraining_lines() -> None:
    told: list[str] = []
    lines = retraining.measure(
        "small",
        calibrated(),
        frames(1, 24),
        frames(2, 8),
        frames(3, 12),
        RetrainOptions(epochs=4, rate=2e-2, threads=1),
        tell=told.append,
    )
    assert [line.precision for line in lines] == list(retraining.ROWS)
    assert any("uniform 2: epoch 4" in line for line in told)
    for line in lines:
        assert line.full < line.before
        assert line.after < line.before
        assert line.low <= line.after <= line.high
        assert line.won == pytest.approx((line.before - line.after) / (line.before - line.full))
        assert line.epochs == 4
        assert line.utterances == 24
    assert "won back" in retraining.as_markdown(lines)
    rows = list(csv.DictReader(io.StringIO(as_csv(retraining.Line, lines))))
    assert [float(row["after"]) for row in rows] == [line.after for line in lines]
    assert retraining.show(lines).row_count == 2


def test_widths_of_the_rows() -> None:
    widths = retraining.widths_of(calibrated(), "weights 2, values 4")
    assert {str(s): w for s, w in widths.items() if s.layer == "l0"} == {
        "l0.weight": 2,
        "l0.input": 4,
    }
