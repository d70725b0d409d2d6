"""The lowered module prints, parses and verifies; what is printed is all there is."""

from __future__ import annotations

from pathlib import Path

from mohaq.backends.base import Options, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.machine import load_target
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.program import Program

from .programs import Built as BuiltProgram
from .programs import Spec, check_run, qnn_program, random_inputs

TARGET = load_target("bitfusion-e")


def test_a_saved_lowered_program_emits_the_same_files(tmp_path: Path) -> None:
    program = qnn_program(9, [Spec("sru", 5, 8, 16, "bidirectional"), Spec("fc", 3, 4, 4)], 0)
    legal = BACKEND.legalize(program, TARGET)
    lowered = BACKEND.lower(legal, TARGET, Options())
    lowered.save(tmp_path / "saved")
    ctx = MohaqContext()
    for dialect in BACKEND.dialects():
        ctx.load_dialect(dialect)
    again = Program.load(tmp_path / "saved", ctx)
    again.verify()
    assert again.text() == lowered.text()
    BACKEND.emit(lowered, tmp_path / "a", TARGET)
    BACKEND.emit(again, tmp_path / "b", TARGET)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    inputs = random_inputs(program, 7, 1, 0)
    check_run(BuiltProgram(legal, again, tmp_path / "b"), TARGET, inputs, Workload(7))
