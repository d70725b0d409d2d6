"""The bench of Epiphany kernels prints a line a kernel, with and without a cross compiler."""

from __future__ import annotations

import pytest

from mohaq.backends.epiphany.analyzer import KERNELS, kernel_cycles
from mohaq.backends.epiphany.analyzer.disassembly import cross_tool
from mohaq.tools.bench.epiphany_kernels import bench, main


def test_every_kernel_has_a_line() -> None:
    lines: list[str] = []
    bench(16, lines.append)
    rows = {line.split("|")[1].strip(): line.split("|") for line in lines if "mohaq_" in line}
    assert rows.keys() == KERNELS.keys()
    for name, cells in rows.items():
        assert float(cells[3]) == pytest.approx(
            kernel_cycles(name, 16) / (16 * KERNELS[name].macs), abs=1e-3
        )
        if cross_tool("gcc") is not None:
            assert float(cells[5]) > 4 * float(cells[2])


def test_odd_columns_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--columns", "6"])
    assert stop.value.code == 2
    assert "multiple of 4" in capsys.readouterr().err
