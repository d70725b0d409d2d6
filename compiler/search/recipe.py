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
from mohaq.compiler.search.evaluator import DEFAULT_MEMORY, Evaluator

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
    """

    folder: str
    target: str
    metric: str
    memory_bytes: int = DEFAULT_MEMORY

    def build(self) -> Evaluator:
        """Load the program, the data and the target.

        Raises:
            MohaqError: a file is missing or damaged.
        """
        backend, target = find_target(self.target)
        return Evaluator(
            Program.load(Path(self.folder) / MODEL_FOLDER),
            backend,
            target,
            load_dataset(Path(self.folder) / DATA_FILE),
            get_metric(self.metric),
            memory_bytes=self.memory_bytes,
        )


def write_inputs(
    folder: Path, program: Program, target: Target, data: Dataset, metric: str, memory_bytes: int
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
    return EvaluatorRecipe(str(folder), name, metric, memory_bytes)
