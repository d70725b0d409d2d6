"""What `mohaq inspect` opens, and its overview."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from inspected import TARGETS, row, rows, shown
from programs import calibrated, cell, one_cell, sequences, tensor

import mohaq
from mohaq.compiler import driver
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.dialects import nn
from mohaq.compiler.network import Network


def test_a_program(place: Path) -> None:
    text = shown(place / "net")
    assert "program net: nn, calibrated" in text
    assert row(text, "%4, %5")[1:3] == ["sru", "l0"]
    # l0: 2 directions x 3 gates x 6 units x 5 features, and 4 vectors of 6 for each direction.
    assert row(text, "l0") == ["l0", "2x sru", "36 x 5", "180", "228"]
    assert row(text, "nn.linear")[1] == "2"
    held = sum(a.size for a in (calibrated().parameters[n] for n in calibrated().parameters))
    assert f"{held:,} elements" in text


def test_a_model_by_name() -> None:
    assert "not calibrated" in shown("vowels")


def test_an_onnx_model(tmp_path: Path) -> None:
    mohaq.export_onnx(one_cell("lstm"), tmp_path / "cell.onnx")
    assert row(shown(tmp_path / "cell.onnx"), "nn.lstm")[1] == "1"


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        ("0-nn", "nn, calibrated"),
        ("1-quantized", "nn with widths"),
        ("2-qnn", "integers (qnn)"),
        ("3-legalized", "integers (qnn), legalized"),
        ("4-silago", "lowered to phase"),
    ],
)
def test_stages(place: Path, stage: str, state: str) -> None:
    folder = place / "silago-mohaq"
    short = shown(folder, "--stage", stage.partition("-")[2]).splitlines()[0]
    assert f"{stage}: {state}, " in short
    assert f": {state}, " in shown(folder / stage / "program.mlir").splitlines()[0]


@pytest.mark.parametrize(
    ("stage", "state"), [("quantize", "nn with widths"), ("2-qnn", "integers")]
)
def test_a_stopped_folder(tmp_path: Path, stage: str, state: str) -> None:
    last = driver.stage_named(stage)
    work = driver.start(calibrated(), "reference", Assignment.uniform(4))
    driver.stop(work, tmp_path / "s", last)
    assert f"program s/{last.folder}: {state}" in shown(tmp_path / "s").splitlines()[0]


def test_stages_of_a_folder(place: Path) -> None:
    found = {r[0]: r[1] for r in rows(shown(place / "silago-mohaq"), "Stages")}
    assert found["3-legalized"] == "integers (qnn), legalized"
    assert found["4-silago"] == "lowered to phase"


def test_integers_say_the_same_as_the_assignment(place: Path) -> None:
    """Bits, products and bytes of `qnn` come from its own types."""
    first = shown(place / "reference")
    integers = shown(place / "reference", "--stage", "2-qnn")
    for layer, bits in (("l0", "4 x 4"), ("pr1", "8 x 8"), ("l1", "8 x 8"), ("fc", "8 x 8")):
        assert row(first, layer)[5] == bits
        assert (
            rows(integers, "Layers")[[r[0] for r in rows(integers, "Layers")].index(layer)][5]
            == bits
        )
    assert row(first, "fc")[6] == f"{12 * 3 + 2 * 3}"  # 8-bit weights, 16-bit biases
    totals = [rows(text, "Layers")[-1] for text in (first, integers)]
    assert totals[0][3] == totals[1][3]


@pytest.mark.parametrize("target", TARGETS)
def test_a_compiled_folder(place: Path, target: str) -> None:
    text = shown(place / target)
    estimate = json.loads((place / target / "estimate.json").read_text())
    assert f"for {target} (" in text.splitlines()[0]
    for layer, costs in estimate["layers"].items():
        assert [f"{costs['cycles']:,}"] == [
            r[1] for r in rows(text, "Estimate for 100 frames") if r[0] == layer
        ]
    for name, value in estimate["total"]["counters"].items():
        assert [name, f"{value:,}"] in rows(text, "Counters")
    files = [r[0] for r in rows(text, "What the target gets")]
    emitted = place / target / "emitted"
    assert files == sorted(
        p.relative_to(place / target).as_posix() for p in emitted.rglob("*") if p.is_file()
    )


def test_a_run(place: Path) -> None:
    front = json.loads((place / "run/front.json").read_text())["front"]
    text = shown(place / "run")
    assert [r[0] for r in rows(text, "Front")][-len(front) :] == [p["id"] for p in front]
    assert shown(place / "run/front.json").splitlines()[1:] == text.splitlines()[1:]
    point = shown(place / "run", "--op", front[0]["id"])
    for slot, bits in front[0]["widths"].items():
        layer, _, name = slot.rpartition(".")
        held = next(r for r in rows(point, "Bits") if r[0] == layer)
        assert held[1 if name == "weight" else 2] == str(bits)
    across = rows(shown(place / "run", "--op", "fc"), "Bits of fc on the front")
    assert [r[0] for r in across] == [p["id"] for p in front]


def test_an_assignment(place: Path) -> None:
    text = shown(place / "mixed.json")
    assert row(text, "l0") == ["l0", "4", "4"]
    assert "every other slot: 8 bits" in text
    assert row(shown(place / "mixed.json", "--op", "l0"), "l0.weight")[1] == "4"


def test_what_the_host_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = Network()
    x = net.add(nn.TransposeOp(net.sequence(5), [1, 2, 0]))
    weight = net.parameter("conv.weight", tensor(rng, 4, 5, 3))
    x = net.add(nn.Conv1dOp("conv", x, weight, pads=(1, 1)))
    x = net.add(nn.TransposeOp(x, [2, 0, 1]))
    h = cell(net, rng, "gru", "gru", x, 4, 3)
    program = net.finish([h.results[0]])
    driver.calibrate(program, sequences(1))
    mohaq.compile(program, "reference", Assignment.uniform(8), tmp_path / "out")
    text = shown(tmp_path / "out")
    assert rows(text, "On the host")[0][0] == "conv"
    assert "host-before" in [r[0] for r in rows(text, "Stages")]
    assert "on the host and not counted: conv" in shown(tmp_path / "out/0-nn")
    assert "permutation 2 0 1" in shown(tmp_path / "out", "--stage", "host-before")
    whole = shown(tmp_path / "out", "--op", "conv")
    assert whole.startswith("on the host: ")
    assert row(whole, "weight")[3] == "@conv.weight"
