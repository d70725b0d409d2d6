"""The Dask engine: workers of a running cluster, or of one on this machine for one search."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import dask
import distributed

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.crew import (
    MAIN_GUARD,
    Finished,
    Lost,
    StartFailures,
    check_versions,
)
from mohaq.compiler.search.engine import Job, Outcome, PortableRecipe
from mohaq.compiler.search.local import no_interrupts, one_thread_each
from mohaq.compiler.search.remote import Evaluating, Unpack
from mohaq.compiler.search.wire import pack_job, unpack_reply

CONNECT_SECONDS = 10
"""How long a scheduler may take to answer."""

LOOK = 1.0
"""Seconds between two looks at the list of workers."""

NO_WORKERS_SECONDS = 60.0
"""How long a cluster may be without workers."""

OWN = {
    # A job whose worker died comes back to us, not to another worker.
    "distributed.scheduler.allowed-failures": 0,
    # A worker that dies again while it is replaced would be given up 15 s after its first death.
    "distributed.deploy.lost-worker-timeout": "1000 h",
    # Nothing to look at, and no port for it.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Configuration of a cluster of our own."""


class EvaluatingPlugin(distributed.WorkerPlugin):  # type: ignore[misc]  # untyped base
    """Holds the evaluator of one search in every worker, also in those that come later."""

    def __init__(self, name: str, unpack: Unpack, data: bytes) -> None:
        self.name = name
        self._unpack = unpack
        self._data = data

    def setup(self, worker: object) -> None:  # noqa: ARG002
        """Keep the bytes; `prepare` builds from them."""
        _held[self.name] = Evaluating(self._unpack, self._data)

    def teardown(self, worker: object) -> None:  # noqa: ARG002
        """Forget them."""
        _held.pop(self.name, None)


_held: dict[str, Evaluating] = {}


def _prepare(name: str) -> bytes:
    return _held[name].prepare()


def _work(name: str, job: bytes, limit: float | None) -> bytes:
    return _held[name].work(job, limit)


@dataclass
class _Member:
    """A worker. `future` is that of `_prepare` until it is ready, then that of its job or None."""

    future: Any = None
    pid: int = 0
    ready: bool = False


