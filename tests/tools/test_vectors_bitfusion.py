"""`python -m mohaq.tools.vectors bitfusion`: rows of the published simulator, recomputed."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mohaq.backends.bitfusion.schedule.compat import Tiling, evaluate, search
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.boundary import CheckFailed
from mohaq.tools.vectors.__main__ import app
from mohaq.tools.vectors.bitfusion.command import bitfusion
from mohaq.tools.vectors.bitfusion.file import load_rows

ROWS = Path(__file__).parents[1] / "data" / "bitfusion" / "rows.csv"


def changed(tmp_path: Path, number: int, **fields: str) -> Path:
    """The file with some fields of one row replaced."""
    rows = list(csv.DictReader(ROWS.read_text().splitlines()))[: number + 1]
    rows[number].update(fields)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows[number:])
    path = tmp_path / "rows.csv"
    path.write_text(text.getvalue())
    return path


def test_all_measured_rows_agree(capsys: pytest.CaptureFixture[str]) -> None:
    bitfusion(ROWS)
    assert "28 of 28 rows agree" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_cycles", "119834"),
        ("dram_read_bits", "12358137"),
        ("obuf_write_bits", "1"),
        ("energy_nJ", "351112.2935"),
        ("energy_sram_nJ", "3550.1819"),
        ("stationary", "WS"),
        ("num_oc", "103"),
        ("perf_factor", "8"),
        ("tile_b", "4"),
        ("loop_order", "B>OC>IC"),
    ],
)
def test_a_changed_figure_is_a_difference(
    field: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckFailed, match="1 of 1 rows differ"):
        bitfusion(changed(tmp_path, 0, **{field: value}))
    assert "the file says" in capsys.readouterr().out


def test_a_better_tiling_than_the_search_knows_is_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Another tiling of the second row, with all figures of its own.
    row = load_rows(ROWS)[1]
    found = evaluate(row.product, Tiling(2, 23, 32, ("IC", "OC", "B")), row.machine)
    assert found is not None
    assert found.total_cycles > row.whole["total_cycles"]
    path = changed(
        tmp_path,
        1,
        total_cycles=str(found.total_cycles),
        tile_b="2",
        tile_oc="32",
    )
    with pytest.raises(CheckFailed):
        bitfusion(path)
    assert "cycles of our search: 115419" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("config", "conf.ini", "unknown config"),
        ("loop_order", "B>B>OC", "unknown loop order"),
        ("T", "0", "'T' must be"),
        ("T", "1e3", "'T' must be"),
        ("wbits", "3", "2, 4, 8 or 16 bits"),
        ("energy_nJ", "nan", "'energy_nJ' must be a number"),
        ("total_cycles", "-1", "'total_cycles' must be"),
    ],
)
def test_malformed_fields_are_named(field: str, value: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match=what) as caught:
        load_rows(changed(tmp_path, 0, **{field: value}))
    assert "row 1" in caught.value.message()


def test_bad_files_end_with_2_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    for text in ("", "a,b\n1,2\n", ROWS.read_text().splitlines()[0] + "\n1,2\n", "\0"):
        path.write_text(text)
        result = CliRunner().invoke(app, ["bitfusion", str(path)])
        assert result.exit_code == 2
        assert "Traceback" not in result.output
    assert CliRunner().invoke(app, ["bitfusion", str(tmp_path / "none.csv")]).exit_code == 2


def test_sixteen_bits_follow_the_rule_of_passes() -> None:
    row = load_rows(ROWS)[2]
    eight = search(row.product, row.machine)
    both = search(replace(row.product, a_bits=16, w_bits=16), row.machine)
    assert both.compute_cycles == 4 * eight.compute_cycles
    assert both.energy_core_nj == pytest.approx(4 * eight.energy_core_nj)


def test_our_schedules_are_printed_beside_the_rooflines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bitfusion(changed(tmp_path, 4), schedule=True)
    text = capsys.readouterr().out
    assert text.count("refconv") == text.count("physical") == 2
    assert text.count("of 1 rows 0 slower, 0 dearer") == 2


def test_a_schedule_slower_than_the_row_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mohaq.tools.vectors.bitfusion import command

    monkeypatch.setattr(command, "differences", lambda _: [])
    path = changed(tmp_path, 0, total_cycles="10401", energy_nJ="1.0")
    with pytest.raises(CheckFailed, match="not what they should be"):
        bitfusion(path, schedule=True)
    text = capsys.readouterr().out
    assert "slower than the reference" in text
    assert "1 dearer" in text
