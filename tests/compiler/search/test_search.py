"""Whole searches: the same bytes by seed and workers, resumed after a kill, failures, limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from programs import calibrated, speech_like
from searches import labelled

from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.data import Dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program
from mohaq.compiler.search.engine import Evaluation, Failure, Job, Outcome
from mohaq.compiler.search.front import FRONT_FILE, SearchResult
from mohaq.compiler.search.progress import Progress
from mohaq.compiler.search.record import RECORD_FILE, read_evaluations
from mohaq.compiler.search.search import run_search, search
from mohaq.compiler.search.settings import Constraints, SearchSettings

SMALL: dict[str, Any] = {"generations": 5, "population": 10, "offspring": 6}


@pytest.fixture(scope="module")
def program() -> Program:
    return calibrated(7)


@pytest.fixture(scope="module")
def data(program: Program) -> Dataset:
    return labelled(program, lengths=(9, 1, 14, 6, 20))


@pytest.fixture(scope="module")
def plain(program: Program, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted search."""
    out = tmp_path_factory.mktemp("plain")
    search(program, target="reference", data=data, out=out, **SMALL)
    return out


def front(folder: Path) -> Any:
    return json.loads((folder / FRONT_FILE).read_text())


def test_the_front_is_a_front(plain: Path) -> None:
    found = front(plain)
    assert found["schema"] == "mohaq.front/1"
    names = [o["name"] for o in found["objectives"]]
    values = [[p["objectives"][n] for n in names] for p in found["front"]]
    assert values == sorted(values)
    assert len(values) > 1
    candidates = [p for p in found["evaluated"] if p["feasible"]]
    for row in values:
        assert not any(
            all(p["objectives"][n] <= v for n, v in zip(names, row, strict=True))
            and [p["objectives"][n] for n in names] != row
            for p in candidates
        )
    for point in found["front"]:
        assignment = Assignment.load(plain / point["assignment"])
        assert {str(s): w for s, w in assignment.widths.items()} == point["widths"]
        low, high = point["error_interval"]
        assert low <= point["objectives"]["error"] <= high
    assert [r["name"] for r in found["reference"]] == [
        "float", "uniform 16", "uniform 8", "uniform 4", "uniform 2",
    ]  # fmt: skip
    sizes = [r["objectives"]["size"] for r in found["reference"][1:]]
    assert sizes == sorted(sizes, reverse=True)
    volumes = [g["hypervolume"] for g in found["generations"]]
    assert volumes == sorted(volumes)
    assert volumes[0] > 0


