"""`mohaq-opt`: differences, dumps, times, numbers before and after each pass, reproducers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from programs import calibrated
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import shape_of
from mohaq.tools import catalogue, opt_driver
from mohaq.tools.opt import main

Capture = pytest.CaptureFixture[str]
INTEGERS = "uniform{bits=8},lower-to-qnn,simplify-integers"


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOHAQ_TRACEBACK", raising=False)
    program = calibrated()
    program.save(tmp_path / "net")
    features = shape_of(program.entry.args[0])[-1]
    rng = np.random.default_rng(0)
    data = rng.normal(size=(9, features)).astype(np.float32)
    np.savez(tmp_path / "x.npz", inputs=data, lengths=[9])
    return tmp_path / "net"


class Breaks(ModulePass):
    """Halves the scale of the first requantize: the outputs change."""

    name: ClassVar[str] = "break"

    def apply(self, _: Context, op: ModuleOp) -> None:
        found = next(o for o in op.walk() if isinstance(o, qnn.RequantizeOp))
        shifts = [s + 1 for _, s in found.scales()]
        made = qnn.RequantizeOp(found.input, [m for m, _ in found.scales()], shifts, 16)
        found.properties.update(made.properties)
        found.attributes.update(made.attributes)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = catalogue.all_passes
    monkeypatch.setattr(opt_driver, "all_passes", lambda: {**real(), "break": lambda: Breaks})


def test_differences_and_times(net: Path, capsys: Capture) -> None:
    assert main([str(net), "-p", INTEGERS, "-o", "out", "--print-ir-diff", "--time-passes"]) == 0
    told = capsys.readouterr().err
    assert "--- input" in told
    assert "+++ lower-to-qnn" in told
    assert re.search(r"^-.*nn\.linear", told, re.MULTILINE)
    assert re.search(r"^\+.*qnn\.matmul", told, re.MULTILINE)
    for name in ("uniform", "lower-to-qnn", "simplify-integers", "all"):
        assert re.search(rf"^ +\d+\.\d+ .*{name}$", told, re.MULTILINE)


def test_one_file_for_each_pass(net: Path, capsys: Capture) -> None:
    assert main([str(net), "-p", INTEGERS, "-o", "out", "--dump-dir", "dump"]) == 0
    names = sorted(p.name for p in Path("dump").iterdir())
    assert names == [
        "00-input.mlir", "01-uniform.mlir", "02-lower-to-qnn.mlir", "03-simplify-integers.mlir",
    ]  # fmt: skip
    assert "nn.linear" in Path("dump/01-uniform.mlir").read_text()
    assert "qnn.matmul" in Path("dump/03-simplify-integers.mlir").read_text()
    assert main([str(net), "-p", INTEGERS, "-o", "out2", "--dump-dir", "dump"]) == 2
    assert "not empty" in capsys.readouterr().err


def test_outputs_are_compared_after_each_pass(net: Path, capsys: Capture) -> None:
    assert main([str(net), "-p", INTEGERS, "-o", "out", "--check-each", "x.npz"]) == 0
    told = capsys.readouterr().err
    assert "// uniform: outputs as before" in told
    assert "// lower-to-qnn: layers to integers, outputs differ by at most" in told
    assert "// simplify-integers: outputs as before" in told


@pytest.mark.usefixtures("broken")
def test_the_pass_that_changes_outputs_is_named_and_can_be_replayed(
    net: Path, capsys: Capture
) -> None:
    line = [str(net), "-p", f"{INTEGERS},break", "-o", "out", "--check-each", "x.npz"]
    assert main([*line, "--reproducer", "bad/case.mlir"]) == 1
    told = capsys.readouterr().err
    assert "pass 'break' changed the outputs by up to" in told
    assert not Path("out").exists()
    assert main(["bad/case.mlir", "--replay", "--check-each", "x.npz"]) == 1
    assert "pass 'break' changed the outputs" in capsys.readouterr().err
    assert main(["bad/case.mlir", "--replay"]) == 0


def test_a_failing_pass_leaves_a_reproducer(net: Path, capsys: Capture) -> None:
    line = [str(net), "-p", "uniform{bits=8},lower-to-qnn,lower-to-qnn"]
    assert main([*line, "--reproducer", "again/case.mlir"]) == 2
    said = capsys.readouterr().err.partition("error: ")[2]
    assert main(["again/case.mlir", "--replay"]) == 2
    assert capsys.readouterr().err.partition("error: ")[2] == said
    assert main(["again/case.mlir", "--replay", "-p", "cse"]) == 2
    assert main(["net/program.mlir", "--replay"]) == 2
    assert "no reproducer" in capsys.readouterr().err
