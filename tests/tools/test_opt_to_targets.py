"""Pipelines of `mohaq-opt` down to every backend: the program that `mohaq compile` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from programs import sequences, speech_like

from mohaq.backends.registry import find_target, get_backend
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.driver import compile_program
from mohaq.compiler.program import Program
from mohaq.tools.opt import main

CASES = [
    ("bitfusion-e", 4, "energy"),
    ("silago-mohaq", 16, "latency"),
    ("silago1-nn", 16, "latency"),
    ("epiphany-e16", 8, "balanced"),
    ("reference", 2, "latency"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that is not calibrated, with calibration data and an assignment beside it."""
    made = tmp_path_factory.mktemp("net")
    speech_like().save(made)
    inputs = sequences()
    np.savez(made / "cal.npz", inputs=np.concatenate(inputs), lengths=[len(x) for x in inputs])
    return made


@pytest.mark.parametrize(("target", "bits", "prefer"), CASES)
def test_same_program_as_compile(
    folder: Path, tmp_path: Path, target: str, bits: int, prefer: str
) -> None:
    from mohaq.backends.base import options_of
    from mohaq.compiler.analysis.layers import layer_table

    backend, machine = find_target(target)
    Assignment.uniform(bits).save(folder / "bits.json")
    before = "fold-batchnorm,calibrate{data=cal.npz granularity=per-channel}"
    calibrated = tmp_path / "calibrated"
    assert main([str(folder), "-p", before, "-o", str(calibrated)]) == 0
    program = Program.load(calibrated)
    rules = {
        f"scales={legal.scale_kind} granularity={legal.granularity}"
        for legal in (backend.legality(layer, machine) for layer in layer_table(program))
    }
    (rule,) = rules
    goal = f"target={target} prefer={prefer}" if backend.name != "silago" else f"prefer={prefer}"
    text = (
        f"{before},apply-assignment{{file=bits.json {rule}}},lower-to-qnn,"
        f"legalize-for-{backend.name}{{target={target}}},lower-to-{backend.name}{{{goal}}}"
    )
    assert main([str(folder), "-p", text, "-o", str(tmp_path / "lowered")]) == 0
    compile_program(
        program, target, Assignment.uniform(bits), tmp_path / "out", options=options_of(prefer)
    )
    stage = tmp_path / "out" / f"4-{backend.name}"
    made = (tmp_path / "lowered" / "program.mlir").read_text()
    assert made == (stage / "program.mlir").read_text()
    assert (tmp_path / "lowered" / "parameters.safetensors").read_bytes() == (
        stage / "parameters.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("backend", ["bitfusion", "epiphany", "reference", "silago"])
def test_every_backend_has_both_passes(backend: str) -> None:
    brought = get_backend(backend).passes()
    assert {f"legalize-for-{backend}", f"lower-to-{backend}"} <= set(brought)


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("lower-to-bitfusion", "run legalize-for-bitfusion first"),
        ("lower-to-epiphany", "run legalize-for-epiphany first"),
        ("lower-to-silago", "run legalize-for-silago first"),
        ("legalize-for-silago", "powers of two"),
        ("lower-to-bitfusion{prefer=fast}", "no preference 'fast'"),
        ("lower-to-silago{prefer=latencey}", "did you mean 'latency'"),
        ("lower-to-epiphany{target=epiphany-e61}", "or 'epiphany-e16'"),
        ("legalize-for-reference{target=refrence}", "did you mean 'reference'"),
    ],
)
def test_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], pipeline: str, said: str
) -> None:
    text = f"calibrate{{data=cal.npz}},uniform,lower-to-qnn,{pipeline}"
    assert main([str(folder), "-p", text]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("error: ") == 1


@pytest.mark.parametrize(
    "option", ["scales=power-of-to", "granularity=per-row", "scales=per-tensor"]
)
def test_unknown_scales(folder: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert main([str(folder), "-p", f"calibrate{{data=cal.npz}},uniform{{{option}}}"]) == 2
    assert "no scales or granularity" in capsys.readouterr().err
