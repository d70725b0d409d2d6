"""The Ray engine: actors on a running cluster, or on one on this machine for one search."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.crew import Finished, Lost, StartFailures, check_versions
from mohaq.compiler.search.engine import Job, Outcome, PortableRecipe
from mohaq.compiler.search.local import no_interrupts, one_thread_each
from mohaq.compiler.search.remote import Evaluating
from mohaq.compiler.search.wire import pack_job, unpack_reply

CONNECT_SECONDS = 10
"""How long a cluster may take to answer."""

NO_WORKERS_SECONDS = 60.0
"""How long a cluster may be without a worker of ours."""

PAUSE = 0.2
"""Seconds to wait when no worker could have news."""

STORE_BYTES = 100 << 20
"""Least shared memory of a cluster of our own; it holds the packed evaluator."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""No usage statistics; no warning about accelerators that mohaq does not ask for."""

TOKEN = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
"""Who may use a cluster of our own; without it Ray writes one for all into the home folder."""


@dataclass
class _Member:
    """An actor. `ref` is its start, its preparation, or its job, whatever runs; else None."""

    actor: Any
    ref: Any
    alive: bool = False
    ready: bool = False
    pid: int = 0


class _Evaluating(Evaluating):
    """The evaluator as an actor."""

    def hello(self) -> None:
        """Answers as soon as the actor runs."""


