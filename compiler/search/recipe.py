"""How a worker builds the evaluator: from the files of the run folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from mohaq.backends.base import Target
from mohaq.backends.registry import find_target
from mohaq.compiler.data import Dataset, load_dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import write_bytes
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.search.engine import Candidates
from mohaq.compiler.search.evaluator import DEFAULT_MEMORY, Evaluator
from mohaq.compiler.search.stages import Staged
from mohaq.compiler.search.variants import KEPT, Variants

MODEL_FOLDER = "model"
DATA_FILE = "data.safetensors"
TARGET_FILE = "target.toml"
FIELDS = "recipe.json"


@dataclass(frozen=True)
class EvaluatorRecipe:
    """Paths and names; every worker loads them for itself.

    Attributes:
        folder: the run folder.
        target: name of a target, or its file in the run folder.
        metric: name of the metric.
        memory_bytes: of layer values and compiled layers in each worker, beacons included.
        beacons: folder of retrained programs that jobs may name; empty: there are none.
        first: sequences that can be run apart from the others (`early_stop`); empty: none can.
    """

    folder: str
    target: str
    metric: str
    memory_bytes: int = DEFAULT_MEMORY
    beacons: str = ""
    first: tuple[int, ...] = ()

    def pack(self) -> bytes:
        """The files of the run folder that `build` reads, and the other fields.

        Raises:
            MohaqError: a file is missing.
        """
        folder = Path(self.folder)
        target = folder / TARGET_FILE
        own = self.target == str(target)
        paths = [p for p in sorted((folder / MODEL_FOLDER).rglob("*")) if p.is_file()]
        held = {}
        for path in [*paths, folder / DATA_FILE, *([target] if own else [])]:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise MohaqError("cannot read this file", where=str(path), why=str(error)) from None
            held[path.relative_to(folder).as_posix()] = np.frombuffer(content, np.uint8)
        fields = {**asdict(self), "folder": "", "target": TARGET_FILE if own else self.target}
        # The fields are bytes as well: metadata of safetensors must be text, and are not needed.
        held[FIELDS] = np.frombuffer(json.dumps(fields).encode(), np.uint8)
        return save(held)

    @staticmethod
    def unpack(data: bytes, folder: Path) -> EvaluatorRecipe:
        """The recipe of `pack`, with its files in `folder`."""
        held = load(data)
        fields = json.loads(held.pop(FIELDS).tobytes())
        for name, content in held.items():
            path = (folder / name).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise MohaqError("a file of the evaluator lies outside its folder", where=name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.tobytes())
        if fields["target"] == TARGET_FILE:
            fields["target"] = str(folder / TARGET_FILE)
        fields["first"] = tuple(fields["first"])
        return EvaluatorRecipe(**{**fields, "folder": str(folder)})

    def build(self) -> Candidates:
        """Load the program, the data and the target.

        Raises:
            MohaqError: a file is missing or damaged.
        """
        backend, target = find_target(self.target)
        data = load_dataset(Path(self.folder) / DATA_FILE)
        metric = get_metric(self.metric)
        memory = self.memory_bytes // (1 + KEPT) if self.beacons else self.memory_bytes

        def made(program: Program) -> Evaluator:
            return Evaluator(program, backend, target, data, metric, memory_bytes=memory)

        base = made(Program.load(Path(self.folder) / MODEL_FOLDER))
        if self.first:
            return Staged(base, self.first)
        return Variants(base, made, Path(self.beacons)) if self.beacons else base


def write_inputs(
    folder: Path,
    program: Program,
    target: Target,
    data: Dataset,
    metric: str,
    memory_bytes: int,
    beacons: Path | None = None,
    first: tuple[int, ...] = (),
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
    return EvaluatorRecipe(str(folder), name, metric, memory_bytes, store, first)