class DaskCrew:
    """Workers of a Dask cluster, one job each at a time.

    Args:
        recipe: sent to the workers as bytes.
        workers: how many to use. 0: all of the cluster; on this machine one a core.
        address: of the scheduler; None starts a cluster on this machine, which only this
            machine can reach and which ends with the search.
        timeout: seconds after which a worker ends itself.
    """

    grace = 5.0

    def __init__(
        self,
        recipe: PortableRecipe,
        workers: int = 0,
        *,
        address: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._recipe = recipe
        self._workers = workers
        self._address = address
        self._timeout = timeout
        self._name = f"mohaq-{secrets.token_hex(8)}"
        self._end = contextlib.ExitStack()
        self._client: distributed.Client | None = None
        self._members: dict[str, _Member] = {}
        self._left: set[str] = set()
        self._news: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._late: list[tuple[str, Any]] = []
        self._failures = StartFailures()
        self._looked = -LOOK
        self._alone_since: float | None = None
        self._events: list[Finished | Lost] = []

    def idle(self, wanted: int) -> Sequence[str]:  # noqa: ARG002  the cluster has its size
        """See `Crew`."""
        self._look()
        return [name for name, m in self._members.items() if m.ready and m.future is None]

    def start(self, worker: str, job: Job) -> None:
        """Submit a job for this worker alone."""
        self._submit(worker, self._members[worker], _work, pack_job(job), self._timeout)

    def wait(self, seconds: float) -> Sequence[Finished | Lost]:
        """See `Crew`."""
        with contextlib.suppress(Empty):
            if not self._events:
                self._hear(*self._news.get(timeout=min(seconds, LOOK)))
            while True:
                self._hear(*self._news.get_nowait())
        for news in self._late:
            self._news.put(news)
        self._late = []
        self._look()
        found, self._events = self._events, []
        return found

    def stop(self, worker: str) -> None:
        """Leave this worker alone; if it can, it ends itself when its job takes too long."""
        member = self._members.pop(worker, None)
        if member is not None:
            self._left.add(worker)
            self._cancel(member)

    def worker_ids(self) -> list[int]:
        """Process ids of the ready workers."""
        return sorted(m.pid for m in self._members.values() if m.ready)

    def close(self) -> None:
        """End the cluster, or leave it as it was found."""
        self._members.clear()
        self._end.close()
        self._client = None

    def _connect(self) -> distributed.Client:
        if self._client is not None:
            return self._client
        address: str | distributed.LocalCluster
        if self._address is None:
            address = self._end.enter_context(self._own_cluster())
        else:
            address = self._address
        with _explained(self._address):
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        self._end.callback(client.close)
        self._client = client
        with _explained(self._address):
            plugin = EvaluatingPlugin(self._name, type(self._recipe).unpack, self._recipe.pack())
            client.register_plugin(plugin)
        if self._address is not None:
            self._end.callback(self._leave, client)
        return client

    def _leave(self, client: distributed.Client) -> None:
        if client.status != "running":
            return
        with contextlib.suppress(OSError, TimeoutError):  # the scheduler may be gone
            client.unregister_worker_plugin(self._name)

    @contextlib.contextmanager
    def _own_cluster(self) -> Iterator[distributed.LocalCluster]:
        with (
            TemporaryDirectory(prefix="mohaq-dask-", ignore_cleanup_errors=True) as folder,
            dask.config.set({**OWN, "temporary-directory": folder}),
        ):
            try:
                with one_thread_each(), no_interrupts():
                    cluster = distributed.LocalCluster(
                        n_workers=self._workers or None,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address="127.0.0.1:0",
                        memory_limit=0,  # the evaluator has its own
                        local_directory=folder,
                        silence_logs=logging.CRITICAL,  # dead workers are our news
                    )
            except (OSError, RuntimeError, TimeoutError) as error:
                raise MohaqError(
                    "Dask could not start its workers", why=str(error), hint=MAIN_GUARD
                ) from None
            try:
                yield cluster
            finally:
                cluster.close()

    def _look(self) -> None:
        """Meet new workers and miss dead ones."""
        client = self._connect()
        if time.monotonic() - self._looked < LOOK:
            return
        if client.status == "closed":
            raise _silent(self._address, "it did not come back")
        with _explained(self._address):
            present = list(client.nthreads())
        self._looked = time.monotonic()
        self._left &= set(present)  # a new worker may get the address of a dead one
        for name in [name for name in self._members if name not in present]:
            self._miss(name)
        for name in present:
            room = self._address is None or not self._workers or len(self._members) < self._workers
            if room and name not in self._members and name not in self._left:
                self._members[name] = _Member()
                self._submit(name, self._members[name], _prepare)
        if self._members:
            self._alone_since = None
        else:
            now = time.monotonic()
            self._alone_since = self._alone_since or now
            if now - self._alone_since > NO_WORKERS_SECONDS:
                raise MohaqError(
                    f"the Dask cluster has had no worker for {NO_WORKERS_SECONDS:g} s",
                    where=self._address,
                    hint="start workers and repeat the command; it goes on where it stopped",
                )

    def _submit(self, name: str, member: _Member, function: object, *args: object) -> None:
        assert self._client is not None
        with _explained(self._address):
            member.future = self._client.submit(
                function,
                self._name,
                *args,
                key=f"{self._name}-{secrets.token_hex(8)}",
                workers=[name],
                allow_other_workers=False,
                pure=False,
                retries=0,
            )
        member.future.add_done_callback(lambda future: self._news.put((name, future)))

    def _hear(self, name: str, future: Any) -> None:
        member = self._members.get(name)
        if member is None or member.future is not future:
            return  # given up
        if future.status != "finished":
            error = future.exception() if future.status == "error" else None
            if error is not None and not isinstance(error, distributed.KilledWorker):
                raise MohaqError(
                    f"the worker {name} cannot run mohaq's code",
                    why=f"{type(error).__name__}: {error}",
                    hint="install the same mohaq on all machines of the cluster",
                )
            self._miss(name)
            return
        try:
            reply = unpack_reply(future.result(timeout=LOOK))
        except (TimeoutError, distributed.client.CancelledError):
            # Results stay with the worker until they are fetched: one may die with it.
            with _explained(self._address):
                gone = self._client is None or name not in self._client.nthreads()
            if gone:
                self._miss(name)
            else:
                self._late.append((name, future))
            return
        member.future = None
        future.release()
        if isinstance(reply, MohaqError):
            raise reply
        if isinstance(reply, Outcome):
            self._events.append(Finished(name, reply))
        else:
            check_versions(name, reply)
            member.ready, member.pid = True, reply.pid
            self._failures.ready()

    def _miss(self, name: str) -> None:
        """A worker is gone."""
        member = self._members.pop(name)
        self._cancel(member)
        if not member.ready:
            self._failures.died()
        elif member.future is not None:
            self._events.append(Lost(name))

    def _cancel(self, member: _Member) -> None:
        if member.future is not None:
            with _explained(self._address):
                member.future.cancel(force=True)


@contextlib.contextmanager
def _explained(address: str | None) -> Iterator[None]:
    """One message for a scheduler that does not answer."""
    try:
        yield
    except (OSError, TimeoutError, ValueError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise _silent(address, why) from None


def _silent(address: str | None, why: str) -> MohaqError:
    return MohaqError(
        "the Dask scheduler does not answer",
        where=address,
        why=why,
        hint="`dask scheduler` prints its address, e.g. tcp://10.0.0.1:8786; what was evaluated is"
        " kept, the same command goes on",
    )
