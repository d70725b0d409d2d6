"""Trains beacons, each in a process of its own with pinned threads.

The process gets a description on its standard input and ends when that is closed, so it never
outlives a killed search. It keeps its checkpoints in the run folder: the next one goes on there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mohaq.compiler.assignment import Assignment
from mohaq.compiler.data import load_dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json, write_text
from mohaq.compiler.program import Program
from mohaq.compiler.qat import RetrainOptions
from mohaq.compiler.qat.options import DivergedError
from mohaq.compiler.search.beacon_settings import BeaconSearch
from mohaq.compiler.search.local import THREAD_VARIABLES
from mohaq.compiler.search.recipe import MODEL_FOLDER, TARGET_FILE

TRIES = 3
"""How often a beacon's training is started when its process dies."""

TRAIN_FILE, VALIDATION_FILE = "beacon-train.safetensors", "beacon-validation.safetensors"
WORK_FOLDER = "beacon-work"
RESULT_FILE = "result.json"

MODULE = "mohaq.compiler.search.beacon_training"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A trained beacon, or why there is none.

    Attributes:
        program: with its parameters and clips.
        facts: widths, validation errors before and after, epochs, as JSON.
        failure: message of a training that cannot succeed (it diverged).
    """

    program: Program | None
    facts: dict[str, Any]
    failure: str = ""


class BeaconTrainer:
    """Trains beacons for one run folder.

    Args:
        folder: the run folder; it holds the model, and gets the training data.
        target: name of the target, or its file in the run folder.
        metric: chooses the best epoch.
        search: data and recipe.
        tell: told of every epoch.
    """

    def __init__(
        self, folder: Path, target: str, metric: str, search: BeaconSearch, tell: Tell | None = None
    ) -> None:
        self._folder = folder
        # Relative to the run folder, which may move: checkpoints name it.
        self._target = TARGET_FILE if target == str(folder / TARGET_FILE) else target
        self._metric = metric
        self._search = search
        self._tell = tell or (lambda _: None)

    def train(self, recipe: str, assignment: Assignment) -> Trained:
        """Retrain the searched program for an assignment.

        Args:
            recipe: hash of all that decides the result; names the checkpoints.
            assignment: widths.

        Raises:
            MohaqError: the process died again and again.
        """
        for name, data in (
            (TRAIN_FILE, self._search.train),
            (VALIDATION_FILE, self._search.validation),
        ):
            if not (self._folder / name).exists():
                save_dataset(data, self._folder / name)
        work = self._folder / WORK_FOLDER / recipe[:16]
        work.mkdir(parents=True, exist_ok=True)
        task = {
            "assignment": assignment.to_json(),
            "target": self._target,
            "metric": self._metric,
            "options": asdict(self._search.settings.retrain),
            "work": str(work.relative_to(self._folder)),
        }
        complaint = ""
        for _ in range(TRIES):
            if not (work / RESULT_FILE).exists():
                complaint = self._run(task)
        if not (work / RESULT_FILE).exists():
            raise MohaqError(
                f"the training of a beacon died {TRIES} times",
                where=str(work),
                why=complaint or "its process was killed",
                hint="the same command goes on from its last epoch",
            )
        held = read_json(work / RESULT_FILE, "beacon")
        failure, refused = held.pop("failure", ""), held.pop("refused", "")
        program = None if failure or refused else Program.load(work / MODEL_FOLDER)
        shutil.rmtree(self._folder / WORK_FOLDER, ignore_errors=True)
        if refused:
            raise MohaqError("no beacon can be trained", why=refused)
        return Trained(program, held, failure)

    def _run(self, task: dict[str, Any]) -> str:
        """One process; gives the end of what it complained about."""
        one = dict.fromkeys(THREAD_VARIABLES, "1")
        with subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            cwd=self._folder,
            env={**os.environ, **one},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            errors: list[str] = []
            reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
            reader.start()
            try:
                process.stdin.write(json.dumps(task) + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    self._tell(line.strip())
            except BrokenPipeError:
                pass  # it died: the caller sees that there is no result
            except BaseException:
                process.kill()
                raise
            finally:
                reader.join()
        return " ".join("".join(errors).split()[-40:])


def main() -> None:
    """The process: reads its task, trains, writes the program and `result.json`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the search, which ends this
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work_on(task, lambda text: print(text, flush=True))


def work_on(task: dict[str, Any], tell: Tell) -> None:
    """Train what a task describes, in the current folder: a run folder.

    Leaves the program and `result.json`.
    """
    work = Path(task["work"])
    try:
        held = _train(task, work, tell)
    except DivergedError as error:
        held = {"failure": error.message()}
    except MohaqError as error:
        held = {"refused": error.message()}
    write_text(work / RESULT_FILE, json.dumps(held))


def _train(task: dict[str, Any], work: Path, tell: Tell) -> dict[str, Any]:
    from mohaq.compiler.qat.session import retrain

    def report(epoch: int, epochs: int, record: dict[str, float]) -> None:
        tell(f"epoch {epoch} of {epochs}: validation {record['validation']:.4f}")

    done = retrain(
        Program.load(Path(MODEL_FOLDER)),
        Assignment.from_json(task["assignment"], "beacon"),
        load_dataset(TRAIN_FILE),
        load_dataset(VALIDATION_FILE),
        metric=task["metric"],
        target=task["target"],
        options=RetrainOptions(**task["options"]),
        checkpoints=work / "checkpoints",
        report=report,
    )
    done.program.save(work / MODEL_FOLDER)
    return {
        "assignment": done.assignment.to_json(),
        "before": done.before,
        "after": done.after,
        "best_epoch": done.best_epoch,
        "curve": done.record["curve"],
    }


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
