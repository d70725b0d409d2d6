"""One policy for all engines with workers: who gets which job, time limits, repeats.

A crew knows its workers and how to talk to them; each holds one job at most, so a dead worker
names the job that was running. `CrewEngine` decides the rest.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Failure, Job, Outcome
from mohaq.compiler.search.wire import Ready

POLL = 5.0
"""Seconds after which a crew is asked again though nothing was heard."""

MAIN_GUARD = (
    'a script that searches with workers needs `if __name__ == "__main__":` around the call'
)
"""Spawned workers run the caller's script again up to there."""

START_FAILURES = 3
"""Workers that may die one after the other before any of them was ready."""


@dataclass(frozen=True)
class Finished:
    """A worker has ended its job."""

    worker: str
    outcome: Outcome


@dataclass(frozen=True)
class Lost:
    """A worker is gone, and the job that it had with it."""

    worker: str


class Crew(Protocol):
    """Workers, replaced when they die. Worker names are not used twice."""

    grace: float
    """Seconds beyond a time limit before the crew is told to stop a worker."""

    def idle(self, wanted: int) -> Sequence[str]:
        """Workers that are ready for a job; starts up to `wanted` in all if there are fewer.

        Raises:
            MohaqError: there are no workers and there will be none.
        """
        ...

    def start(self, worker: str, job: Job) -> None:
        """Give an idle worker a job."""
        ...

    def wait(self, seconds: float) -> Sequence[Finished | Lost]:
        """What became of running jobs; returns when there is news, or after `seconds`.

        Raises:
            MohaqError: a worker says that nothing can be evaluated, or all of them die.
        """
        ...

    def stop(self, worker: str) -> None:
        """Give up a worker whatever it does; its job is not reported any more."""
        ...

    def worker_ids(self) -> list[int]:
        """Process ids of the ready workers."""
        ...

    def close(self) -> None:
        """Stop all workers; running jobs are lost."""
        ...


class CrewEngine:
    """Evaluates jobs on a crew.

    A job whose worker dies, or that takes longer than `timeout`, is started again up to `retries`
    times. The last time it has the machines to itself: then it is not the victim of another
    job's hunger.

    Args:
        crew: the workers.
        retries: repeats of a lost job before it counts as failed.
        timeout: seconds for one job; None waits for ever.
    """

    def __init__(self, crew: Crew, *, retries: int = 2, timeout: float | None = None) -> None:
        self._crew = crew
        self._retries = retries
        self._timeout = timeout

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Outcomes as they come."""
        batch = _Batch(jobs, self._retries)
        try:
            while batch.open:
                for worker in self._crew.idle(batch.open):
                    job = batch.next()
                    if job is None:
                        break
                    batch.running[worker] = (job, time.monotonic())
                    self._crew.start(worker, job)
                for event in self._crew.wait(self._pause(batch)):
                    job, started = batch.running.pop(event.worker)
                    if isinstance(event, Finished):
                        yield replace(event.outcome, tries=batch.tries[job.key])
                    else:
                        late = self._timeout is not None and self._since(started) >= self._timeout
                        yield from batch.lost(job, self._why(late=late))
                for worker in self._overdue(batch):
                    job, _ = batch.running.pop(worker)
                    self._crew.stop(worker)
                    yield from batch.lost(job, self._why(late=True))
        finally:
            for worker in batch.running:  # nobody waits for them any more
                self._crew.stop(worker)

    def close(self) -> None:
        """Stop the workers, whatever they do."""
        self._crew.close()

    def worker_ids(self) -> list[int]:
        """Process ids of the ready workers."""
        return self._crew.worker_ids()

    def _pause(self, batch: _Batch) -> float:
        if self._timeout is None:
            return POLL
        left = [self._limit - self._since(started) for _, started in batch.running.values()]
        return max(0.0, min([POLL, *left]))

    def _overdue(self, batch: _Batch) -> list[str]:
        if self._timeout is None:
            return []
        return [w for w, (_, at) in batch.running.items() if self._since(at) >= self._limit]

    @property
    def _limit(self) -> float:
        assert self._timeout is not None
        return self._timeout + self._crew.grace

    @staticmethod
    def _since(moment: float) -> float:
        return time.monotonic() - moment

    def _why(self, *, late: bool) -> str:
        return f"it gave no result within {self._timeout:g} s" if late else "its worker died"


class _Batch:
    """Jobs of one call: waiting, running, and how often each was started."""

    def __init__(self, jobs: Sequence[Job], retries: int) -> None:
        self._fresh = deque(jobs)
        self._again: deque[Job] = deque()
        self._retries = retries
        self.running: dict[str, tuple[Job, float]] = {}
        self.tries: Counter[str] = Counter()
        self._trouble: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @property
    def open(self) -> int:
        """Jobs without an outcome."""
        return len(self._fresh) + len(self._again) + len(self.running)

    def next(self) -> Job | None:
        """The job to start now, if any may be."""
        if any(1 < self.tries[job.key] > self._retries for job, _ in self.running.values()):
            return None  # a last try has the machines to itself
        last = next((job for job in self._again if self.tries[job.key] == self._retries), None)
        if last is not None:
            if self.running:
                return None
            self._again.remove(last)
        elif self._again or self._fresh:
            last = (self._again or self._fresh).popleft()
        if last is not None:
            self.tries[last.key] += 1
        return last

    def lost(self, job: Job, why: str) -> Iterator[Outcome]:
        """Note a lost try; an outcome when it was the last one."""
        self._trouble[job.key][why] += 1
        tries = self.tries[job.key]
        if tries <= self._retries:
            self._again.append(job)
            return
        said = ", ".join(
            f"{reason} {'once' if count == 1 else f'{count} times'}"
            for reason, count in self._trouble[job.key].items()
        )
        yield Outcome(job.key, Failure("lost", said), tries)


class StartFailures:
    """Counts workers that die before they are ready."""

    def __init__(self) -> None:
        self._count = 0

    def ready(self) -> None:
        """One has made it."""
        self._count = 0

    def died(self, why: str | None = None, hint: str | None = None) -> None:
        """One has not.

        Raises:
            MohaqError: it was one too many.
        """
        self._count += 1
        if self._count >= START_FAILURES:
            raise MohaqError(
                f"{self._count} workers died one after the other while they started",
                why=why,
                hint=hint,
            )


def check_versions(worker: str, ready: Ready) -> None:
    """Refuse a worker that would compute with other packages.

    Raises:
        MohaqError: the first package that differs.
    """
    for name, here in Ready.here().versions.items():
        there = ready.versions.get(name)
        if there != here:
            raise MohaqError(
                f"the worker {worker} has another {name}",
                why=f"{there} there, {here} here",
                hint="install the same packages on all machines",
            )
