"""Beacon-based searches: who gets a beacon, the same front resumed and on workers, files reused."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from beacon_here import train_here
from programs import calibrated
from searches import labelled

from mohaq.backends.reference import BACKEND
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset, load_dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.qat import RetrainOptions
from mohaq.compiler.qat.train import Trainer
from mohaq.compiler.search.beacon_settings import (
    BeaconSearch,
    BeaconSettings,
    Condition,
    distance,
)
from mohaq.compiler.search.beacon_store import BeaconStore
from mohaq.compiler.search.engine import Job
from mohaq.compiler.search.engines import EngineName
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.front import FRONT_FILE
from mohaq.compiler.search.local import local_engine
from mohaq.compiler.search.progress import Progress
from mohaq.compiler.search.recipe import EvaluatorRecipe
from mohaq.compiler.search.record import RECORD_FILE, read_evaluations
from mohaq.compiler.search.search import search

SMALL: dict[str, Any] = {"generations": 3, "population": 8, "offspring": 4, "target": "reference"}
OPTIONS = RetrainOptions(epochs=8, batch=4, rate=3e-3, threads=1)


@pytest.fixture(scope="module")
def program() -> Program:
    return calibrated(7)


@pytest.fixture(scope="module")
def data(program: Program) -> Dataset:
    return labelled(program, lengths=(9, 1, 14, 6, 20))


def beacons(program: Program, **facts: Any) -> BeaconSearch:
    settings = BeaconSettings(
        **{"threshold": 3.0, "error": (0.35, 0.9), "most": 2, "retrain": OPTIONS, **facts}
    )
    train = labelled(program, 21, lengths=tuple(8 + i % 9 for i in range(24)))
    validation = labelled(program, 22, lengths=(12, 15, 9, 14, 11, 10))
    return BeaconSearch(train, validation, settings)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    train_here(monkeypatch)


@pytest.fixture(scope="module")
def plain(program: Program, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted beacon search."""
    out = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        search(program, data=data, out=out, beacons=beacons(program), **SMALL)
    return out


def front(folder: Path) -> Any:
    return json.loads((folder / FRONT_FILE).read_text())


def slots(widths: Mapping[str, int]) -> dict[Slot, int]:
    return {Slot(*name.rsplit(".", 1)): bits for name, bits in widths.items()}


def test_the_distance_counts_steps_of_weight_widths() -> None:
    a = {Slot("l0", "weight"): 2, Slot("l0", "input"): 2, Slot("l1", "recurrent"): 8}
    b = {Slot("l0", "weight"): 16, Slot("l0", "input"): 16, Slot("l1", "recurrent"): 4}
    assert distance(a, b) == distance(b, a) == 4
    assert distance(a, a) == 0


def test_points_with_beacons_have_the_errors_of_the_retrained_programs(
    plain: Path, data: Dataset
) -> None:
    found = front(plain)
    assert 1 <= len(found["beacons"]) <= 2
    metric, machine = get_metric("fer"), BACKEND.load_target("reference")
    base = Evaluator(Program.load(plain / "model"), BACKEND, machine, data, metric)
    own = {
        row["hash"]: Evaluator(Program.load(plain / row["program"]), BACKEND, machine, data, metric)
        for row in found["beacons"]
    }
    better = [p for p in found["evaluated"] if "beacon" in p]
    assert better
    for point in better:
        widths, error = slots(point["widths"]), point["objectives"]["error"]
        assert own[point["beacon"]].evaluate(widths).value == error
        assert error < base.evaluate(widths).value
    for row in found["beacons"]:
        assert row["after"] <= row["before"]
        assert BeaconStore(plain / "beacons").load(row["hash"])
    on_front = [p for p in found["front"] if "beacon" in p]
    assert on_front
    assert all(p["error_interval"][0] <= p["objectives"]["error"] for p in on_front)


def test_beacons_keep_their_distance(plain: Path) -> None:
    """A candidate within the threshold of a beacon never becomes one."""
    made = [slots(row["widths"]) for row in front(plain)["beacons"]]
    assert all(distance(a, b) > 3 for i, a in enumerate(made) for b in made[:i])


