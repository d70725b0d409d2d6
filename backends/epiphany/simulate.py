"""Runs an emitted folder and turns what its cores counted into costs.

Uses the folder alone: the project is compiled and run in the stand-in; kernel cycles come from
the assembly that lies in the folder, all other constants from its plan.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Estimate, Simulation, Workload
from mohaq.backends.epiphany.analyzer.kernels import kernel_cycles, kernel_text, measure
from mohaq.backends.epiphany.analyzer.parser import Program, parse
from mohaq.backends.epiphany.analyzer.scoreboard import Timing
from mohaq.backends.epiphany.costs import KernelCycles, breakdown, costs, counters, summed
from mohaq.backends.epiphany.counters import ELEMENT_KINDS, KERNELS, Counts
from mohaq.backends.epiphany.machine import check_machine
from mohaq.backends.epiphany.simulator import run_project
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json

SCHEMA = "mohaq.epiphany/1"


def simulate_folder(folder: Path, inputs: Sequence[npt.NDArray[Any]]) -> Simulation:
    """Build, run and price an emitted project.

    Raises:
        MohaqError: the folder is damaged, there is no compiler, or the inputs do not fit.
    """
    folder = Path(folder)
    plan = read_json(folder / "plan.json", "plan of an Epiphany project")
    if not isinstance(plan, dict) or plan.get("schema") != SCHEMA:
        raise MohaqError("not a project of the Epiphany backend", where=str(folder))
    try:
        machine = check_machine(plan["constants"], str(folder))
        layers, size = [str(n) for n in plan["layers"]], int(plan["size_bytes"])
        flat = [p["steps"] == 1 and len(p["shape"]) == 2 for p in plan["inputs"]]
        flat_out = [p["steps"] == 1 and len(p["shape"]) == 2 for p in plan["outputs"]]
    except (KeyError, TypeError, ValueError) as error:
        raise MohaqError("the plan is damaged", where=str(folder), why=repr(error)) from None
    given = [np.asarray(x) for x in inputs]
    shaped = [
        x[:, None, :] if row and x.ndim == 2 else x for x, row in zip(given, flat, strict=False)
    ]
    ran = run_project(folder, [*shaped, *given[len(shaped) :]])
    outputs = tuple(
        np.asarray(y[:, 0] if row else y, dtype=np.int64)
        for y, row in zip(ran.outputs, flat_out, strict=True)
    )
    cycles = _kernel_cycles(folder)
    try:
        rows = {}
        for number, name in enumerate(layers):
            found = counts_of(ran.counters, number + 1)
            rows[name] = counters(found, breakdown(found, machine, cycles))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise MohaqError("the counters are damaged", where=str(folder), why=repr(error)) from None
    each = {name: costs(row, machine) for name, row in rows.items()}
    frames, batch = shaped[0].shape[:2]
    workload = Workload(frames, batch, carried_state=len(inputs) > 1)
    return Simulation(outputs, Estimate(workload, costs(summed(rows), machine), each, size))


def counts_of(data: Mapping[str, Any], phase: int) -> Counts:
    """The counters of one phase."""
    cores = [core["phases"][phase] for core in data["cores"]]
    found = Counts(len(cores))
    for number, row in enumerate(cores):
        for kernel, columns, calls in row["kernels"]:
            key = KERNELS[kernel], int(columns)
            held = found.kernels.setdefault(key, np.zeros(len(cores), dtype=np.int64))
            held[number] += calls
        for place, kind in enumerate(ELEMENT_KINDS):
            found.elements[kind][number] = row["elements"][place]
        for name, title in (
            ("read_bytes", "dma_read_bytes"),
            ("reads", "dma_reads"),
            ("write_bytes", "dma_write_bytes"),
            ("writes", "dma_writes"),
        ):
            for channel in range(2):
                getattr(found, name)[channel][number] = row[title][channel]
        for name in ("pushes", "push_bytes", "push_stores", "push_byte_hops", "barriers"):
            getattr(found, name)[number] = row[name]
    return found


def _kernel_cycles(folder: Path) -> KernelCycles:
    """Cycles of the kernels that lie in the folder."""
    path = folder / "device" / "mohaq_kernels.S"
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise MohaqError("cannot read the kernels", where=str(path), why=str(error)) from None
    if text == kernel_text():
        return lambda name, columns: kernel_cycles(f"mohaq_{name}", columns)
    program: Program = parse(text, path.name)

    @cache
    def other(name: str, columns: int) -> int:
        return 1 + Timing().taken_branch + measure(program, f"mohaq_{name}", columns).cycles

    return other
