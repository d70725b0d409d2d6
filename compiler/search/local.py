"""The local engine: in this process, or a pool of processes on this machine."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_handles

from mohaq.backends.base import IllegalAssignment
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Candidates, Failure, Job, Outcome, Recipe
from mohaq.compiler.search.variants import variant

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def run_job(candidates: Candidates, job: Job) -> Outcome:
    """Evaluate one job, turning whatever it raises into a failure.

    Raises:
        MohaqError: the job's beacon is not there; the fault is not the candidate's.
    """
    started = time.perf_counter()
    candidates = variant(candidates, job.beacon)
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


class PoolEngine:
    """A pool of spawned processes, one BLAS thread each.

    When a worker dies, all jobs that were running are started again one by one, so that only
    the guilty one uses up its `retries`.
    """

    def __init__(self, recipe: Recipe, workers: int, *, retries: int = 2) -> None:
        if workers < 1:
            raise MohaqError(f"a pool has at least one worker, got {workers}")
        self._recipe = recipe
        self._workers = workers
        self._retries = retries
        self._pool: ProcessPoolExecutor | None = None

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Outcomes as they come."""
        waiting, suspects = deque(jobs), deque[Job]()
        tries: Counter[str] = Counter()
        running: dict[Future[Outcome | MohaqError], Job] = {}
        while waiting or suspects or running:
            lost: list[Job] = []
            while len(running) < (1 if suspects else self._workers) and (suspects or waiting):
                job = (suspects or waiting).popleft()
                tries[job.key] += 1
                try:
                    running[self._submit(job)] = job
                except BrokenProcessPool:
                    lost.append(job)
                    break
                if tries[job.key] > 1:
                    break
            done, _ = wait(running, return_when=FIRST_COMPLETED) if running else (set(), None)
            for future in done:
                job = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    lost.append(job)
                    continue
                if isinstance(outcome, MohaqError):
                    raise outcome
                yield Outcome(
                    outcome.key,
                    outcome.result,
                    tries[job.key],
                    outcome.seconds,
                    outcome.hits,
                    outcome.misses,
                )
            if lost:
                lost.extend(running.values())
                running.clear()
                self._drop()
                for job in lost:
                    if tries[job.key] <= self._retries:
                        suspects.append(job)
                    else:
                        why = f"its worker process died {tries[job.key]} times"
                        yield Outcome(job.key, Failure("lost", why), tries[job.key])

    def close(self) -> None:
        """Stop the workers after their current jobs."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def worker_ids(self) -> list[int]:
        """Process ids of the running workers."""
        held = getattr(self._pool, "_processes", None) or {}
        return sorted(held)

    def _submit(self, job: Job) -> Future[Outcome | MohaqError]:
        with _one_thread_each():  # a submit may start a process
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._workers,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_start_worker,
                )
            return self._pool.submit(_work, self._recipe, job)

    def _drop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def local_engine(
    recipe: Recipe, workers: int = 0, *, retries: int = 2
) -> InProcessEngine | PoolEngine:
    """In process for 0 or 1 workers, else a pool."""
    if workers < 0:
        raise MohaqError(f"the number of workers is not negative, got {workers}")
    return PoolEngine(recipe, workers, retries=retries) if workers > 1 else InProcessEngine(recipe)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
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


_built: dict[Recipe, Candidates] = {}


def _start_worker() -> None:
    """Leave interrupts to the parent, and end with it even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for_handles([sentinel])
    os._exit(1)


def _work(recipe: Recipe, job: Job) -> Outcome | MohaqError:
    try:
        if recipe not in _built:
            _built[recipe] = recipe.build()
        return run_job(_built[recipe], job)
    except MohaqError as error:
        return error  # of the whole search, not of this candidate
