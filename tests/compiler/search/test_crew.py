"""What all engines have in common: repeats, time limits, messages, packed evaluators, options."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import calibrated
from searches import labelled

from mohaq.backends.registry import find_target
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search import engines
from mohaq.compiler.search.crew import CrewEngine, Finished, Lost, StartFailures, check_versions
from mohaq.compiler.search.engine import Evaluation, Failure, Job, Outcome
from mohaq.compiler.search.engines import EngineOptions
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.recipe import EvaluatorRecipe, write_inputs
from mohaq.compiler.search.search import search
from mohaq.compiler.search.wire import (
    Ready,
    pack_bug,
    pack_job,
    pack_reply,
    unpack_job,
    unpack_reply,
)

GOOD = Evaluation((1.0,), (2.0,), 0.5)


class ScriptedCrew:
    """Two workers. A job is a text: each letter is a try that ends well (.), dies (x) or hangs (h)."""

    grace = 0.0

    def __init__(self) -> None:
        self.running: dict[str, Job] = {}
        self.tries: Counter[str] = Counter()
        self.log: list[tuple[str, int, set[str]]] = []
        self.stopped: list[str] = []
        self._made = 2
        self._workers = ["w1", "w2"]

    def idle(self, wanted: int) -> Sequence[str]:
        assert wanted > 0
        return [w for w in self._workers if w not in self.running]

    def start(self, worker: str, job: Job) -> None:
        self.running[worker] = job
        self.tries[job.key] += 1
        running = {j.key for j in self.running.values()}
        self.log.append((job.key, self.tries[job.key], running))

    def wait(self, seconds: float) -> Sequence[Finished | Lost]:
        for worker, job in list(self.running.items()):
            match job.key[self.tries[job.key] - 1]:
                case ".":
                    del self.running[worker]
                    return [Finished(worker, Outcome(job.key, GOOD))]
                case "x":
                    self._replace(worker)
                    return [Lost(worker)]
        time.sleep(seconds)
        return []

    def stop(self, worker: str) -> None:
        self.stopped.append(self.running[worker].key)
        self._replace(worker)

    def worker_ids(self) -> list[int]:
        return []

    def close(self) -> None:
        pass

    def _replace(self, worker: str) -> None:
        self.running.pop(worker)
        self._made += 1
        self._workers = [*(w for w in self._workers if w != worker), f"w{self._made}"]


def evaluate(crew: ScriptedCrew, *scripts: str, **facts: float) -> dict[str, Outcome]:
    engine = CrewEngine(crew, **facts)  # type: ignore[arg-type]
    found = list(engine.evaluate([Job(text, ()) for text in scripts]))
    assert len(found) == len(scripts)
    return {o.key: o for o in found}


def test_a_lost_job_is_repeated_and_the_last_time_alone() -> None:
    crew = ScriptedCrew()
    found = evaluate(crew, "xx.", ".", ".a", "x.", ".b", ".c", "xxx")
    assert found["xx."] == Outcome("xx.", GOOD, 3)
    assert found["x."].tries == 2
    assert found["xxx"] == Outcome("xxx", Failure("lost", "its worker died 3 times"), 3)
    assert found[".a"].tries == 1
    assert crew.tries == {"xx.": 3, ".": 1, ".a": 1, "x.": 2, ".b": 1, ".c": 1, "xxx": 3}
    for n, (key, tries, running) in enumerate(crew.log):
        if tries == 3:
            assert running == {key}
            assert n + 1 == len(crew.log) or key not in crew.log[n + 1][2]
    assert {tries for _, tries, running in crew.log if len(running) == 2} == {1, 2}


def test_without_retries_a_loss_is_final() -> None:
    found = evaluate(ScriptedCrew(), "x.", ".", retries=0)
    assert found["x."] == Outcome("x.", Failure("lost", "its worker died once"), 1)


def test_a_job_beyond_its_time_is_stopped_and_repeated() -> None:
    crew = ScriptedCrew()
    found = evaluate(crew, "h.", ".", ".a", "hxh", timeout=0.02)
    assert found["h."] == Outcome("h.", GOOD, 2)
    why = "it gave no result within 0.02 s 2 times, its worker died once"
    assert found["hxh"] == Outcome("hxh", Failure("lost", why), 3)
    assert sorted(crew.stopped) == ["h.", "hxh", "hxh"]


def test_jobs_of_an_abandoned_batch_are_stopped() -> None:
    crew = ScriptedCrew()
    outcomes = CrewEngine(crew).evaluate([Job(".", ()), Job("h", ())])
    assert next(outcomes).key == "."
    outcomes.close()  # type: ignore[attr-defined]
    assert crew.stopped == ["h"]


names = st.text(min_size=1, max_size=6)
floats = st.floats(allow_nan=False)
results = st.one_of(
    st.builds(Failure, st.sampled_from(["illegal", "raised", "not-finite", "lost"]), names),
    st.builds(
        Evaluation,
        st.lists(floats, max_size=3).map(tuple),
        st.lists(floats, max_size=3).map(tuple),
        floats,
    ),
)


@settings(deadline=None)
@given(
    st.dictionaries(st.builds(Slot, names, names), st.integers(2, 16)),
    results,
    st.floats(0, 9),
    st.integers(0, 9),
)
def test_messages_come_back_as_they_were(
    widths: dict[Slot, int], result: Evaluation | Failure, seconds: float, count: int
) -> None:
    job = Job.of("key", widths, "beacon" * (count % 2))
    assert unpack_job(pack_job(job)) == job
    outcome = Outcome("key", result, 2, seconds, count, count + 1)
    assert unpack_reply(pack_reply(outcome)) == outcome


def test_other_messages() -> None:
    ready = unpack_reply(pack_reply(Ready.here()))
    assert ready == Ready.here()
    error = unpack_reply(pack_reply(MohaqError("what", where="w", hint="h")))
    assert isinstance(error, MohaqError)
    assert error.message() == "w: what\n  hint: h"
    with pytest.raises(RuntimeError, match="deep inside"):
        unpack_reply(pack_bug("deep inside"))


def test_workers_with_other_packages_are_refused() -> None:
    check_versions("w", Ready.here())
    with pytest.raises(MohaqError, match=r"the worker w has another numpy \(1\.0 there"):
        check_versions("w", Ready(1, {**Ready.here().versions, "numpy": "1.0"}))


def test_workers_that_die_at_once_end_the_search() -> None:
    failures = StartFailures()
    failures.died()
    failures.died()
    failures.ready()
    failures.died()
    failures.died()
    with pytest.raises(MohaqError, match=r"3 workers died one after the other.*\(because\)"):
        failures.died("because")


@pytest.mark.parametrize("own_target", [False, True])
def test_a_packed_evaluator_is_the_same(tmp_path: Path, own_target: bool) -> None:
    program = calibrated(7)
    data = labelled(program)
    _, target = find_target("bitfusion-e")
    if own_target:
        assert target.path is not None
        (tmp_path / "mine.toml").write_bytes(target.path.read_bytes())
        _, target = find_target(str(tmp_path / "mine.toml"))
    (tmp_path / "run").mkdir()
    recipe = write_inputs(tmp_path / "run", program, target, data, "fer", 1 << 20)
    (tmp_path / "there").mkdir()
    there = EvaluatorRecipe.unpack(recipe.pack(), tmp_path / "there")
    assert there.memory_bytes == 1 << 20
    assert str(tmp_path / "run") not in str(there)
    widths = {Slot(layer, slot): 4 for layer in ("l0", "pr1", "l1", "fc") for slot in ("weight", "input")}  # fmt: skip
    mine, theirs = recipe.build(), there.build()
    assert mine.evaluate(widths) == theirs.evaluate(widths)
    assert isinstance(mine, Evaluator)
    assert isinstance(theirs, Evaluator)
    for one, other in zip(mine.outputs(widths), theirs.outputs(widths), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_packed_file_stays_in_its_folder(tmp_path: Path) -> None:
    from safetensors.numpy import save

    data = save({"../out": np.zeros(1, np.uint8), "recipe.json": np.frombuffer(b"{}", np.uint8)})
    (tmp_path / "in").mkdir()
    with pytest.raises(MohaqError, match="outside its folder"):
        EvaluatorRecipe.unpack(data, tmp_path / "in")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"engine": "dsk"}, r"no engine 'dsk'\n  hint: did you mean 'dask'"),
        ({"workers": -1}, "not negative, got -1"),
        ({"timeout": 0.0}, "a time limit is positive, got 0 s"),
        ({"retries": -1}, "retries is not negative"),
        ({"address": "here:1"}, "'local' takes no address"),
    ],
)
def test_engines_that_cannot_be(facts: dict[str, object], message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        EngineOptions(**facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_an_engine_that_is_not_installed(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    program = calibrated(7)
    with pytest.raises(MohaqError, match=rf"'{name}' is not installed\n.*mohaq\[{name}\]"):
        search(
            program, target="reference", data=labelled(program), out=tmp_path / "run",
            engine=name,  # type: ignore[arg-type]
        )  # fmt: skip
    assert not (tmp_path / "run").exists()
