"""The bench of precisions: its rows, its figures, and that a wrong bit ends it."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
import torch
from programs import calibrated
from searches import labelled

import mohaq
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.passes.calibrate import calibrate
from mohaq.tools.bench.figures import as_csv
from mohaq.tools.bench.precision import Line, as_markdown, assignments, measure, show
from mohaq.tools.speech.gated import GatedOptions, SpeechGated


def gated(cell: str) -> Program:
    torch.manual_seed(0)
    model = SpeechGated(GatedOptions(cell, 4, inputs=5, projection=3, classes=3)).eval()
    program = mohaq.load(model, (torch.zeros(7, 2, 5),))
    rng = np.random.default_rng(0)
    calibrate(program, [rng.standard_normal((9, 5)).astype(np.float32) for _ in range(4)])
    return program


def by_slot(program: Program, row: str) -> dict[str, int]:
    return {str(slot): bits for slot, bits in assignments(program)[row].items()}


def test_rows_of_a_network_with_recurrent_matrices() -> None:
    program = gated("lstm")
    assert len(assignments(program)) == 9
    mixed = by_slot(program, "weights 4, values 8")
    assert {k: mixed[f"l0.{k}"] for k in ("weight", "recurrent", "input", "hidden")} == {
        "weight": 4,
        "recurrent": 4,
        "input": 8,
        "hidden": 8,
    }
    ends = by_slot(program, "first + last 8, rest 4")
    assert {k for k, bits in ends.items() if bits == 8} == {
        "l0.weight",
        "l0.input",
        "l0.recurrent",
        "l0.hidden",
        "fc.weight",
        "fc.input",
    }
    loops = by_slot(program, "RNN layers 8, rest 4")
    assert {k for k, bits in loops.items() if bits == 4} == {
        "pr1.weight",
        "pr1.input",
        "fc.weight",
        "fc.input",
    }
    inner = by_slot(program, "recurrent W, h 4, rest 8")
    assert {k for k, bits in inner.items() if bits == 4} == {
        "l0.recurrent",
        "l0.hidden",
        "l1.recurrent",
        "l1.hidden",
    }


def test_an_sru_has_no_rows_about_recurrent_matrices() -> None:
    assert not any("recurrent W" in row for row in assignments(calibrated(1)))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_figures(cell: str) -> None:
    program = gated(cell)
    data = labelled(program)
    lines = measure("tiny", program, data, 2)
    assert [line.precision for line in lines] == ["float", *assignments(program)]
    assert {(line.utterances, line.checked) for line in lines} == {(4, 2)}
    parameters = sum(a.size for a in program.parameters.values())
    assert lines[0].kilobytes == pytest.approx(4 * parameters / 1000)
    assert lines[1].kilobytes == pytest.approx(2 * parameters / 1000)  # 16 bits
    sizes = [line.kilobytes for line in lines[1:5]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4
    for line in lines:
        assert line.low <= line.fer <= line.high
        assert line.reference_fer == line.evaluator_fer
    float_fer, two_bits = lines[0].fer, lines[4].fer
    assert 0 < float_fer < two_bits  # a fifth of the labels was drawn


def test_all_utterances_checked_gives_the_error_of_all() -> None:
    program = calibrated(3)
    data = labelled(program)
    for line in measure("tiny", program, data, len(data)):
        assert line.fer == line.reference_fer == line.evaluator_fer


def test_forms() -> None:
    program = calibrated(3)
    one = measure("one", program, labelled(program), 1)
    two = measure("two", program, labelled(program), 1)[:2]
    rows = list(csv.DictReader(io.StringIO(as_csv(Line, [*one, *two]))))
    assert len(rows) == len(one) + 2
    assert float(rows[1]["fer"]) == one[1].fer
    assert rows[-1]["model"] == "two"
    text = as_markdown([*one, *two]).splitlines()
    assert text[0] == "| FER % (kB) | one | two |"
    assert text[2] == f"| float | {_cell(one[0])} | {_cell(two[0])} |"
    assert text[-1].endswith(" |  |")  # the second model lacks this row
    assert show(one).row_count == len(one)


def _cell(line: Any) -> str:
    return f"{100 * line.fer:.1f} ({line.kilobytes:.0f})"


def test_one_wrong_bit_ends_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    program = calibrated(3)
    right = Evaluator.outputs

    def wrong(self: Evaluator, widths: Any) -> Any:
        found = right(self, widths)
        found[2][1, 0] ^= 1
        return found

    monkeypatch.setattr(Evaluator, "outputs", wrong)
    with pytest.raises(MohaqError, match="differs from the integer reference") as error:
        measure("tiny", program, labelled(program), 4)
    assert "first at frame 1, channel 0" in str(error.value)
    assert "utterance 2" in str(error.value)


@pytest.mark.parametrize("checked", [0, 5])
def test_too_many_or_no_utterances_to_check(checked: int) -> None:
    program = calibrated(3)
    data: Dataset = labelled(program)
    with pytest.raises(MohaqError, match=f"cannot check {checked} utterances"):
        measure("tiny", program, data, checked)
