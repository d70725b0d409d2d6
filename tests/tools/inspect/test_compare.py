"""`mohaq inspect` on two subjects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inspected import row, rows, shown

from mohaq.compiler.assignment import Assignment, Slot


def test_two_assignments(place: Path, tmp_path: Path) -> None:
    other = Assignment({Slot("l0", "weight"): 2, Slot("l0", "input"): 4, Slot("fc", "weight"): 8})
    other.save(tmp_path / "other.json")
    text = shown(place / "mixed.json", tmp_path / "other.json")
    assert row(text, "l0") == ["l0", "4", "2", "4", "4"]
    assert row(text, "fc") == ["fc", "8", "8", "", ""]
    assert "1 of 3 widths differ" in text
    assert shown(place / "mixed.json", "--diff", tmp_path / "other.json") == text
    assert "all 2 widths are the same" in shown(place / "mixed.json", place / "mixed.json")


def test_two_compiled_folders(place: Path) -> None:
    text = shown(place / "reference", place / "narrow")
    assert rows(text, "Bits")[1] == ["pr1", "8", "4", "8", "4"]
    assert "6 of 8 widths differ" in text
    one, other = (
        json.loads((place / n / "estimate.json").read_text())["total"]["cycles"]
        for n in ("reference", "narrow")
    )
    assert rows(text, "Estimates")[-1][1:3] == [f"{one:,}", f"{other:,}"]
    assert "emitted/" not in text
    assert "program.json" in [r[0] for r in rows(text, "Emitted files that differ")]
    same = shown(place / "reference", place / "reference")
    assert "the operations are the same" in same
    assert "emitted files are the same" in same
    assert "parameters are the same" in same
    assert "Emitted files" not in shown(place / "reference", place / "silago-mohaq")


def test_two_programs(place: Path) -> None:
    text = shown(place / "reference/2-qnn", place / "narrow/2-qnn")
    left = [r[0] for r in rows(text, "Operations") if r[0] != r[1]]
    assert any(cell.startswith("qnn.matmul  pr1") for cell in left)
    assert not any(cell.startswith("qnn.slice") for cell in left)
    assert "parameters differ" in text
    by_stage = shown(place / "reference", place / "narrow", "--stage", "2-qnn")
    assert rows(by_stage, "Operations of 2-qnn") == rows(text, "Operations")
    mixed = shown(place / "mixed.json", place / "reference/1-quantized")
    assert "all 8 widths are the same" in mixed


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrower is green, wider red; text that looks like markup stays text."""
    from rich.console import Console

    from mohaq.tools.inspect import terminal
    from mohaq.tools.inspect.blocks import Cell, Table

    made = Console(width=80, force_terminal=True, color_system="standard", record=True, file=None)
    monkeypatch.setattr(terminal, "console", lambda: made)
    with made.capture() as captured:
        terminal.print_blocks(
            [
                Table(
                    "Bits",
                    ("a", "b"),
                    [(Cell("[red]4", ""), Cell("2", "less")), ("", Cell("8", "more"))],
                )
            ],
            0,
        )
    text = captured.get()
    assert "[red]4" in text
    assert "\x1b[32m2\x1b[0m" in text
    assert "\x1b[31m8\x1b[0m" in text
