"""The local engine: the same outcomes for any number of workers, whatever they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from searches import KIND, NUMBER, BuggyRecipe, FakeCandidates, FakeRecipe

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Bound, Evaluation, Failure, Job, Outcome
from mohaq.compiler.search.local import PoolEngine, local_engine


def jobs(*kinds: int) -> list[Job]:
    return [Job.of(f"job{n}", {KIND: kind, NUMBER: n}) for n, kind in enumerate(kinds)]


def results(outcomes: list[Outcome]) -> dict[str, Evaluation | Failure | Bound]:
    return {o.key: o.result for o in outcomes}


def test_failures_are_outcomes(tmp_path: Path) -> None:
    engine = local_engine(FakeRecipe(str(tmp_path)), 0)
    found = results(list(engine.evaluate(jobs(2, 3, 4, 5, 2))))
    assert found["job0"] == Evaluation((0.0,), (100.0,), 0.0)
    assert found["job1"] == Failure("raised", "ZeroDivisionError: a model error")
    assert found["job2"] == Failure("not-finite", "the error is nan")
    assert found["job3"] == Failure("illegal", "does not fit")
    assert found["job4"] == Evaluation((4.0,), (100.0,), 0.04)


def test_dead_workers_are_replaced(tmp_path: Path) -> None:
    engine = PoolEngine(FakeRecipe(str(tmp_path)), 2, retries=1)
    try:
        found = list(engine.evaluate(jobs(2, 3, 6, 2, 7, 4, 2, 5, 2)))
    finally:
        engine.close()
    assert len(found) == 9
    by_key = {o.key: o for o in found}
    assert by_key["job4"].result == Failure("lost", "its worker died 2 times")
    assert by_key["job2"].result == Evaluation((2.0,), (100.0,), 0.02)
    assert by_key["job2"].tries == 2
    candidates = FakeCandidates(tmp_path)
    assert candidates.starts(2) == 2
    assert candidates.starts(4) == 2
    single = local_engine(FakeRecipe(str(tmp_path)), 0)
    safe = [job for job in jobs(2, 3, 6, 2, 2, 4, 2, 5, 2) if job.key not in {"job2", "job4"}]
    for outcome in single.evaluate(safe):
        assert outcome.result == by_key[outcome.key].result


def test_a_pool_serves_several_batches(tmp_path: Path) -> None:
    engine = PoolEngine(FakeRecipe(str(tmp_path)), 2)
    try:
        first = results(list(engine.evaluate(jobs(2, 2))))
        ids = engine.worker_ids()
        second = results(list(engine.evaluate(jobs(2, 2))))
        assert first == second
        assert engine.worker_ids() == ids
        os.kill(ids[0], signal.SIGKILL)  # between batches
        time.sleep(0.3)
        assert results(list(engine.evaluate(jobs(2, 2, 2)))).keys() == {"job0", "job1", "job2"}
    finally:
        engine.close()


def test_a_worker_that_hangs_is_killed(tmp_path: Path) -> None:
    engine = local_engine(FakeRecipe(str(tmp_path)), timeout=0.5)
    try:
        found = {o.key: o for o in engine.evaluate(jobs(2, 8, 3))}
        ids = engine.worker_ids()  # type: ignore[union-attr]
    finally:
        engine.close()
    assert found["job1"].result == Evaluation((1.0,), (100.0,), 0.01)
    assert found["job1"].tries == 2
    assert isinstance(found["job2"].result, Failure)
    assert not [i for i in ids if _alive(i)]


def test_closing_does_not_wait_for_a_running_job(tmp_path: Path) -> None:
    engine = PoolEngine(FakeRecipe(str(tmp_path)), 2)
    outcomes = engine.evaluate(jobs(2, 9, 2))
    assert {next(outcomes).key, next(outcomes).key} == {"job0", "job2"}
    ids = engine.worker_ids()
    engine.close()
    assert len(ids) == 2
    assert not [i for i in ids if _alive(i)]


class _Unloadable(FakeRecipe):
    def __reduce__(self) -> tuple[object, ...]:
        return (os._exit, (3,))  # what a script without a main guard looks like from here


def test_workers_that_cannot_start_end_the_search(tmp_path: Path) -> None:
    engine = PoolEngine(_Unloadable(str(tmp_path)), 1)
    with pytest.raises(MohaqError, match=r"died one after the other.*code 3.*\n.*__main__"):
        list(engine.evaluate(jobs(2)))
    engine.close()


def test_a_bug_in_a_worker_is_no_message_to_the_user(tmp_path: Path) -> None:
    engine = PoolEngine(BuggyRecipe(str(tmp_path)), 1)
    with pytest.raises(RuntimeError, match="our mistake"):
        list(engine.evaluate(jobs(2)))
    engine.close()


class _Broken:
    def build(self) -> FakeCandidates:
        raise MohaqError("cannot build")


def test_a_recipe_that_cannot_be_built_ends_the_search() -> None:
    engine = local_engine(_Broken(), 0)
    with pytest.raises(MohaqError, match="cannot build"):
        list(engine.evaluate(jobs(2)))


def test_worker_counts_are_checked() -> None:
    with pytest.raises(MohaqError, match="not negative"):
        local_engine(_Broken(), -1)


SCRIPT = """
import os, signal, sys
from searches import KIND, NUMBER, FakeRecipe
from mohaq.compiler.search.engine import Job
from mohaq.compiler.search.local import PoolEngine

if __name__ == "__main__":
    engine = PoolEngine(FakeRecipe(sys.argv[1]), 2)
    list(engine.evaluate([Job.of(str(n), {KIND: 2, NUMBER: n}) for n in range(4)]))
    print(*engine.worker_ids(), os.environ.get("OMP_NUM_THREADS"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    environment = {
        **{k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    *ids, threads = done.stdout.split()
    assert threads == "None"  # the parent's own environment is as it was
    assert ids
    deadline = time.monotonic() + 10
    while any(_alive(int(i)) for i in ids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [i for i in ids if _alive(int(i))]


def _alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self").exists()
    return status.rpartition(")")[2].split()[0] != "Z"
