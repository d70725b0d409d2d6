"""Early stop: the same populations and fronts with it or without, and bounds that are none less."""

from __future__ import annotations

import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import calibrated
from searches import labelled

from mohaq.backends.base import FloatArray
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import get_metric, metric_names
from mohaq.compiler.program import Program
from mohaq.compiler.search.early_stop import Split, split_of, undecided
from mohaq.compiler.search.engine import Evaluation
from mohaq.compiler.search.front import FRONT_FILE
from mohaq.compiler.search.nsga2 import Nsga2
from mohaq.compiler.search.progress import Progress
from mohaq.compiler.search.record import RECORD_FILE
from mohaq.compiler.search.search import search
from mohaq.compiler.search.settings import Constraints, SearchSettings

SMALL: dict[str, Any] = {"generations": 12, "population": 8, "offspring": 6}
TWO: dict[str, Any] = {**SMALL, "objectives": ("error", "size")}
CASES: dict[str, dict[str, Any]] = {
    "two objectives": TWO,
    "another seed": {**TWO, "seed": 5},
    "one objective": {**SMALL, "objectives": ("error",)},
    "a limit": {**TWO, "constraints": Constraints(max_error=0.4)},
    "three objectives": {**SMALL, "objectives": ("error", "latency", "speedup")},
    "nsga3 and a limit": {**SMALL, "population": 4, "constraints": Constraints(max_error=0.35)},
    "a limit alone": {
        **SMALL,
        "objectives": ("size", "latency"),
        "constraints": Constraints(max_error=0.4),
    },
}
STOPPING = ("two objectives", "one objective", "a limit", "nsga3 and a limit")
"""Cases in which candidates are stopped."""


@pytest.fixture(scope="module")
def program() -> Program:
    return calibrated(7)


@pytest.fixture(scope="module")
def data(program: Program) -> Dataset:
    return labelled(program, lengths=(9, 3, 14, 6, 20, 11))


def front(folder: Path) -> Any:
    return json.loads((folder / FRONT_FILE).read_text())


def populations(folder: Path) -> list[Any]:
    with sqlite3.connect(folder / RECORD_FILE) as base:
        return list(base.execute("SELECT * FROM generations ORDER BY number"))


@pytest.mark.parametrize("case", CASES)
def test_populations_and_fronts_are_the_same(
    case: str, program: Program, data: Dataset, tmp_path: Path
) -> None:
    for name, early in (("on", True), ("off", False)):
        search(
            program,
            target="reference",
            data=data,
            out=tmp_path / name,
            early_stop=early,
            **CASES[case],
        )
    assert populations(tmp_path / "on") == populations(tmp_path / "off")
    on, off = front(tmp_path / "on"), front(tmp_path / "off")
    evaluated, whole = on.pop("evaluated"), off.pop("evaluated")
    assert on == off
    stopped = 0
    for one, other in zip(evaluated, whole, strict=True):
        if "bound" not in one:
            assert one == other
            continue
        stopped += 1
        assert "error" not in one["objectives"]
        assert not one["feasible"]
        assert one["bound"] <= other["objectives"]["error"]
        assert (one["genome"], one["generation"]) == (other["genome"], other["generation"])
    assert stopped or case not in STOPPING
    for name in (p["assignment"] for p in on["front"]):
        assert (tmp_path / "on" / name).read_bytes() == (tmp_path / "off" / name).read_bytes()


def test_any_number_of_workers_stops_the_same(
    program: Program, data: Dataset, tmp_path: Path
) -> None:
    for workers in (0, 2):
        out = tmp_path / str(workers)
        search(program, target="reference", data=data, out=out, workers=workers, **TWO)
    found = [(tmp_path / name / FRONT_FILE).read_bytes() for name in "02"]
    assert found[0] == found[1]
    assert b'"bound"' in found[0]


