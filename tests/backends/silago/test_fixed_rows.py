"""Values that a loop does not change: their rows stay in the tiles from step to step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import one_cell, one_sru, sequences
from silago_compiled import emitted, random_inputs
from silago_programs import fabric

from mohaq.backends.base import Options, Workload
from mohaq.backends.silago import BACKEND
from mohaq.backends.silago.isa.instructions import Mode
from mohaq.backends.silago.schedule.passes import Pass, segments
from mohaq.backends.silago.schedule.tasks import VectorTask
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.passes.calibrate import calibrate


@given(st.integers(2, 8), st.data())
def test_fixed_values_come_first(count: int, data: st.DataObject) -> None:
    """Rows of fixed values hold nothing else, and no more rows are needed than without them."""
    fixed = data.draw(st.sets(st.integers(0, count - 1)))
    passes = [Pass(Mode.ADD, 0, 1, count)]
    passes += [Pass(Mode.ADD, count + n - 2, n, count + n - 1) for n in range(2, count)]
    last = passes[-1].result
    (one,) = segments(passes, {last}, 99, wide=True, fixed=fixed)
    (plain,) = segments(passes, {last}, 99, wide=True)
    assert set(one.inputs) == set(plain.inputs) == set(range(count))
    assert one.rows == plain.rows
    assert set(one.inputs[: 4 * one.fixed]) <= fixed
    assert one.fixed >= len(fixed) // 4
    slots = {v: n for n, v in enumerate(one.inputs)}
    first = one.passes[0]
    assert (first.a, first.b) == (slots[0], slots[1])


@pytest.mark.parametrize(("count", "width"), [(1, 16), (2, 8), (20, 4)])
def test_the_cheapest_width_is_taken(count: int, width: int) -> None:
    """Few values leave room for more elements of each."""
    passes = [Pass(Mode.ADD, n, n + 1, count + n + 1) for n in range(count)]
    wanted = tuple(p.result for p in passes[:4])
    task = VectorTask(fabric("silago-mohaq"), 500, tuple(passes), wanted)
    assert {s.width for s in task.segments} == {width}
    for one in task.segments:
        assert len(one.inputs) * width <= 48
        assert len(one.outputs) * width <= 16


def vectors(extent: int) -> VectorTask:
    """Five inputs, of which four are fixed; two segments."""
    passes = [Pass(Mode.ADD, 0, 1, 5)]
    passes += [Pass(Mode.ADD, 4 + n, n % 5, 5 + n) for n in range(1, 20)]
    fixed = frozenset({0, 1, 2, 3})
    return VectorTask(fabric("silago-mohaq"), extent, tuple(passes), (24,), fixed)


def test_segments_have_rows_of_their_own() -> None:
    task = vectors(500)
    assert len(task.segments) > 1
    assert task.repeats
    ends = [task.base(s) + task.deal(s).rounds * (s.rows + 2) for s in task.segments]
    assert [task.base(s) for s in task.segments] == [0, *ends[:-1]]
    assert task.counts(1, again=True)["port_rows"] < task.counts(1)["port_rows"]
    assert task.counts(1, again=True)["run_cycles"] == task.counts(1)["run_cycles"]
    large = vectors(5000)
    assert not large.repeats
    assert {large.base(s) for s in large.segments} == {0}
    assert large.counts(3, again=True) == large.counts(3)


@pytest.mark.parametrize("batch", [1, 3])
def test_rows_stay_while_a_loop_goes_on(batch: int, tmp_path: Path) -> None:
    """Other words in the tiles would change the results."""
    program = one_sru(hidden=70, activation="tanh")
    calibrate(program, sequences(features=4))
    legal, lowered = emitted(program, "silago-mohaq", 8, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    scan = next(op for op in manifest["ops"] if op["op"] == "scan")
    (phase,) = scan["body"]
    assert any(segment["fixed"] for segment in phase["segments"])
    inputs = random_inputs(legal, 5, batch)
    done = BACKEND.simulate(tmp_path, inputs, Options())
    np.testing.assert_array_equal(done.outputs[0], run_integer(legal, inputs)[0])
    target = BACKEND.load_target("silago-mohaq")
    assert done.measured == BACKEND.estimate(lowered, target, Workload(5, batch), Options())
    phase["segments"][-1]["base"] = 0
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    wrong = BACKEND.simulate(tmp_path, inputs, Options())
    assert not np.array_equal(wrong.outputs[0], done.outputs[0])


def test_products_in_a_loop_leave_nothing_in_the_tiles(tmp_path: Path) -> None:
    program = one_cell("lstm", hidden=9)
    calibrate(program, sequences(features=4))
    emitted(program, "silago-mohaq", 8, tmp_path)
    assert '"fixed": 0' in (tmp_path / "manifest.json").read_text()
    assert '"fixed": 1' not in (tmp_path / "manifest.json").read_text()
