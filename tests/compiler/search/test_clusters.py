"""Dask and Ray for real: running clusters and own ones, killed workers, the same bytes."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from programs import calibrated
from searches import KIND, NUMBER, BuggyRecipe, FakeRecipe, labelled

from mohaq.backends.registry import find_target
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program
from mohaq.compiler.search.crew import CrewEngine
from mohaq.compiler.search.engine import Evaluation, Failure, Job
from mohaq.compiler.search.engines import MODULES, EngineName, EngineOptions, make_engine
from mohaq.compiler.search.front import FRONT_FILE
from mohaq.compiler.search.progress import Progress
from mohaq.compiler.search.recipe import write_inputs
from mohaq.compiler.search.search import run_search, search
from mohaq.compiler.search.settings import SearchSettings

SMALL: dict[str, Any] = {"generations": 2, "population": 8, "offspring": 4}

CLUSTERS = {
    "dask": """
import logging, sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1, dashboard_address="127.0.0.1:0",
                      silence_logs=logging.CRITICAL) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
""",
    "ray": """
import logging, sys
import ray

if __name__ == "__main__":
    found = ray.init(address="local", num_cpus=int(sys.argv[1]), include_dashboard=False, log_to_driver=False,
                     object_store_memory=100 << 20, logging_level=logging.ERROR)
    print(found.address_info["gcs_address"], flush=True)
    sys.stdin.read()
    ray.shutdown()
""",
}


def needed(name: EngineName) -> EngineName:
    """Skips the test when an engine is not installed."""
    if find_spec(MODULES[name]) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(scope="module", params=["dask", "ray"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Each engine that is installed."""
    name: EngineName = request.param
    return needed(name)


