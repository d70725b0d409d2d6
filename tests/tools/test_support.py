"""`mohaq support` and the page it writes."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from mohaq.tools.cli import app
from mohaq.tools.support.forms import FORMS
from mohaq.tools.support.page import page
from mohaq.tools.support.probe import probe

PAGE = Path(__file__).parents[2] / "docs" / "support.md"
RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_the_page_says_what_is_so() -> None:
    made = page(list(probe(FORMS)))
    assert made == PAGE.read_text(), "write it anew: mohaq support --write docs/support.md"


def test_one_operation_with_the_reasons() -> None:
    result = RUNNER.invoke(app, ["support", "lengths"])
    assert result.exit_code == 0
    assert "lengths of sequences have no integer form" in result.output
    assert "from ONNX: LSTM" in result.output


def test_an_unknown_operation_and_a_part_of_the_page() -> None:
    result = RUNNER.invoke(app, ["support", "lstn"])
    assert result.exit_code == 2
    assert "no operation 'lstn'" in result.output + str(result.stderr)
