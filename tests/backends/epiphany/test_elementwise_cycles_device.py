"""Elementwise constants of the targets beside compiled cells through the scoreboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from epiphany_emitted import emit_cell
from epiphany_profile import cycles_by_function
from epiphany_toolchain import requires_toolchain

from mohaq.backends.epiphany import BACKEND
from mohaq.backends.epiphany.counters import ELEMENT_KINDS
from mohaq.backends.epiphany.machine import Machine, machine_of

pytestmark = [requires_toolchain, pytest.mark.slow]

TARGET, FRAMES = "epiphany-e16", 8
COUNT = re.compile(r"MOHAQ_COUNT_ELEMENTS\(MOHAQ_(\w+), (\d+)u \* units0\)")


def measured(folder: Path, kind: str, units: int, machine: Machine) -> int:
    """Cycles of core 0 in the cell function, for so many units on each core."""
    made = emit_cell(folder, TARGET, kind, 8, frames=FRAMES, batch=1, hidden=units * machine.cores)
    return cycles_by_function(folder, folder, made.inputs)["cell_0"]


@pytest.mark.parametrize("kind", ["sru", "lstm", "gru"])
def test_constants_are_those_of_compiled_cells(tmp_path: Path, kind: str) -> None:
    machine = machine_of(BACKEND.load_target(TARGET))
    few, many = (measured(tmp_path / str(n), kind, n, machine) for n in (2, 3))
    cell = (many - few) / FRAMES  # of one unit and step; a call's own share falls out
    source = (tmp_path / "3" / "device" / "cells.c").read_text()
    counts = [(name.lower(), int(n)) for name, n in COUNT.findall(source)]
    assert counts
    assert {name for name, _ in counts} <= set(ELEMENT_KINDS)
    model = sum(n * machine.whole(f"{name}_cycles") for name, n in counts)
    assert cell == pytest.approx(model, rel=0.15)