@pytest.fixture(scope="module", autouse=True)
def token() -> Iterator[None]:
    """Only these tests may use the Ray clusters that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@contextlib.contextmanager
def cluster(
    engine: EngineName, folder: Path, workers: int
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A cluster in another process, and its address; it knows the modules of the tests."""
    script = folder / "cluster.py"
    script.write_text(CLUSTERS[engine])
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, str(script), str(workers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        yield process, process.stdout.readline().strip()
        process.stdin.close()


@pytest.fixture(scope="module")
def address(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running cluster of two workers."""
    with cluster(engine, tmp_path_factory.mktemp("cluster"), 2) as (_, found):
        yield found


@pytest.fixture(scope="module")
def program() -> Program:
    return calibrated(7)


@pytest.fixture(scope="module")
def data(program: Program) -> Dataset:
    return labelled(program, lengths=(9, 1, 14))


@pytest.fixture(scope="module")
def plain(program: Program, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The front of a search in this process."""
    out = tmp_path_factory.mktemp("plain")
    search(program, target="reference", data=data, out=out, **SMALL)
    return (out / FRONT_FILE).read_bytes()


def test_what_workers_do_is_an_outcome(engine: EngineName, address: str, tmp_path: Path) -> None:
    """Fine, raising, not a number, illegal, killed once, hanging once: all in one batch."""
    options = EngineOptions(engine, address=address, timeout=1.0)
    made = make_engine(FakeRecipe(str(tmp_path)), options)
    jobs = [Job.of(f"job{n}", {KIND: kind, NUMBER: n}) for n, kind in enumerate([2, 3, 6, 4, 8, 5])]
    try:
        found = {o.key: o for o in made.evaluate(jobs)}
    finally:
        made.close()
    assert found.keys() == {job.key for job in jobs}
    assert found["job0"].result == Evaluation((0.0,), (100.0,), 0.0)
    assert found["job1"].result == Failure("raised", "ZeroDivisionError: a model error")
    assert found["job2"].result == Evaluation((2.0,), (100.0,), 0.02)
    assert found["job2"].tries == 2
    assert found["job3"].result == Failure("not-finite", "the error is nan")
    assert found["job4"].result == Evaluation((4.0,), (100.0,), 0.04)
    assert found["job4"].tries == 2
    assert found["job5"].result == Failure("illegal", "does not fit")


def test_a_bug_in_a_worker_is_shown(engine: EngineName, address: str, tmp_path: Path) -> None:
    made = make_engine(BuggyRecipe(str(tmp_path)), EngineOptions(engine, 1, address=address))
    try:
        with pytest.raises(RuntimeError, match="our mistake"):
            list(made.evaluate([Job.of("a", {KIND: 2, NUMBER: 0})]))
    finally:
        made.close()


def listening() -> set[tuple[str, int]]:
    """(address, port) that this process and those below it listen on."""
    found: set[tuple[str, int]] = set()
    mine = psutil.Process()
    for process in (mine, *mine.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            found.update(
                connection.laddr
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            )
    return found


@pytest.mark.parametrize("name", ["local", "dask", "ray"])
def test_a_search_whose_workers_are_killed(
    name: EngineName, program: Program, data: Dataset, plain: bytes, tmp_path: Path
) -> None:
    """On a cluster of its own, which others cannot reach, with two workers killed on the way."""
    if name != "local":
        needed(name)
    _, target = find_target("reference")
    recipe = write_inputs(tmp_path / "inputs", program, target, data, "fer", 1 << 20)
    made = make_engine(recipe, EngineOptions(name, 2))
    assert isinstance(made, CrewEngine)
    killed: list[int] = []
    before, heard = listening(), set[tuple[str, int]]()

    def kill(progress: Progress) -> None:
        if progress.event == "evaluated" and progress.evaluated in {3, 12}:
            heard.update(listening() - before)
            killed.append(made.worker_ids()[0])
            os.kill(killed[-1], signal.SIGKILL)

    run_search(
        program, target="reference", data=data, out=tmp_path / "run", engine=made, observer=kill,
        settings=SearchSettings(**SMALL),
    )  # fmt: skip
    assert len(set(killed)) == 2
    assert (tmp_path / "run" / FRONT_FILE).read_bytes() == plain
    assert made.worker_ids() == []
    assert heard or name == "local"
    addresses = {address.removeprefix("::ffff:") for address, _ in heard}
    assert all(ipaddress.ip_address(address).is_loopback for address in addresses)


def test_a_result_that_dies_with_its_worker(
    program: Program, data: Dataset, plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask keeps results on the workers: all of them die after a job and before its result."""
    needed("dask")
    import distributed

    _, target = find_target("reference")
    recipe = write_inputs(tmp_path / "inputs", program, target, data, "fer", 1 << 20)
    made = make_engine(recipe, EngineOptions("dask", 2))
    assert isinstance(made, CrewEngine)
    fetch, calls = distributed.Future.result, 0

    def result(self: Any, timeout: Any = None) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            for pid in made.worker_ids():
                os.kill(pid, signal.SIGKILL)
        return fetch(self, timeout)

    monkeypatch.setattr(distributed.Future, "result", result)
    run_search(
        program, target="reference", data=data, out=tmp_path / "run", engine=made,
        settings=SearchSettings(**SMALL),
    )  # fmt: skip
    assert calls > 6
    assert (tmp_path / "run" / FRONT_FILE).read_bytes() == plain


def test_a_cluster_that_is_not_there(
    engine: EngineName,
    program: Program,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"mohaq.compiler.search.{engine}_crew.CONNECT_SECONDS", 0.5)
    with pytest.raises(MohaqError, match=r"^127.0.0.1:9: the .* does not answer"):
        search(
            program, target="reference", data=data, out=tmp_path, engine=engine,
            address="127.0.0.1:9", **SMALL,
        )  # fmt: skip


@pytest.mark.skipif(find_spec("distributed") is None, reason="dask is not installed")
def test_a_dask_cluster_without_workers_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mohaq.compiler.search.dask_crew.CONNECT_SECONDS", 1)
    monkeypatch.setattr("mohaq.compiler.search.dask_crew.NO_WORKERS_SECONDS", 0.5)
    from mohaq.compiler.search.dask_crew import DaskCrew

    job = Job.of("a", {KIND: 2, NUMBER: 0})
    with cluster("dask", tmp_path, 0) as (process, address):
        for ends, message in ((False, "has had no worker for 0.5 s"), (True, "does not answer")):
            crew = DaskCrew(FakeRecipe(str(tmp_path)), address=address)
            assert crew.idle(1) == []  # connected
            if ends:
                process.kill()
            try:
                with pytest.raises(MohaqError, match=message):
                    list(CrewEngine(crew).evaluate([job]))
            finally:
                crew.close()
