"""`mohaq support` and the page it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mohaq.backends.reference import BACKEND
from mohaq.tools.cli import app
from mohaq.tools.support import probe as probe_module
from mohaq.tools.support.forms import FORMS
from mohaq.tools.support.page import page
from mohaq.tools.support.probe import probe, shipped, targets

PAGE = Path(__file__).parents[2] / "docs" / "support.md"
RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_the_page_says_what_is_so() -> None:
    made = page(list(probe(FORMS, shipped())))
    assert made == PAGE.read_text(), "write it anew: make reference"


def test_backends_of_others_are_not_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(type(BACKEND)):  # type: ignore[misc]
        name = "foreign"

    Foreign.__module__ = "somebody.backend"
    both = {"foreign": Foreign(), "reference": BACKEND}
    monkeypatch.setattr(probe_module, "usable_backends", lambda: (both, {}))
    assert [b.name for b, _ in targets()] == ["foreign", "reference"]
    assert [b.name for b, _ in shipped()] == ["reference"]


def test_one_operation_with_the_reasons() -> None:
    result = RUNNER.invoke(app, ["support", "lengths"])
    assert result.exit_code == 0
    assert "lengths of sequences have no integer form" in result.output
    assert "from ONNX: LSTM" in result.output


def test_an_unknown_operation_and_a_part_of_the_page() -> None:
    result = RUNNER.invoke(app, ["support", "lstn"])
    assert result.exit_code == 2
    assert "no operation 'lstn'" in result.output + str(result.stderr)
