"""Opens an emitted folder and runs it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Costs, Estimate, Simulation, Workload
from mohaq.backends.inputs import checked_input
from mohaq.backends.silago import counters
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.host import Host, Row
from mohaq.backends.silago.simulator.run import Engine, run
from mohaq.backends.silago.simulator.state import Delivery, Run, State
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json
from mohaq.compiler.parameters import ParameterStore

SCHEMA = "mohaq.silago/1"
MANIFEST, IMAGES, INTEGERS = "manifest.json", "images.safetensors", "integers.safetensors"


def run_folder(
    folder: Path, inputs: Sequence[npt.NDArray[Any]], *, engine: Engine = "fast"
) -> Simulation:
    """Execute an emitted folder on integer inputs.

    Raises:
        MohaqError: not a SiLago folder, a damaged one, inputs that do not fit, or a program
            that the fabric cannot execute.
    """
    opened = open_folder(folder)
    with _damage(folder):
        return _run(opened, inputs, engine)


@dataclass(frozen=True)
class Opened:
    """The files of a folder; words of programs as numbers."""

    data: Row
    fabric: Fabric
    integers: Mapping[str, npt.NDArray[np.int64]]
    images: Mapping[str, npt.NDArray[Any]]

    def host(self, engine: Engine) -> Host:
        """A host with the fabric after reset."""

        def execute(
            on: Fabric,
            state: State,
            cells: Mapping[tuple[int, int], Sequence[int]],
            deliveries: Sequence[Delivery],
        ) -> Run:
            return run(on, cells, state, engine=engine, log=False, deliveries=deliveries)

        return Host(self.data, self.fabric, self.integers, self.images, execute, counters.COUNTERS)


def open_folder(folder: Path) -> Opened:
    """Read a folder.

    Raises:
        MohaqError: not a SiLago folder, or a damaged one.
    """
    folder = Path(folder)
    data = read_json(folder / MANIFEST, "SiLago program")
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise MohaqError("not a SiLago program", where=str(folder), why=f"no {SCHEMA}")
    images = ParameterStore.load(folder / IMAGES)
    integers = ParameterStore.load(folder / INTEGERS)
    with _damage(folder):
        fabric = fabric_of_json(data["fabric"])
        if tuple(data["counters"]) != counters.COUNTERS:
            raise MohaqError("the program was made for other counters")
        programs = [
            {r: [int(w, 16) for w in words] for r, words in p.items()} for p in data["programs"]
        ]
        return Opened(
            data | {"programs": programs},
            fabric,
            {n: np.asarray(integers[n]).astype(np.int64) for n in integers},
            {n: np.asarray(images[n]) for n in images},
        )


@contextlib.contextmanager
def _damage(folder: Path) -> Iterator[None]:
    """What a manifest of another form leads to, as one clear error."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise MohaqError(
            "the program is damaged", where=str(Path(folder) / MANIFEST), why=repr(error)
        ) from None


def _run(opened: Opened, inputs: Sequence[npt.NDArray[Any]], engine: Engine) -> Simulation:
    data, fabric = opened.data, opened.fabric
    described = data["inputs"]
    if len(inputs) != len(described):
        raise MohaqError(f"the program takes {len(described)} inputs, got {len(inputs)}")
    given = [
        checked_input(n, row, np.asarray(x))
        for n, (row, x) in enumerate(zip(described, inputs, strict=True))
    ]
    host = opened.host(engine)
    outputs = host.run(given)
    # Rows [N, F] without time are N frames of one sequence.
    frames, batch = given[0].shape[:2] if given[0].ndim > 2 else (len(given[0]), 1)
    workload = Workload(int(frames), int(batch), carried_state=len(given) > 1)
    each = {name: counters.vector(c) for name, c in host.counts.items()}
    total = np.sum(list(each.values()), axis=0)
    layers: dict[str, Costs] = {name: counters.costs(c, fabric) for name, c in each.items()}
    measured = Estimate(workload, counters.costs(total, fabric), layers, int(data["size_bytes"]))
    return Simulation(outputs, measured)


def fabric_of_json(data: Row) -> Fabric:
    """The fabric of a manifest."""
    known = {f.name for f in fields(Fabric)}
    if set(data) != known:
        raise MohaqError("the fabric of the program is incomplete")
    found = dict(data)
    found["repairs"] = frozenset(data["repairs"])
    found["mac_pj"] = {int(b): float(e) for b, e in data["mac_pj"].items()}
    return Fabric(**found)