def test_reference_rows_are_those_of_plain_quantization(
    program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    search(program, data=data, out=tmp_path, **SMALL)
    assert front(tmp_path)["reference"] == front(plain)["reference"]
    assert "beacons" not in front(tmp_path)


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_workers_give_the_same_bytes_and_a_store_trains_nothing(
    engine: EngineName, program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    store, said = tmp_path / "store", list[str]()
    shutil.copytree(plain / "beacons", store)
    given = beacons(program)
    search(
        program, data=data, out=tmp_path / "run", engine=engine, workers=2, tell=said.append,
        beacons=BeaconSearch(given.train, given.validation, given.settings, store), **SMALL,
    )  # fmt: skip
    assert said == []
    other = front(tmp_path / "run")
    for row in other["beacons"]:
        row["program"] = row["program"].replace(store.as_posix(), "beacons")
    assert other == front(plain)
    assert not (tmp_path / "run" / "beacons").exists()


def test_one_log_for_both_kinds_of_search(
    program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    """The search with beacons finds what the one without has evaluated, and the other way round."""
    seen: list[Progress] = []
    shutil.copytree(plain / "beacons", tmp_path / "beacons-of-before")
    search(program, data=data, out=tmp_path / "run", **SMALL)
    before = (tmp_path / "run" / FRONT_FILE).read_bytes()
    recorded = len(read_evaluations(tmp_path / "run" / RECORD_FILE))
    shutil.copytree(tmp_path / "beacons-of-before", tmp_path / "run" / "beacons")
    search(
        program, data=data, out=tmp_path / "run", beacons=beacons(program), observer=seen.append,
        **SMALL,
    )  # fmt: skip
    assert (tmp_path / "run" / FRONT_FILE).read_bytes() == (plain / FRONT_FILE).read_bytes()
    assert seen[-1].replayed > 0
    assert len(read_evaluations(tmp_path / "run" / RECORD_FILE)) == recorded + seen[-1].evaluated
    search(program, data=data, out=tmp_path / "run", observer=seen.append, **SMALL)
    assert seen[-1].evaluated == 0
    assert (tmp_path / "run" / FRONT_FILE).read_bytes() == before


SCRIPT = """
import os, signal, sys
from pathlib import Path
from mohaq.compiler.data import load_dataset
from mohaq.compiler.program import Program
from mohaq.compiler.qat import RetrainOptions
from mohaq.compiler.qat.train import Trainer
from mohaq.compiler.search.beacon_settings import BeaconSearch, BeaconSettings
from mohaq.compiler.search.search import search

def main():
    base, out, stop = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    def tell(text):
        if stop in text:
            os.kill(os.getpid(), signal.SIGKILL)
    options = RetrainOptions(epochs=8, batch=4, rate=3e-3, threads=1)
    search(Program.load(base / "model"), target="reference",
           data=load_dataset(base / "data.safetensors"), out=out, tell=tell,
           beacons=BeaconSearch(load_dataset(base / "beacon-train.safetensors"),
                                load_dataset(base / "beacon-validation.safetensors"),
                                BeaconSettings(3.0, (0.35, 0.9), most=2, retrain=options)),
           generations=3, population=8, offspring=4)

if __name__ == "__main__":
    main()
"""


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("stop", ["epoch 3 of", "beacon 1: validation"])
def test_a_killed_search_ends_with_the_same_front(
    program: Program, data: Dataset, plain: Path, tmp_path: Path, stop: str
) -> None:
    """Killed in the middle of a training, or between training and the log's entry."""
    script, out = tmp_path / "run.py", tmp_path / "run"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(plain), str(out), stop],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (out / FRONT_FILE).exists()
    said: list[str] = []
    search(program, data=data, out=out, beacons=beacons(program), tell=said.append, **SMALL)
    assert (out / FRONT_FILE).read_bytes() == (plain / FRONT_FILE).read_bytes()
    assert ("generation 1: train beacon 1" in said) == ("epoch" in stop)
    if "epoch" in stop:  # it went on after the checkpoint of epoch 3, or of a later one
        again = said[: next(i for i, s in enumerate(said) if s.startswith("beacon 1:"))]
        assert not any(s.startswith(("epoch 0", "epoch 1", "epoch 2", "epoch 3")) for s in again)
    assert not (out / "beacon-work").exists()


def test_a_training_ends_with_its_search(tmp_path: Path, plain: Path) -> None:
    """Closing the standard input is what a killed parent does."""
    with subprocess.Popen(
        [sys.executable, "-m", "mohaq.compiler.search.beacon_training"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        os.mkfifo(tmp_path / "beacon-train.safetensors")  # it would wait for ever
        task = {
            "assignment": {"schema": "mohaq.assignment/1", "default": 8},
            "target": "reference", "metric": "fer", "options": {}, "work": "w",
        }  # fmt: skip
        shutil.copytree(plain / "model", tmp_path / "model")
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        time.sleep(0.2)
        process.stdin.close()
        assert process.wait(timeout=60) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_beacon_that_changed_is_refused(
    program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(plain, out)
    row = front(out)["beacons"][0]
    text = out / row["program"] / "program.mlir"
    text.write_text(text.read_text().replace("@main", "@main "))
    search(program, data=data, out=out, beacons=beacons(program), **SMALL)  # the same program
    weights = out / row["program"] / "parameters.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(MohaqError, match="not what this program was saved with"):
        search(program, data=data, out=out, beacons=beacons(program), **SMALL)


@pytest.mark.usefixtures("here")
def test_a_lost_beacon_is_made_again_with_the_same_bits(
    program: Program, data: Dataset, plain: Path, tmp_path: Path
) -> None:
    out, said = tmp_path / "run", list[str]()
    shutil.copytree(plain, out)
    shutil.rmtree(out / front(plain)["beacons"][0]["program"])
    search(program, data=data, out=out, beacons=beacons(program), tell=said.append, **SMALL)
    assert sum("train beacon" in s for s in said) == 1
    assert (out / FRONT_FILE).read_bytes() == (plain / FRONT_FILE).read_bytes()


def test_other_beacon_settings_in_the_same_folder_are_refused(
    program: Program, data: Dataset, plain: Path
) -> None:
    with pytest.raises(MohaqError, match="beacons was"):
        search(program, data=data, out=plain, beacons=beacons(program, threshold=4.0), **SMALL)


@pytest.mark.usefixtures("here")
def test_a_training_that_diverges_is_logged_and_costs_nothing_else(
    program: Program, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_batch", lambda *_: (math.inf, 1))
    settings = {**SMALL, "generations": 1}
    given, said = beacons(program, threshold=50.0), list[str]()
    found = search(program, data=data, out=tmp_path, beacons=given, tell=said.append, **settings)
    assert found.front
    assert sum("train beacon" in s for s in said) == 1  # and none near it
    assert "beacon 1 failed: epoch 1: training diverged (inf)" in said
    assert front(tmp_path)["beacons"] == []
    again: list[str] = []
    search(program, data=data, out=tmp_path, beacons=given, tell=again.append, **settings)
    assert again == []


def test_conditions(program: Program, data: Dataset, tmp_path: Path) -> None:
    assert Condition.parse("speedup > 20") == Condition("speedup", ">", 20.0)
    assert Condition.parse("size<2e6").holds({"size": 1e6})
    for text in ("size", "size=3", "size<", "size<e"):
        with pytest.raises(MohaqError, match="a condition is"):
            Condition.parse(text)
    never = beacons(program, conditions=(Condition("size", "<", 1.0),))
    said: list[str] = []
    search(program, data=data, out=tmp_path, beacons=never, tell=said.append, **SMALL)
    assert front(tmp_path)["beacons"] == []
    assert said == []


def test_what_cannot_work_is_refused_early(program: Program, data: Dataset, tmp_path: Path) -> None:
    given = beacons(program)
    with pytest.raises(MohaqError, match="trained on the data that the search measures"):
        search(program, data=given.train, out=tmp_path, beacons=given, **SMALL)
    with pytest.raises(MohaqError, match="needs the objective 'error'"):
        search(program, data=data, out=tmp_path, beacons=given, objectives=("size",), **SMALL)
    asked = beacons(program, conditions=(Condition("speedup", ">", 2.0),))
    with pytest.raises(MohaqError, match="a beacon condition is on 'speedup'"):
        search(program, data=data, out=tmp_path, beacons=asked, **SMALL)
    for facts in ({"threshold": -1.0}, {"most": 0}, {"error": (0.3, 0.2)}):
        with pytest.raises(MohaqError, match="beacon"):
            beacons(program, **facts)
    with pytest.raises(MohaqError, match="one thread"):
        BeaconSettings(retrain=RetrainOptions())
    assert not (tmp_path / RECORD_FILE).exists()


@pytest.mark.usefixtures("here")
def test_labels_that_cannot_be_trained_on_stop_the_search(
    program: Program, data: Dataset, tmp_path: Path
) -> None:
    given = beacons(program)
    train = Dataset(given.train.inputs)
    save_dataset(train, tmp_path / "x.safetensors")
    bare = BeaconSearch(load_dataset(tmp_path / "x.safetensors"), given.validation, given.settings)
    with pytest.raises(MohaqError, match="no beacon can be trained"):
        search(program, data=data, out=tmp_path / "run", beacons=bare, **SMALL)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_beacon_is_no_fault_of_the_candidate(plain: Path, workers: int) -> None:
    """Its file is not there, for instance on another machine: the search stops."""
    recipe = EvaluatorRecipe(
        str(plain), "reference", "fer", beacons=str(plain / "no beacons in here")
    )
    engine = local_engine(recipe, workers)
    widths = {Slot(layer, s): 8 for layer in ("l0", "pr1", "l1", "fc") for s in ("weight", "input")}
    try:
        with pytest.raises(MohaqError, match="no program here"):
            list(engine.evaluate([Job.of("k", widths, "0123456789abcdef")]))
    finally:
        engine.close()
