"""Cycles of the compiled runtime by the scoreboard, beside the figures that target files use."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from epiphany_chip import Chip, chip_with
from epiphany_sample import write_sample
from epiphany_toolchain import DeviceProgram, compile_device, requires_toolchain

from mohaq.backends.epiphany.analyzer.disassembly import cross_tool
from mohaq.backends.epiphany.analyzer.scoreboard import Scoreboard

pytestmark = requires_toolchain

BARRIER = (45, 3)  # cycles, and cycles a core; without the time on the mesh
PUSH = (40, 4)  # cycles, and cycles a store of 4 or 8 bytes


def loaded(folder: Path, rows: int, cols: int) -> tuple[Chip, DeviceProgram]:
    write_sample(folder, rows, cols)
    program = compile_device(folder, folder / "build")
    chip = chip_with(program.path, str(cross_tool("objdump")), (rows, cols, 0x808), 0)
    place = program.symbols()["_mohaq_place"]
    struct.pack_into("<II", chip.cores[0].memory.data, place, 0, 0x80800000)
    chip.cores[0].special["config"] = 4 << 17
    return chip, program


def cycles(chip: Chip, name: str, arguments: list[int]) -> int:
    board = Scoreboard()
    for step in chip.cores[0].call(name, arguments):
        board.issue(step.instruction, taken=step.taken, loop_end=step.loop_end)
    return board.totals.cycles


@pytest.mark.parametrize("side", [4, 8])
def test_a_barrier_costs_what_targets_say(tmp_path: Path, side: int) -> None:
    chip, program = loaded(tmp_path, side, side)
    cores = side * side
    marks = next(a for name, a in program.symbols().items() if name.startswith("_arrived"))
    chip.cores[0].memory.data[marks : marks + cores] = b"\1" * cores  # the others are there
    assert cycles(chip, "mohaq_barrier", []) == pytest.approx(BARRIER[0] + BARRIER[1] * cores, 0.1)


@pytest.mark.parametrize("stores", [1, 2, 4, 8, 16, 32])
def test_a_push_costs_what_targets_say(tmp_path: Path, stores: int) -> None:
    chip, _ = loaded(tmp_path, 4, 4)
    wide = cycles(chip, "mohaq_push", [1, 0x4000, 0x6000, 8 * stores])
    narrow = cycles(chip, "mohaq_push", [1, 0x4004, 0x6000, 4 * stores])
    assert wide == pytest.approx(PUSH[0] + PUSH[1] * stores, rel=0.15, abs=9)
    assert narrow == pytest.approx(PUSH[0] + PUSH[1] * stores, rel=0.15, abs=9)
