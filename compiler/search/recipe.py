"""How a worker builds the evaluator: from the files of the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mohaq.backends.base import Target
from mohaq.backends.registry import find_target
from mohaq.compiler.data import Dataset, load_dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import write_bytes
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.search.engine import Candidates
from mohaq.compiler.search.evaluator import DEFAULT_MEMORY, Evaluator
from mohaq.compiler.search.variants import KEPT, Variants

MODEL_FOLDER = "model"
DATA_FILE = "data.safetensors"
TARGET_FILE = "target.toml"


@dataclass(frozen=True)
class EvaluatorRecipe:
    """Paths and names; every worker loads them for itself.

    Attributes:
        folder: the run folder.
        target: name of a target, or its file in the run folder.
        metric: name of the metric.
        memory_bytes: limit of each worker's value memory.
        beacons: folder of retrained programs that jobs may name; empty: there are none.
    """

    folder: str
    target: str
    metric: str
    memory_bytes: int = DEFAULT_MEMORY
    beacons: str = ""

    def build(self) -> Candidates:
        """Load the program, the data and the target.

        Raises:
            MohaqError: a file is missing or damaged.
        """
        backend, target = find_target(self.target)
        data = load_dataset(Path(self.folder) / DATA_FILE)
        metric = get_metric(self.metric)
        memory = self.memory_bytes // (1 + KEPT) if self.beacons else self.memory_bytes

        def made(program: Program) -> Candidates:
            return Evaluator(program, backend, target, data, metric, memory_bytes=memory)

        base = made(Program.load(Path(self.folder) / MODEL_FOLDER))
        return Variants(base, made, Path(self.beacons)) if self.beacons else base


def write_inputs(
    folder: Path,
    program: Program,
    target: Target,
    data: Dataset,
    metric: str,
    memory_bytes: int,
    beacons: Path | None = None,
) -> EvaluatorRecipe:
    """Put what a search needs into its run folder and say how to build an evaluator from it.

    Seals the program's declarations.
    """
    program.save(folder / MODEL_FOLDER)
    save_dataset(data, folder / DATA_FILE)
    name = target.name
    if target.path is not None:
        try:
            write_bytes(folder / TARGET_FILE, target.path.read_bytes())
        except OSError as error:
            raise MohaqError(
                "cannot copy the target file", where=str(target.path), why=str(error)
            ) from None
        name = str(folder / TARGET_FILE)
    store = "" if beacons is None else str(beacons)
    return EvaluatorRecipe(str(folder), name, metric, memory_bytes, store)