def test_the_same_seed_gives_the_same_bytes(
    program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    search(program, target="reference", data=data, out=tmp_path, workers=2, **SMALL)
    assert (tmp_path / FRONT_FILE).read_bytes() == (plain / FRONT_FILE).read_bytes()


def test_another_seed_gives_another_log(
    program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    search(program, target="reference", data=data, out=tmp_path, seed=2, **SMALL)
    theirs = {key for key, *_ in read_evaluations(plain / RECORD_FILE) if "float" not in key}
    mine = {key for key, *_ in read_evaluations(tmp_path / RECORD_FILE) if "float" not in key}
    assert mine != theirs


def test_repeating_a_search_evaluates_nothing(program: Program, data: Dataset, plain: Path) -> None:
    before = (plain / FRONT_FILE).read_bytes()
    seen: list[Progress] = []
    search(program, target="reference", data=data, out=plain, observer=seen.append, **SMALL)
    assert (plain / FRONT_FILE).read_bytes() == before
    assert {p.evaluated for p in seen} == {0}
    assert seen[-1].event == "done"
    assert seen[-1].replayed == len(read_evaluations(plain / RECORD_FILE)) - 1  # float row


SCRIPT = """
import os, signal, sys
from pathlib import Path
from mohaq.compiler.data import load_dataset
from mohaq.compiler.program import Program
from mohaq.compiler.search.search import search

def main():
    base, out, stop, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    def watch(progress):
        if progress.event == "evaluated" and progress.evaluated == stop:
            os.kill(os.getpid(), signal.SIGKILL)
    search(Program.load(Path(base) / "model"), target="reference",
           data=load_dataset(Path(base) / "data.safetensors"), out=out, workers=workers,
           observer=watch, generations=5, population=10, offspring=6)

if __name__ == "__main__":
    main()
"""


def recorded(folder: Path) -> int:
    """Candidates in a log; 0 while there is none yet."""
    try:
        return len([k for k, *_ in read_evaluations(folder / RECORD_FILE) if "float" not in k])
    except MohaqError:
        return 0


@pytest.mark.parametrize(("stop", "workers"), [(3, 0), (12, 2), (-12, 2)])
def test_a_killed_search_makes_exactly_the_missing_evaluations(
    plain: Path, tmp_path: Path, stop: int, workers: int
) -> None:
    """A positive `stop` kills the search from inside after so many evaluations, a negative one
    from outside, whatever it is just doing.
    """
    script, out = tmp_path / "run.py", tmp_path / "run"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), str(plain), str(out), str(stop), str(workers)],
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while stop < 0 and process.poll() is None and recorded(out) < -stop:
            time.sleep(0.01)
        if stop < 0:
            process.kill()
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, complaint
    assert not (out / FRONT_FILE).exists()
    stop = recorded(out) if stop < 0 else stop
    assert recorded(out) == stop
    seen: list[Progress] = []
    search(
        Program.load(plain / "model"),
        target="reference",
        data=labelled(calibrated(7), lengths=(9, 1, 14, 6, 20)),
        out=out,
        observer=seen.append,
        **SMALL,
    )
    assert (out / FRONT_FILE).read_bytes() == (plain / FRONT_FILE).read_bytes()
    total = [key for key, *_ in read_evaluations(plain / RECORD_FILE) if "float" not in key]
    assert seen[-1].evaluated == len(total) - stop
    assert seen[-1].replayed == stop


