"""`mohaq inspect --op`: grids, bounds, schedules, instructions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from inspected import TARGETS, row, rows, shown
from programs import sequences, speech_like

import mohaq
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.clips import CalibrationSettings
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import calibrate


@pytest.mark.parametrize("target", TARGETS)
def test_a_layer_in_full(place: Path, target: str) -> None:
    text = shown(place / target, "--op", "pr1", "--instructions", 0)
    quantized = Program.load(place / target / "1-quantized")
    op = next(op for op in quantized.layers() if op.label == "pr1")
    grid = op.grid("weight")
    assert grid is not None
    found = rows(text, "Quantization")[0]
    assert found[:2] == ["weight", "searched"]
    assert [found[3], found[4]] == ["8", f"{grid.step:.9g}"]
    assert found[5] == f"{grid.step * 127:.6g}"
    assert found[6] == "-128 … 127"
    sums = rows(text, "Accumulators")[0]
    assert sums[3:5] == ["4 x 12", "8 x 8"]
    bound = int(sums[6].replace(",", ""))
    assert 0 < bound <= 12 * 128 * 128
    assert int(sums[7]) == bound.bit_length() + 1
    assert int(sums[8]) == int(sums[5]) - int(sums[7])


def test_bit_fusion_instructions_are_those_of_the_listing(place: Path) -> None:
    """They are decoded from the words, the listing was written by the emitter."""
    listing = (place / "bitfusion-mohaq/emitted/program.bfasm").read_text().splitlines()
    seen: list[str] = []
    for layer in ("l0", "pr1", "l1", "fc"):
        text = shown(place / "bitfusion-mohaq", "--op", layer, "--instructions", 0)
        seen += text[text.index(f"Instructions of {layer}\n") :].splitlines()[1:]
    assert seen == [line for line in listing if not line.startswith(";")]


def test_silago_words_are_those_of_the_listing(place: Path) -> None:
    listing = (place / "silago-mohaq/emitted/listing.txt").read_text()
    expected = re.findall(r"^ +\d+  ((?:[0-9A-F]{7} ?)+)", listing, flags=re.MULTILINE)
    seen: list[str] = []
    for layer in ("l0", "pr1", "l1", "fc"):
        text = shown(place / "silago-mohaq", "--op", layer, "--instructions", 0)
        text = text[text.index(f"Stream words of {layer}\n") :]
        seen += re.findall(r"^ +\d+  ((?:[0-9A-F]{7} ?)+)", text, flags=re.MULTILINE)
    assert [s.strip() for s in seen] == [s.strip() for s in expected]


def test_epiphany_plan_and_kernels(place: Path) -> None:
    plan = json.loads((place / "epiphany-e16/emitted/plan.json").read_text())
    text = shown(place / "epiphany-e16", "--op", "fc", "--instructions", 0)
    stage = next(s for s in plan["stages"] if s["layer"] == "fc")
    product = stage["products"][0]
    assert rows(text, "Schedule")[0][:3] == [stage["name"], product["weights"], product["kernel"]]
    source = (place / f"epiphany-e16/emitted/device/{stage['name']}.c").read_text()
    assert source in text
    assert f"SYM(mohaq_{product['kernel']}):" in text


def test_reference_operations(place: Path) -> None:
    text = shown(place / "reference", "--op", "fc", "--instructions", 0)
    assert re.search(r"= matmul %\d+ %\d+  bits=8 bound=\d+", text)
    program = json.loads((place / "reference/emitted/program.json").read_text())
    count = sum(1 + len(op.get("body", ())) for op in program["ops"])
    assert rows(shown(place / "reference"), "Instructions")[-1][1] == f"{count:,}"


def test_listings_end_with_how_many_more(place: Path) -> None:
    whole = shown(place / "bitfusion-mohaq", "--op", "fc", "--instructions", 0)
    cut = shown(place / "bitfusion-mohaq", "--op", "fc", "--instructions", 3)
    lines = whole[whole.index("Instructions of fc\n") :].splitlines()[1:]
    assert cut.splitlines()[-1] == (f"… {len(lines) - 3:,} more lines (--instructions 0 shows all)")
    assert cut.splitlines()[-4:-1] == lines[:3]


def test_a_value_and_a_parameter(place: Path) -> None:
    text = shown(place / "reference", "--stage", "2-qnn", "--op", "%1")
    assert "qnn.requantize %1, of layer 'l0'" in text
    assert ">>" in rows(text, "Rescalings")[0][1]
    assert shown(place / "reference", "--stage", "2-qnn", "--op", "1") == text
    data = speech_like().parameters["fc.weight"]
    text = shown(place / "net", "--op", "@fc.weight")
    assert row(text, "smallest, largest")[1] == f"{data.min():.6g}, {data.max():.6g}"
    assert row(text, "read by")[1] == "fc"
    assert "argument 0 of the program" in shown(place / "net", "--op", "%0")


def test_bounds_of_a_program_with_widths(place: Path) -> None:
    """An annotated program has bounds before any target."""
    text = shown(place / "reference/1-quantized", "--op", "fc")
    assert "in integers, before any target" in text
    assert rows(text, "Accumulators")[0][5] == "64"
    assert "bounds of sums follow from widths" in shown(place / "net", "--op", "fc")


def test_steps_of_rows(tmp_path: Path) -> None:
    program = speech_like()
    calibrate(program, sequences(1), CalibrationSettings(granularity="per-channel"))
    mohaq.compile(program, "reference", Assignment.uniform(8), tmp_path / "out")
    quantized = Program.load(tmp_path / "out/1-quantized")
    grids = {op.label: op.grid("weight") for op in quantized.layers()}
    for layer, count in (("fc", 3), ("l0", 36)):
        grid = grids[layer]
        assert grid is not None
        found = rows(shown(tmp_path / "out", "--op", layer), "Quantization")
        assert found[0][2] == f"one of {count} rows"
        steps = quantized.parameters[grid.rows]
        assert found[0][4] == f"{steps.min():.9g} … {steps.max():.9g}"
        assert found[1][:3] == ["input", "searched", "one"]