def test_an_interrupted_search_decides_the_same(
    program: Program, data: Dataset, tmp_path: Path
) -> None:
    """Stopped after any number of evaluations, bounds among them."""
    seen: list[Progress] = []
    whole = tmp_path / "whole"
    search(program, target="reference", data=data, out=whole, observer=seen.append, **TWO)
    stopped = seen[-1].stopped
    assert stopped == sum("bound" in p for p in front(whole)["evaluated"]) > 0
    total = seen[-1].evaluated
    for stop in (total // 2, total - 3):
        out = tmp_path / str(stop)

        def interrupt(state: Progress, stop: int = stop) -> None:
            if state.event == "evaluated" and state.evaluated == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            search(program, target="reference", data=data, out=out, observer=interrupt, **TWO)
        again: list[Progress] = []
        search(program, target="reference", data=data, out=out, observer=again.append, **TWO)
        assert (out / FRONT_FILE).read_bytes() == (whole / FRONT_FILE).read_bytes()
        assert again[-1].evaluated + stop == total
        assert again[-1].stopped == stopped


def test_a_bound_is_no_error_for_a_search_that_needs_it(
    program: Program, data: Dataset, tmp_path: Path
) -> None:
    search(program, target="reference", data=data, out=tmp_path, **TWO)
    with sqlite3.connect(tmp_path / RECORD_FILE) as base:
        ok = "SELECT key FROM evaluations WHERE status = 'ok'"
        bounds = dict(base.execute(f"SELECT key, bound FROM bounds WHERE key NOT IN ({ok})"))
    assert bounds
    seen: list[Progress] = []
    search(
        program,
        target="reference",
        data=data,
        out=tmp_path,
        early_stop=False,
        observer=seen.append,
        **TWO,
    )
    assert seen[-1].evaluated == len(bounds)
    assert seen[-1].stopped == 0
    assert not any("bound" in p for p in front(tmp_path)["evaluated"])
    with sqlite3.connect(tmp_path / RECORD_FILE) as base:
        errors = dict(base.execute("SELECT key, value FROM evaluations"))
    assert all(bound <= errors[key] for key, bound in bounds.items())


def test_metrics_without_a_bound_are_run_to_the_end(program: Program, tmp_path: Path) -> None:
    data = labelled(program, lengths=(9, 3, 14))
    targets = tuple(np.eye(3, dtype=np.float32)[y] for y in data.labels)
    squares = Dataset(data.inputs, targets, label_kind="frame")
    search(program, target="reference", data=squares, out=tmp_path, metric="mse", **TWO)
    with sqlite3.connect(tmp_path / RECORD_FILE) as base:
        assert base.execute("SELECT count(*) FROM bounds").fetchone() == (0,)
    has = {name: getattr(get_metric(name), "lower_bound", False) for name in metric_names()}
    assert not has.pop("mse")  # sums of squares depend on their order in the last bits
    assert all(has.values())


def test_where_nothing_can_stop() -> None:
    error = ("error", "latency")
    assert SearchSettings(objectives=error).stops_early
    assert not SearchSettings(objectives=error, early_stop=False).stops_early
    assert not SearchSettings(objectives=error, algorithm="exhaustive").stops_early
    assert not SearchSettings(objectives=error, algorithm="nsga3").stops_early
    limits = Constraints(max_error=0.3)
    assert SearchSettings(objectives=error, algorithm="nsga3", constraints=limits).stops_early
    assert not SearchSettings(objectives=("size",)).stops_early


@given(
    errors=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    lengths=st.integers(1, 30),
)
@settings(max_examples=50, deadline=None)
def test_parts_join_to_the_whole(errors: list[int], lengths: int) -> None:
    totals = tuple(float(10 + i) for i in range(len(errors)))
    whole = Evaluation(tuple(map(float, errors)), totals, sum(errors) / sum(totals))
    split = split_of(whole, [lengths + i for i in range(len(errors))])
    if split is None:
        return
    assert sorted((*split.first, *split.rest)) == list(range(len(errors)))
    parts = [
        Evaluation(tuple(whole.errors[i] for i in p), tuple(totals[i] for i in p), 0.0)
        for p in (split.first, split.rest)
    ]
    assert split.joined(*parts) == whole
    assert split.bound(parts[0]) <= whole.value
    if len(parts[1].totals):
        liar = Evaluation(parts[1].errors, tuple(t + 1 for t in parts[1].totals), 0.0)
        with pytest.raises(MohaqError, match="depend on the outputs"):
            split.joined(parts[0], liar)


def walked(
    table: FloatArray, errors_first: FloatArray, limit: float, seed: int, *, early: bool
) -> tuple[list[list[int]], int]:
    """Populations of a search over 4 x 4 x 4 genomes with values [64, M], error first.

    With `early`, candidates without a chance are told their bound, and nothing else.
    """
    search = Nsga2(np.array([3, 3, 3]), table.shape[1], population=6, offspring=4, seed=seed)
    everything = list(itertools.product(range(4), repeat=3))
    asked, stopped = [], 0
    for _ in range(10):
        genomes = search.ask()
        if genomes is None:
            break
        asked.append(sorted(everything.index(tuple(g)) for g in genomes.tolist()))
        rows = [everything.index(tuple(g)) for g in genomes.tolist()]
        told = table[rows].copy()
        parents = search.parents()
        if early and parents is not None:
            bounds = told.copy()
            bounds[:, 0] = errors_first[rows]
            waiting = list(range(len(rows)))
            known = parents.tolist()
            while waiting:
                more = undecided(
                    np.array(known).reshape(-1, table.shape[1]),
                    bounds[waiting],
                    bounds[waiting, 0] > limit,
                    6,
                    ranked=True,
                )
                going = [w for w, m in zip(waiting, more, strict=True) if m]
                if not going:
                    break
                known += [told[w].tolist() for w in going if told[w, 0] <= limit]
                waiting = [w for w in waiting if w not in going]
            told[waiting] = bounds[waiting]
            stopped += len(waiting)
        search.tell(told, np.maximum(told[:, 0] - limit, 0.0))
        pop = search.parents()
        assert pop is not None
        asked.append(pop.tolist())
    return asked, stopped


@given(
    seed=st.integers(0, 10_000),
    objectives=st.integers(1, 3),
    levels=st.integers(2, 30),
    limit=st.sampled_from([0.3, 0.7, 9.0]),
    share=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_populations_over_synthetic_tables(
    seed: int, objectives: int, levels: int, limit: float, share: float
) -> None:
    """Few levels make ties and equal values; the bound is any share of the error."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, levels, (64, objectives)) / levels
    first = table[:, 0] * share * rng.random(64)
    off, _ = walked(table, first, limit, seed, early=False)
    on, _ = walked(table, first, limit, seed, early=True)
    assert on == off


def test_a_candidate_that_may_survive_is_run() -> None:
    """Three survive; the first front of what is known has three members."""
    known = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    bounds = np.array([[1.0, 4.0], [1.5, 2.5], [2.0, 2.0], [0.5, 9.0], [3.0, 3.0]])
    none = np.zeros(5, dtype=bool)
    chosen = undecided(known, bounds, none, 3, ranked=True)
    assert chosen.tolist() == [False, True, True, True, False]
    assert undecided(known, bounds, none, 4, ranked=True).all()
    assert undecided(known, bounds, none, 3, ranked=False).all()
    assert not undecided(known, bounds, ~none, 3, ranked=False).any()
    # A fourth pushes one of them back: only members of the front that is cut can exclude.
    more = np.array([*known, [1.5, 0.5]])
    assert undecided(more, bounds[:1], none[:1], 3, ranked=True).tolist() == [True]


def test_the_hardest_sequences_come_first() -> None:
    full = Evaluation((1.0, 5.0, 0.0, 2.0), (10.0, 10.0, 10.0, 10.0), 0.2)
    assert split_of(full, [10, 10, 10, 10]) == Split((0, 1, 3), full.totals)
    assert split_of(full, [10, 20, 10, 20]) == Split((1, 3), full.totals)
    assert split_of(full, [10, 1, 90, 1]) == Split((0, 1, 3), full.totals)
    assert split_of(Evaluation((1.0,), (2.0,), 0.5), [7]) is None
    assert split_of(Evaluation((1.0, 0.0), (2.0, 0.0), 0.5), [7, 2]) is None
