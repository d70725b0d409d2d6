"""Compile and run through the public interface, on the reference target."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from programs import calibrated, sequences, sru, tensor

import mohaq
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.driver import CompiledFolder, reference_outputs
from mohaq.compiler.network import Network

TARGETS = ("reference", "bitfusion-e", "epiphany-e16")


@pytest.mark.parametrize("target", TARGETS)
def test_compile_then_run_is_bit_exact(tmp_path: Path, target: str) -> None:
    program = calibrated()
    mixed = Assignment({Slot("fc", "input"): 8, Slot("fc", "weight"): 8}, 4)
    stages: list[str] = []
    made = mohaq.compile(program, target, mixed, tmp_path / "out", progress=stages.append)
    assert made.estimate.total.cycles > 0
    assert "emit" in stages
    opened = CompiledFolder(tmp_path / "out")
    data = sequences(9, lengths=(1, 2, 13))
    runs = list(opened.run_all(data, check=True))
    assert all(run.equal for run in runs)
    expected = reference_outputs(opened.stage("3-legalized"), data)
    for run, real in zip(runs, expected, strict=True):
        np.testing.assert_array_equal(run.outputs, real)


@pytest.mark.parametrize("target", TARGETS)
def test_running_needs_no_ir(tmp_path: Path, target: str) -> None:
    mohaq.compile(calibrated(), target, Assignment.uniform(8), tmp_path / "out")
    data = sequences()[0]
    before = CompiledFolder(tmp_path / "out").run(data)
    for path in tmp_path.rglob("*.mlir"):
        path.unlink()
    after = CompiledFolder(tmp_path / "out").run(data)
    np.testing.assert_array_equal(before.outputs, after.outputs)


@pytest.mark.parametrize("target", TARGETS)
def test_compiling_twice_gives_the_same_bytes(tmp_path: Path, target: str) -> None:
    for name in ("a", "b"):
        mohaq.compile(calibrated(), target, Assignment.uniform(4), tmp_path / name / "out")
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert files
    for one in files:
        assert (tmp_path / "a" / one).read_bytes() == (tmp_path / "b" / one).read_bytes(), one


@pytest.mark.parametrize("target", TARGETS)
def test_chunks_equal_the_whole_sequence(tmp_path: Path, target: str) -> None:
    """State is carried through the emitted program (forward models)."""
    rng = np.random.default_rng(2)
    net = Network()
    x, state = net.sequence(4), net.state(1, 5)
    h, end = sru(net, rng, "l0", x, 4, 5, direction="forward", initial_state=state)
    y = net.linear("fc", h, tensor(rng, 3, 5))
    program = net.finish([y, end])
    data = sequences(2, features=4, lengths=(12,))
    mohaq.calibrate(program, data)
    mohaq.compile(program, target, Assignment.uniform(4), tmp_path / "out")
    opened = CompiledFolder(tmp_path / "out")
    whole = opened.run(data[0], check=True)
    assert whole.equal
    parts, states = [], None
    for chunk in np.split(data[0], [1, 5, 6]):
        ran = opened.run(chunk, states=states, check=True)
        assert ran.equal
        states = ran.states
        parts.append(ran.outputs)
    np.testing.assert_array_equal(np.concatenate(parts), whole.outputs)
    assert states is not None
    np.testing.assert_array_equal(states[0], whole.states[0])
    with pytest.raises(MohaqError, match="takes 1 states"):
        opened.run(data[0], states=[])


def test_errors_leave_the_old_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    mohaq.compile(calibrated(), "reference", Assignment.uniform(8), out)
    before = (out / "manifest.json").read_bytes()
    with pytest.raises(MohaqError, match="not calibrated for 5 bits"):
        mohaq.compile(calibrated(), "reference", Assignment.uniform(5), out)
    with pytest.raises(MohaqError, match="did you mean 'reference'"):
        mohaq.compile(calibrated(), "referense", Assignment.uniform(8), out)
    assert (out / "manifest.json").read_bytes() == before


def test_damaged_folders(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no such manifest"):
        CompiledFolder(tmp_path)
    out = tmp_path / "out"
    mohaq.compile(calibrated(), "reference", Assignment.uniform(8), out)
    data = json.loads((out / "manifest.json").read_text())
    del data["inputs"]
    (out / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(MohaqError, match="manifest is damaged"):
        CompiledFolder(out)


def test_sequences_are_checked(tmp_path: Path) -> None:
    mohaq.compile(calibrated(), "reference", Assignment.uniform(8), tmp_path / "out")
    opened = CompiledFolder(tmp_path / "out")
    with pytest.raises(MohaqError, match=r"\[T, F\]"):
        opened.run(np.zeros(5))
    with pytest.raises(MohaqError, match="NaN"):
        opened.run(np.full((3, 5), np.nan))
    with pytest.raises(MohaqError):
        opened.run(np.zeros((3, 4)))
