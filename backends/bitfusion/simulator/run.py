"""From inputs to outputs and figures: the host's side of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Costs, Estimate, Simulation, Workload
from mohaq.backends.bitfusion.counters import COUNTERS, costs
from mohaq.backends.bitfusion.simulator.execute import BlockRun, Launch
from mohaq.backends.bitfusion.simulator.held import Held
from mohaq.backends.bitfusion.simulator.manifest import Loaded, Port, load_folder
from mohaq.backends.bitfusion.simulator.memory import Dram
from mohaq.compiler.diagnostics import MohaqError

Array = npt.NDArray[np.int64]


def run_folder(
    folder: Path, inputs: Sequence[npt.NDArray[Any]], *, bricks: bool = False
) -> Simulation:
    """Execute an emitted folder.

    Args:
        folder: what `emit` wrote.
        inputs: one integer array for each argument: [T, B, C], states [B, C] or [D, B, C].
        bricks: form every product from 2-bit bricks (slow, for small arrays).

    Raises:
        MohaqError: damaged files, inputs that do not fit, an overflow, an illegal access.
    """
    loaded = load_folder(folder)
    launch = _launch(loaded, inputs)
    dram = Dram(loaded.regions, loaded.image)
    for port, value in zip(loaded.inputs, inputs, strict=True):
        _put(dram, port, np.asarray(value, dtype=np.int64))
    layers = {n: np.zeros(len(COUNTERS), dtype=np.int64) for n in loaded.layers}
    held = Held()
    for block in loaded.blocks:
        held = held.next(block, launch.steps * launch.batch)
        meter = BlockRun(block, launch, dram, loaded.machine, held, bricks=bricks).run()
        layers[loaded.layers[block.layer]] += meter.vector()
    outputs = tuple(_get(dram, port, launch) for port in loaded.outputs)
    return Simulation(outputs, _figures(loaded, layers, launch))


def _figures(loaded: Loaded, layers: dict[str, Array], launch: Launch) -> Estimate:
    total = np.sum(list(layers.values()), axis=0)
    each: dict[str, Costs] = {n: costs(v, loaded.machine) for n, v in layers.items()}
    size = sum(-(-r.bits // 8) for r in loaded.regions if r.constant)
    carried = any(p.rows == "batch" for p in loaded.inputs)
    workload = Workload(launch.steps, launch.batch, carried)
    return Estimate(workload, costs(total, loaded.machine), each, size)


def _launch(loaded: Loaded, inputs: Sequence[npt.NDArray[Any]]) -> Launch:
    if len(inputs) != len(loaded.inputs):
        raise MohaqError(f"the program takes {len(loaded.inputs)} inputs, got {len(inputs)}")
    found: set[int] = set()
    steps: set[int] = set()
    for port, value in zip(loaded.inputs, inputs, strict=True):
        array = np.asarray(value)
        if array.dtype.kind not in "iu":
            raise MohaqError(f"integers are needed, got {array.dtype}", where=port.name)
        rank = 3 if port.rows == "steps" or port.stacked else 2
        if array.ndim != rank or array.shape[-1] != port.channels or 0 in array.shape:
            raise MohaqError(f"shape {array.shape} does not fit", where=port.name)
        if port.stacked and array.shape[0] != len(port.parts):
            raise MohaqError(f"shape {array.shape} does not fit", where=port.name)
        if port.rows == "steps":
            steps.add(array.shape[0])
        found.add(array.shape[-2])
        low, high = _range(port)
        if int(array.min()) < low or int(array.max()) > high:
            raise MohaqError(f"values leave the range {low}..{high}", where=port.name)
    if len(found) > 1 or len(steps) > 1:
        raise MohaqError("the inputs disagree in their number of steps or sequences")
    launch = Launch(next(iter(steps), 1), next(iter(found), 1))
    if launch.steps * launch.batch > loaded.max_rows:
        raise MohaqError(
            f"{launch.steps} steps of {launch.batch} sequences are too many rows",
            why=f"the program was compiled for {loaded.max_rows}",
            hint="compile with a larger max_rows or run shorter pieces",
        )
    return launch


def _range(port: Port) -> tuple[int, int]:
    if port.signed:
        return -(1 << (port.bits - 1)), (1 << (port.bits - 1)) - 1
    return 0, (1 << port.bits) - 1


def _put(dram: Dram, port: Port, value: Array) -> None:
    parts = value if port.stacked else value.reshape(1, -1, port.channels)
    for rows, (address, row_pitch, pitch) in zip(parts, port.parts, strict=True):
        dram.write(address, [(len(rows), row_pitch), (port.channels, pitch)], port.width, rows)


def _get(dram: Dram, port: Port, launch: Launch) -> Array:
    rows = launch.batch * (launch.steps if port.rows == "steps" else 1)
    parts = [
        dram.read(
            address, [(rows, row_pitch), (port.channels, pitch)], port.width, signed=port.signed
        )
        for address, row_pitch, pitch in port.parts
    ]
    if port.stacked:
        return np.stack(parts)
    if port.rows == "steps":
        return parts[0].reshape(launch.steps, launch.batch, port.channels)
    return parts[0]