class RayCrew:
    """Actors of a Ray cluster, one CPU and one job each at a time.

    A Ray that this process has already connected is used and left as it is.

    Args:
        recipe: sent to the workers as bytes.
        workers: how many to use. 0: one for each CPU of the cluster or this machine.
        address: `host:port` of a running cluster that this machine belongs to, or `auto`; None
            starts a cluster on this machine, which only this machine can reach and which ends
            with the search.
    """

    grace = 0.0

    def __init__(
        self, recipe: PortableRecipe, workers: int = 0, *, address: str | None = None
    ) -> None:
        self._recipe = recipe
        self._workers = workers
        self._address = address
        self._end = contextlib.ExitStack()
        self._ray: Any = None
        self._data: Any = None
        self._members: dict[str, _Member] = {}
        self._started = 0
        self._failures = StartFailures()
        self._alone_since: float | None = None

    def idle(self, wanted: int) -> Sequence[str]:
        """See `Crew`."""
        self._connect()
        while len(self._members) < min(wanted, self._workers):
            self._started += 1
            kind = self._ray.remote(_Evaluating).options(
                num_cpus=1, max_restarts=0, max_task_retries=0
            )
            actor = kind.remote(type(self._recipe).unpack, self._data)
            self._members[f"actor {self._started}"] = _Member(actor, actor.hello.remote())
        self._check_alone()
        return [name for name, m in self._members.items() if m.ready and m.ref is None]

    def start(self, worker: str, job: Job) -> None:
        """Send a job."""
        member = self._members[worker]
        member.ref = member.actor.work.remote(pack_job(job))

    def wait(self, seconds: float) -> Sequence[Finished | Lost]:
        """See `Crew`."""
        by_ref = {m.ref: name for name, m in self._members.items() if m.ref is not None}
        if not by_ref:
            time.sleep(min(seconds, PAUSE))
            return []
        done, _ = self._ray.wait(list(by_ref), num_returns=1, timeout=seconds)
        events = [self._hear(by_ref[ref], ref) for ref in done]
        return [event for event in events if event is not None]

    def stop(self, worker: str) -> None:
        """Kill an actor."""
        member = self._members.pop(worker, None)
        if member is not None:
            self._ray.kill(member.actor, no_restart=True)

    def worker_ids(self) -> list[int]:
        """Process ids of the ready workers."""
        return sorted(m.pid for m in self._members.values() if m.ready)

    def close(self) -> None:
        """End the cluster, or leave it as it was found."""
        for name in list(self._members):
            self.stop(name)
        self._data = None
        self._end.close()
        self._ray = None

    def _connect(self) -> None:
        if self._ray is not None:
            return
        packed = self._recipe.pack()
        with _environment(QUIET):
            import ray

            if not ray.is_initialized():
                self._end.enter_context(self._connected(ray, len(packed)))
            elif self._address is not None:
                raise MohaqError(
                    "this process is already connected to a Ray cluster",
                    where=self._address,
                    hint="leave out the address to use that one",
                )
        self._ray = ray
        self._workers = self._workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._data = ray.put(packed)

    @contextlib.contextmanager
    def _connected(self, ray: ModuleType, size: int) -> Iterator[None]:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address is not None:
            _check_reachable(self._address)
            try:
                ray.init(address=self._address, **quiet)
            except (OSError, RuntimeError, ValueError, ImportError) as error:
                raise _unreachable(self._address, error) from None
            try:
                yield
            finally:
                ray.shutdown()
            return
        folder = _short_folder()
        try:
            try:
                with one_thread_each(), no_interrupts(), _loopback(), _environment(TOKEN):
                    ray.init(
                        address="local",
                        num_cpus=self._workers or None,
                        include_dashboard=False,
                        object_store_memory=max(STORE_BYTES, 2 * size),
                        _node_ip_address="127.0.0.1",
                        _temp_dir=folder,
                        **quiet,
                    )
            except (OSError, RuntimeError, ValueError) as error:
                raise MohaqError(
                    "Ray could not start a cluster on this machine", why=_short(error)
                ) from None
            yield
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)

    def _check_alone(self) -> None:
        if any(member.alive for member in self._members.values()):
            self._alone_since = None
            return
        now = time.monotonic()
        self._alone_since = self._alone_since or now
        if now - self._alone_since > NO_WORKERS_SECONDS:
            raise MohaqError(
                f"the Ray cluster has started no worker for {NO_WORKERS_SECONDS:g} s",
                where=self._address,
                why=f"{len(self._members)} actors with one CPU each wait",
                hint="free CPUs or ask for fewer workers, and repeat the command",
            )

    def _hear(self, name: str, ref: Any) -> Finished | Lost | None:
        from ray import exceptions

        member = self._members[name]
        try:
            said = self._ray.get(ref)
        except (
            exceptions.RayActorError,
            exceptions.WorkerCrashedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        ) as error:
            self.stop(name)
            if member.ready:
                return Lost(name)
            self._failures.died(
                _short(error),
                "all machines of the cluster need the same mohaq",
            )
            return None
        member.ref = None
        if said is None:
            member.alive = True
            member.ref = member.actor.prepare.remote()
            return None
        reply = unpack_reply(said)
        if isinstance(reply, MohaqError):
            raise reply
        if isinstance(reply, Outcome):
            return Finished(name, reply)
        check_versions(name, reply)
        member.ready, member.pid = True, reply.pid
        self._failures.ready()
        return None


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Let a cluster started inside listen on the loopback interface alone.

    Ray does so by itself on Windows and macOS. On Linux it takes the address of a network card,
    also when it is given 127.0.0.1, and no option says otherwise.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _short_folder() -> str:
    """A new folder whose path leaves room for the sockets that Ray makes in it."""
    short = len(tempfile.gettempdir()) < 30
    return tempfile.mkdtemp(prefix="mohaq-ray-", dir=None if short else "/tmp")  # noqa: S108


def _check_reachable(address: str) -> None:
    """Ray itself waits for minutes and then ends the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        if address == "auto":
            return
        raise MohaqError("a Ray address is host:port or auto", where=address)
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from None


def _short(error: Exception) -> str:
    """One line of what Ray says in many."""
    return " ".join(str(error).split())[-300:]


def _unreachable(address: str, error: Exception) -> MohaqError:
    return MohaqError(
        "the Ray cluster does not answer",
        where=address,
        why=_short(error),
        hint="`ray start` prints the address of a cluster, e.g. 10.0.0.1:6379; one that asks for"
        " a token needs RAY_AUTH_MODE=token in the environment",
    )


@contextlib.contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    """Variables that are not set otherwise, for as long as it lasts."""
    added = {name: value for name, value in given.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