def test_more_generations_continue_a_search(
    program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    search(program, target="reference", data=data, out=tmp_path, **{**SMALL, "generations": 2})
    seen: list[Progress] = []
    search(program, target="reference", data=data, out=tmp_path, observer=seen.append, **SMALL)
    assert (tmp_path / FRONT_FILE).read_bytes() == (plain / FRONT_FILE).read_bytes()
    assert seen[-1].replayed > 0
    names = {f"{p['id']}.json" for p in front(tmp_path)["front"]}
    assert {p.name for p in (tmp_path / "assignments").iterdir()} == names


def test_other_settings_in_the_same_folder_are_refused(
    program: Program, data: Dataset, plain: Path
) -> None:
    before = (plain / FRONT_FILE).read_bytes()
    with pytest.raises(MohaqError, match="seed was 1, now 9"):
        search(program, target="reference", data=data, out=plain, seed=9, **SMALL)
    with pytest.raises(MohaqError, match="dataset was"):
        search(program, target="reference", data=data[:3], out=plain, **SMALL)
    assert (plain / FRONT_FILE).read_bytes() == before


def test_candidates_beyond_a_limit_run_nothing(
    program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    sizes = sorted(p["objectives"]["size"] for p in front(plain)["evaluated"])
    limit = sizes[len(sizes) // 2]
    search(
        program,
        target="reference",
        data=data,
        out=tmp_path,
        constraints=Constraints(max_size=limit),
        **SMALL,
    )
    found = front(tmp_path)
    beyond = [p for p in found["evaluated"] if p["objectives"]["size"] > limit]
    within = [p for p in found["evaluated"] if p["objectives"]["size"] <= limit]
    assert beyond
    assert all("error" not in p["objectives"] and not p["feasible"] for p in beyond)
    assert all(p["violation"] > 0 for p in beyond)
    evaluated = [k for k, *_ in read_evaluations(tmp_path / RECORD_FILE) if "float" not in k]
    assert len(evaluated) == len(within)
    assert all(p["objectives"]["size"] <= limit for p in found["front"])


def test_an_error_limit_bounds_the_front(program: Program, data: Dataset, tmp_path: Path) -> None:
    result = search(
        program,
        target="reference",
        data=data,
        out=tmp_path,
        constraints=Constraints(max_error=0.3),
        **SMALL,
    )
    assert all(p.objectives["error"] <= 0.3 for p in result.front)
    assert any(p.violation > 0 for p in result.evaluated)


def test_costs_alone_need_no_inference(program: Program, data: Dataset, tmp_path: Path) -> None:
    result = search(
        program,
        target="reference",
        data=data,
        out=tmp_path,
        objectives=("latency", "size"),
        **SMALL,
    )
    assert read_evaluations(tmp_path / RECORD_FILE) == []
    assert result.front
    assert {w for p in result.front for w in p.widths.values()} == {2}


class Scripted:
    """An engine that fails the jobs that a rule picks."""

    def __init__(self, fails: Any) -> None:
        self.fails = fails
        self.jobs = 0

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        for job in jobs:
            self.jobs += 1
            failure = self.fails(dict(job.widths))
            error = sum(1 / w for _, w in job.widths)
            yield Outcome(job.key, failure or Evaluation((error,), (10.0,), error / 10))

    def close(self) -> None:
        pass


def scripted(
    program: Program, data: Dataset, out: Path, engine: Scripted, **facts: Any
) -> SearchResult:
    settings = SearchSettings(**{**SMALL, **facts})
    return run_search(
        program, target="reference", data=data, out=out, settings=settings, engine=engine
    )


def test_failures_are_recorded_and_not_repeated(
    program: Program, data: Dataset, tmp_path: Path
) -> None:
    def fails(widths: dict[Slot, int]) -> Failure | None:
        return Failure("raised", "boom") if widths[Slot("l0", "weight")] == 2 else None

    first = Scripted(fails)
    result = scripted(program, data, tmp_path, first)
    failed = [p for p in result.evaluated if p.failure]
    assert failed
    assert all(p.failure == "raised: boom" and not p.feasible for p in failed)
    assert not any(p.widths[Slot("l0", "weight")] == 2 for p in result.front)
    text = (tmp_path / FRONT_FILE).read_text()
    again = Scripted(fails)
    scripted(program, data, tmp_path, again)
    assert again.jobs == 0
    assert (tmp_path / FRONT_FILE).read_text() == text


def test_illegal_candidates_never_stop_a_search(
    program: Program, data: Dataset, tmp_path: Path
) -> None:
    result = scripted(
        program, data, tmp_path, Scripted(lambda _: Failure("illegal", "does not fit"))
    )
    assert result.front == ()
    assert front(tmp_path)["front"] == []


def test_too_many_failures_stop_the_search(program: Program, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match=r"evaluations failed; the search stops.*boom"):
        scripted(program, data, tmp_path, Scripted(lambda _: Failure("raised", "boom")))


def test_what_cannot_work_is_refused_early(program: Program, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no calibration"):
        search(speech_like(0), target="reference", data=data, out=tmp_path)
    bare = replace(data, labels=(), label_kind="none")
    with pytest.raises(MohaqError, match="cannot use labels"):
        search(program, target="reference", data=bare, out=tmp_path)
    with pytest.raises(MohaqError, match="no objective 'eror'"):
        search(program, target="reference", data=data, out=tmp_path, objectives=("eror",))
    with pytest.raises(MohaqError, match="no target"):
        search(program, target="nowhere", data=data, out=tmp_path)
    assert not (tmp_path / RECORD_FILE).exists()


def test_a_damaged_log_is_refused(program: Program, data: Dataset, tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_bytes(os.urandom(4096))
    with pytest.raises(MohaqError, match="the log is damaged"):
        search(program, target="reference", data=data, out=tmp_path, **SMALL)


def test_the_run_folder_holds_what_it_searched(plain: Path, data: Dataset, tmp_path: Path) -> None:
    save_dataset(data, tmp_path / "data.safetensors")
    assert (plain / "data.safetensors").is_file()
    found = front(plain)
    assert found["dataset"]["hash"] == data.content_hash()
    Program.load(plain / "model").verify()
