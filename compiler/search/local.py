"""The local engine: in this process, or a pool of processes on this machine."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_handles
from multiprocessing.context import SpawnProcess
from typing import TypeAlias, cast

from mohaq.backends.base import IllegalAssignment
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.crew import MAIN_GUARD, CrewEngine, Finished, Lost, StartFailures
from mohaq.compiler.search.engine import Candidates, Failure, Job, Outcome, Recipe
from mohaq.compiler.search.stages import Staged
from mohaq.compiler.search.variants import variant
from mohaq.compiler.search.wire import (
    Ready,
    pack_bug,
    pack_job,
    pack_reply,
    unpack_job,
    unpack_reply,
)

Pipe: TypeAlias = "Connection[bytes, bytes]"

END_SECONDS = 5.0
"""How long an idle worker may take to end."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def run_job(candidates: Candidates, job: Job) -> Outcome:
    """Evaluate one job, turning whatever it raises into a failure.

    Raises:
        MohaqError: the job's beacon or part is not there; the fault is not the candidate's.
    """
    started = time.perf_counter()
    candidates = variant(candidates, job.beacon)
    if job.part != "all":
        if not isinstance(candidates, Staged):
            raise MohaqError("this evaluator knows no parts of the data")
        candidates = candidates.part(job.part)
    hits, misses = candidates.counters()
    try:
        result = candidates.evaluate(dict(job.widths))
        if not math.isfinite(result.value):
            raise FloatingPointError(f"the error is {result.value}")
    except IllegalAssignment as error:
        found: Failure | None = Failure("illegal", str(error))
    except FloatingPointError as error:
        found = Failure("not-finite", str(error))
    except Exception as error:  # noqa: BLE001  one bad candidate must not end the search
        found = Failure("raised", f"{type(error).__name__}: {error}")
    else:
        found = None
    after = candidates.counters()
    return Outcome(
        job.key,
        found or result,
        seconds=time.perf_counter() - started,
        hits=after[0] - hits,
        misses=after[1] - misses,
    )


class InProcessEngine:
    """Evaluates one job after the other in this process."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._candidates: Candidates | None = None

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Outcomes in the order of the jobs."""
        for job in jobs:
            if self._candidates is None:
                self._candidates = self._recipe.build()
            yield run_job(self._candidates, job)

    def close(self) -> None:
        """Forget the evaluator."""
        self._candidates = None


class LocalCrew:
    """Spawned processes on this machine, one BLAS thread each, started as they are needed."""

    grace = 0.0

    def __init__(self, recipe: Recipe, workers: int) -> None:
        if workers < 1:
            raise MohaqError(f"a pool has at least one worker, got {workers}")
        self._recipe = recipe
        self._workers = workers
        self._members: dict[str, _Member] = {}
        self._started = 0
        self._failures = StartFailures()

    def idle(self, wanted: int) -> Sequence[str]:
        """Ready workers; starts up to `wanted`, which dead idle ones do not count for."""
        for name, member in list(self._members.items()):
            if member.job is None and member.ready and not member.process.is_alive():
                self._drop(name)
        while len(self._members) < min(wanted, self._workers):
            self._started += 1
            self._members[f"process {self._started}"] = _start_member(self._recipe)
        return [name for name, m in self._members.items() if m.ready and m.job is None]

    def start(self, worker: str, job: Job) -> None:
        """Send a job; that the worker has just died shows in `wait`."""
        member = self._members[worker]
        member.job = job
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            member.pipe.send_bytes(pack_job(job))

    def wait(self, seconds: float) -> Sequence[Finished | Lost]:
        """See `Crew`."""
        by_pipe = {member.pipe: name for name, member in self._members.items()}
        events: list[Finished | Lost] = []
        for pipe in wait_for_handles(list(by_pipe), seconds):
            name = by_pipe[cast("Pipe", pipe)]
            member = self._members[name]
            try:
                reply = unpack_reply(member.pipe.recv_bytes())
            except (EOFError, ConnectionResetError):
                if member.job is not None:
                    events.append(Lost(name))
                member.process.join(END_SECONDS)  # for its exit code
                self._drop(name)
                if not member.ready:
                    self._failures.died(
                        f"the last one with exit code {member.process.exitcode}",
                        MAIN_GUARD,
                    )
                continue
            if isinstance(reply, MohaqError):
                raise reply  # of the whole search, not of one candidate
            if isinstance(reply, Outcome):
                member.job = None
                events.append(Finished(name, reply))
            else:
                member.ready = True
                self._failures.ready()
        return events

    def stop(self, worker: str) -> None:
        """Kill a worker."""
        if worker in self._members:
            self._drop(worker)

    def worker_ids(self) -> list[int]:
        """Process ids of the ready workers."""
        members = self._members.values()
        return sorted(m.process.pid for m in members if m.ready and m.process.pid is not None)

    def close(self) -> None:
        """Kill the workers; idle ones may end by themselves, which a closed pipe tells them."""
        for member in self._members.values():
            member.pipe.close()
            if not member.ready or member.job is not None:
                member.process.kill()
        for name in list(self._members):
            self._members[name].process.join(END_SECONDS)
            self._drop(name)

    def _drop(self, name: str) -> None:
        member = self._members.pop(name)
        member.pipe.close()
        member.process.kill()
        member.process.join()


@dataclass
class _Member:
    """A worker process of this machine."""

    process: SpawnProcess
    pipe: Pipe
    ready: bool = False
    job: Job | None = None


def _start_member(recipe: Recipe) -> _Member:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, recipe), daemon=True)
    with one_thread_each(), no_interrupts():
        process.start()
    theirs.close()  # so that its death closes the pipe
    return _Member(process, mine)


class PoolEngine(CrewEngine):
    """The local crew with the policy of all engines."""

    def __init__(
        self, recipe: Recipe, workers: int, *, retries: int = 2, timeout: float | None = None
    ) -> None:
        super().__init__(LocalCrew(recipe, workers), retries=retries, timeout=timeout)


def local_engine(
    recipe: Recipe, workers: int = 0, *, retries: int = 2, timeout: float | None = None
) -> InProcessEngine | PoolEngine:
    """In process for 0 or 1 workers, else a pool; a time limit needs a process that can be killed."""
    if workers < 0:
        raise MohaqError(f"the number of workers is not negative, got {workers}")
    if workers > 1 or timeout is not None:
        return PoolEngine(recipe, max(1, workers), retries=retries, timeout=timeout)
    return InProcessEngine(recipe)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes started inside use one BLAS thread.

    Their libraries read these variables on import, before any code of ours can run there.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def no_interrupts() -> Iterator[None]:
    """Let threads and processes started inside never see Ctrl-C, which a terminal sends to all.

    They inherit the mask; the parent's own interrupt waits until the end.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would lift the mask again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Pipe, recipe: Recipe) -> None:
    """A worker process: build the evaluator, then job by job until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where masks cannot do it
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            candidates = recipe.build()
        except MohaqError as error:
            pipe.send_bytes(pack_reply(error))
            return
        except Exception:  # noqa: BLE001  the parent raises it again
            pipe.send_bytes(pack_bug(traceback.format_exc()))
            return
        pipe.send_bytes(pack_reply(Ready.here()))
        while True:
            job = unpack_job(pipe.recv_bytes())
            try:
                reply: Outcome | MohaqError = run_job(candidates, job)
            except MohaqError as error:
                reply = error  # of the whole search, not of this candidate
            pipe.send_bytes(pack_reply(reply))


def _end_with(sentinel: int) -> None:
    """End with the parent even when that is killed."""
    wait_for_handles([sentinel])
    os._exit(1)
