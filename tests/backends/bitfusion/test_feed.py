"""Products that feed a recurrence inside its block: same bits, less traffic, never slower."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mohaq.backends.base import Options, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.isa.instructions import Section
from mohaq.backends.bitfusion.lowering import build
from mohaq.backends.bitfusion.module import read_module
from mohaq.compiler.interpreters.integer import run_integer

from .programs import Spec, qnn_program, random_inputs
from .test_recurrent import small, small_lstm

TARGET = BACKEND.load_target("bitfusion-e")


@pytest.mark.parametrize("widths", [(4, 4), (16, 2), (8, 16)])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("skip", ["none", "projected", "identity"])
def test_inside_or_apart(
    widths: tuple[int, int],
    direction: str,
    skip: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    units = 20 if direction == "bidirectional" else 40
    program = qnn_program(40, [Spec("sru", units, *widths, direction, skip)], 3, carried=True)
    legal = BACKEND.legalize(program, TARGET)
    inputs = random_inputs(program, 23, 2, 1)
    inside = BACKEND.lower(legal, TARGET, Options(prefer="energy"))
    assert any(
        isinstance(op, Section) and op.loop == block.post_loop
        for block in read_module(inside.module).blocks
        for op in block.post
    )
    fastest = BACKEND.lower(legal, TARGET, Options())
    BACKEND.emit(inside, tmp_path / "inside", TARGET)
    monkeypatch.setattr(build, "feeds_of", lambda _: {})
    apart = BACKEND.lower(legal, TARGET, Options(prefer="energy"))
    BACKEND.emit(apart, tmp_path / "apart", TARGET)
    runs = [BACKEND.simulate(tmp_path / n, inputs, Options()) for n in ("inside", "apart")]
    for one in runs:
        for ours, theirs in zip(one.outputs, run_integer(legal, inputs), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    moved = [
        sum(r.measured.total.counters[f"{d}_bits"] for d in ("dram_read", "dram_write", "chip"))
        for r in runs
    ]
    assert moved[0] < moved[1]
    totals = []
    for program_of in (fastest, inside, apart):
        runs_of = [Workload(frames, 1, carried_state=True) for frames in (100, 256)]
        each = [BACKEND.estimate(program_of, TARGET, w, Options()).total.cycles for w in runs_of]
        totals.append(sum(each))
    assert totals[0] <= 1.01 * min(totals[1:])


def test_what_does_not_fit_runs_apart(tmp_path: Path) -> None:
    program, inputs = small_lstm({"weight": 16, "recurrent": 16})
    target = small()
    legal = BACKEND.legalize(program, target)
    lowered = BACKEND.lower(legal, target, Options())
    blocks = read_module(lowered.module).blocks
    assert any(block.passes for block in blocks)
    BACKEND.emit(lowered, tmp_path, target)
    (found,) = BACKEND.simulate(tmp_path, inputs, Options()).outputs
    np.testing.assert_array_equal(found, run_integer(legal, inputs)[0])
