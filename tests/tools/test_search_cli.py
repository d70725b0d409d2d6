"""`mohaq search`: what it says while it runs, Ctrl-C, engines, and what it refuses."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import pytest
from programs import calibrated
from searches import labelled
from typer.testing import CliRunner, Result

from mohaq.compiler.data import save_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics.fer import FrameErrorRate
from mohaq.compiler.search import engines
from mohaq.compiler.search.engine import Engine, Evaluation, PortableRecipe
from mohaq.compiler.search.engines import EngineOptions
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.local import local_engine
from mohaq.compiler.search.progress import Progress
from mohaq.compiler.search.record import RECORD_FILE, read_evaluations
from mohaq.tools.cli import app
from mohaq.tools.commands.options import memory_bytes
from mohaq.tools.watch import Lines, TimeLeft, duration

SMALL = ("-g", "3", "--population", "8", "--offspring", "4", "-t", "reference")
Search = Callable[..., Result]
Event = Literal["evaluated", "generation", "done"]


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[str, ...]:
    """A calibrated program and labelled data, as the command takes them."""
    program = calibrated(7)
    program.save(tmp_path / "net")
    save_dataset(labelled(program, lengths=(9, 1, 14)), tmp_path / "data.safetensors")
    return ("net", "-d", "data.safetensors")


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: tuple[str, ...]) -> Search:
    """Runs the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOHAQ_TRACEBACK", raising=False)
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return lambda *words: runner.invoke(app, ["search", *inputs, *SMALL, *map(str, words)])


def refused(result: Result, *words: str) -> None:
    """Exit code 2 and one message that says all these words."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


def state(event: Event, generation: int, remaining: int, evaluated: int = 1) -> Progress:
    return Progress(
        event, generation, 20, evaluated, 0, 0, remaining, 0, 0, 2, 3, 1, 0.5, 0.25, 0.1,
    )  # fmt: skip


def test_lines_off_a_terminal() -> None:
    """One generation in five; while one lasts long, a line now and then; with the time left."""
    now, said = 0.0, list[str]()
    lines = Lines(said.append, lambda: now)
    lines(state("evaluated", 1, 100))
    lines(state("generation", 1, 100))
    assert said == []
    now = 10.0
    lines(state("evaluated", 2, 80))
    assert said == []
    now = 20.0
    lines(state("evaluated", 2, 60, 41))
    (line,) = said
    assert line == (
        "  generation 2/20: 41 evaluations  2 stopped early  cache hits 75 %  hypervolume 0.5000  "
        "best error 25.00 %  30 s left"
    )
    lines(state("generation", 5, 60))
    lines(state("generation", 20, 0))
    lines(state("done", 20, 0))
    assert len(said) == 3


def test_time_left_ignores_the_record_and_learns_of_probes() -> None:
    now = 0.0
    left = TimeLeft(lambda: now)
    assert left.seconds(state("generation", 1, 500)) is None  # a replayed generation
    assert left.seconds(state("evaluated", 2, 100)) is None
    now = 10.0
    assert left.seconds(state("evaluated", 2, 90)) == pytest.approx(90.0)
    assert left.seconds(state("evaluated", 2, 110)) == pytest.approx(110.0)  # 20 more are wanted
    assert left.seconds(state("done", 2, 0)) == 0.0


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 59.4, 200.0, 7500.0)] == [
        "0 s", "59 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip


def test_progress_counts_what_remains(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    monkeypatch.setattr(Lines, "__call__", lambda _, progress: seen.append(progress))
    done = search("-o", "run", "--memory", "64M")
    assert done.exit_code == 0, done.output
    remaining = [p.remaining for p in seen if p.event == "generation"]
    assert remaining == [8, 4, 0]
    assert seen[-1].remaining == 0
    first = seen[0]
    assert first.remaining == first.planned + 8 + 2 * 4


def ended(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_leaves_a_run_that_goes_on(
    search: Search, inputs: tuple[str, ...], tmp_path: Path, workers: int
) -> None:
    """The signal goes to the whole process group, as from a terminal."""
    words = ["search", *inputs, *SMALL, "-o", "run", "-j", str(workers), "-g", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "mohaq.tools.cli", *words], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        while process.poll() is None and recorded(tmp_path / "run") < 12:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.count("interrupted: ") == 1
    assert f"mohaq {' '.join(words)}" in said
    deadline = time.monotonic() + 10
    while not ended(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended(process.pid)
    for folder in ("run", "plain"):
        done = search("-o", folder)
        assert done.exit_code == 0, done.output
    fronts = [(tmp_path / folder / "front.json").read_bytes() for folder in ("run", "plain")]
    assert fronts[0] == fronts[1]


def recorded(folder: Path) -> int:
    """Evaluations in a log; 0 while there is none yet."""
    try:
        return len(read_evaluations(folder / RECORD_FILE))
    except MohaqError:
        return 0


def workers_of(parent: int) -> int:
    """Spawned Python processes of a process."""
    found = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(parent).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                found += any("spawn_main" in word for word in child.cmdline())
    return found


def test_ctrl_c_while_workers_start(inputs: tuple[str, ...], tmp_path: Path) -> None:
    """They hear of it too, while they import; only the parent speaks."""
    words = ["search", *inputs, *SMALL, "-o", "run", "-j", "2", "-g", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "mohaq.tools.cli", *words], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        while process.poll() is None and workers_of(process.pid) < 2:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert re.fullmatch(r"\s*interrupted: the run is kept in run; .*\n  mohaq search .*\n", said)


def test_all_that_is_said_of_the_engine_arrives(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a cluster: tests/compiler/search/test_clusters.py has those."""
    made: list[EngineOptions] = []

    def make(recipe: PortableRecipe, options: EngineOptions) -> Engine:
        made.append(options)
        return local_engine(recipe)

    monkeypatch.setattr("mohaq.compiler.search.search.make_engine", make)
    monkeypatch.setattr(engines, "find_spec", lambda _: True)
    words = ("--engine", "dask", "-j", 3, "--address", "here:1", "--timeout", 5, "--retries", 1)
    assert search("-o", "run", *words).exit_code == 0
    assert search("-o", "run").exit_code == 0
    assert made == [EngineOptions("dask", 3, "here:1", 5.0, 1), EngineOptions()]


