"""Emitted projects compiled for the real instruction set: what the code holds, where it lies, and
that it computes the reference on a chip in Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from epiphany_chip import run_on_chip
from epiphany_emitted import emit_cell
from epiphany_toolchain import compile_device, requires_toolchain

pytestmark = requires_toolchain


def check_code(folder: Path) -> None:
    program = compile_device(folder, folder / "build")
    plan = json.loads((folder / "plan.json").read_text())
    functions = program.functions()
    kernels = {p["kernel"] for stage in plan["stages"] for p in stage["products"]}
    assert kernels
    for name in kernels:
        code = functions[f"_mohaq_{name}"]
        # A hardware loop with interrupts off, and products in the mode that it sets itself.
        for wanted in ("movts lc", "movts ls", "movts le", "movts config", "gid", "gie"):
            assert any(i.startswith(wanted) for i in code), f"{name} has no {wanted}"
        products = sum(i.startswith("fmadd") for i in code)  # imadd, as objdump calls it
        assert products >= (16 if name.startswith("tile4") else 8)
    sections = program.sections()
    bank = plan["constants"]["memory_bytes"] // 4
    code = plan["constants"]["code_bytes"]
    assert sections[".bss"][0] + sections[".bss"][1] <= code
    for row in plan["memory"]:
        address, size = sections[f".data_bank{row['bank']}"]
        assert address == (code if row["bank"] == 1 else row["bank"] * bank)
        assert row["used"] <= row["bytes"]
        assert size <= bank - (1024 if row["bank"] == 3 else 0)  # the stack is at its end
    # Nothing divides, and only kernels and start-up touch the arithmetic mode.
    assert not any("div" in name or "mod" in name for name in functions)
    switching = {n for n, code in functions.items() if any("movts config" in i for i in code)}
    # Sums of 64 bits are rescaled by the library's product, which switches and switches back.
    wide = "(int64_t)" in (folder / "device" / "cells.c").read_text()
    expected = {"_mohaq_reset", *(f"_mohaq_{name}" for name in kernels)}
    assert switching - ({"___muldi3"} if wide else set()) == expected


@pytest.mark.parametrize(
    ("target", "kind", "width"),
    [
        ("epiphany-e16", "sru", 4),
        ("epiphany-e16", "lstm", 8),
        pytest.param("epiphany-e16", "gru", 2, marks=pytest.mark.slow),
        pytest.param("epiphany-e16", "rnn", 16, marks=pytest.mark.slow),
        pytest.param("epiphany-e64", "sru", 8, marks=pytest.mark.slow),
    ],
)
def test_emitted_programs_run_on_the_chip(
    tmp_path: Path, target: str, kind: str, width: int
) -> None:
    made = emit_cell(tmp_path, target, kind, width, frames=5, batch=1)
    check_code(tmp_path)
    expected = np.concatenate([y.ravel() for y in made.expected])
    got = run_on_chip(tmp_path, tmp_path, made.inputs)
    np.testing.assert_array_equal(got, expected)