def test_engines_that_cannot_be(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(search("-o", "run", "--engine", "spark"), "no engine 'spark'", "dask, local, ray")
    refused(search("-o", "run", "--address", "here:1"), "'local' takes no address")
    refused(search("-o", "run", "--timeout", 0), "a time limit is positive")
    refused(search("-o", "run", "--retries", -1), "retries is not negative")
    refused(search("-o", "run", "-j", -1), "workers is not negative")
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    for name in ("dask", "ray"):
        refused(search("-o", "run", "--engine", name), "not installed", f"mohaq[{name}]")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 512 << 20), ("2g", 2 << 30), ("1.5K", 1536), ("0", 0), ("0M", 0)],
)
def test_sizes(text: str, size: int) -> None:
    assert memory_bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "12", "-1M", "1T", "nanM", "1e99G", "2GB"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(MohaqError, match="--memory takes a size"):
        memory_bytes(text)


def test_memory_bounds_the_caches_and_changes_nothing(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Evaluator] = []
    build = Evaluator.__init__

    def watched(self: Evaluator, *args: object, **facts: object) -> None:
        build(self, *args, **facts)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(Evaluator, "__init__", watched)
    for memory in ("0", "1K", "64M"):
        done = search("-o", memory, "--memory", memory)
        assert done.exit_code == 0, done.output
        assert made[-1].memory.limit == memory_bytes(memory)
        assert made[-1].memory.bytes <= memory_bytes(memory)
    none, small, large = (one.memory.hits for one in made)
    assert none == 0
    assert small <= large
    assert large > 0
    fronts = {(tmp_path / m / "front.json").read_bytes() for m in ("0", "1K", "64M")}
    assert len(fronts) == 1
    refused(search("-o", "run", "--memory", "lots"), "--memory takes a size, got 'lots'")


def test_data_that_are_empty_or_of_another_shape(search: Search, tmp_path: Path) -> None:
    def save(name: str, frames: int, features: int, lengths: list[int]) -> str:
        labels = np.zeros(frames, np.int64)
        inputs = np.zeros((frames, features), np.float32)
        np.savez(tmp_path / name, inputs=inputs, lengths=lengths, labels=labels)
        return name

    refused(search("-o", "run", "-d", save("empty.npz", 0, 5, [])), "the data set is empty")
    refused(search("-o", "run", "-d", save("hole.npz", 3, 5, [3, 0])), "no frames")
    refused(search("-o", "run", "-d", save("wide.npz", 3, 6, [3])), "6", "5")
    done = search("-o", "one", "-d", save("one.npz", 2, 5, [2]))  # less than one batch
    assert done.exit_code == 0, done.output


def test_an_evaluation_that_raises_or_is_no_number(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: object) -> None:
        raise ZeroDivisionError("the metric broke")

    monkeypatch.setattr(Evaluator, "evaluate", raises)
    refused(search("-o", "raises"), "evaluations failed", "ZeroDivisionError: the metric broke")
    nan = Evaluation((math.nan,), (1.0,), math.nan)
    monkeypatch.setattr(Evaluator, "evaluate", lambda *_: nan)
    refused(search("-o", "nan"), "evaluations failed", "the error is nan")


def test_a_metric_that_cannot_score_the_float_program(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: object) -> None:
        raise ZeroDivisionError("the metric broke")

    monkeypatch.setattr(FrameErrorRate, "score", raises)
    refused(search("-o", "raises"), "the metric failed", "'fer'", "ZeroDivisionError: the metric")
    monkeypatch.setattr(FrameErrorRate, "score", lambda *_: (math.nan, 1.0))
    refused(search("-o", "nan"), "the error is nan", "outputs of the float program")
