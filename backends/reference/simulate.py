"""Executes an emitted folder in NumPy and counts while it does.

Knows nothing but the folder: not the estimate, the lowering or the interpreters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mohaq.backends.base import Costs, Estimate, Simulation, Workload
from mohaq.backends.inputs import checked_input
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json

Array = npt.NDArray[np.int64]
Row = Mapping[str, Any]
COUNTERS = ("cycles", "product_bits", "unit_steps", "cache_bytes", "shared_bytes")


def simulate_folder(folder: Path, inputs: Sequence[npt.NDArray[Any]]) -> Simulation:
    """Run the emitted program.

    Raises:
        MohaqError: the folder is damaged, or the inputs do not fit the program.
    """
    folder = Path(folder)
    data = read_json(folder / "program.json", "reference program")
    if not isinstance(data, dict) or data.get("schema") != "mohaq.reference/1":
        raise MohaqError("not a program of the reference backend", where=str(folder))
    try:
        integers = load_file(folder / "integers.safetensors")
    except (SafetensorError, OSError) as error:
        raise MohaqError("cannot read the integers", where=str(folder), why=str(error)) from None
    try:
        return _Machine(data, integers).run(inputs)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise MohaqError(
            "the emitted program is damaged",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
        ) from error


class _Machine:
    """One run: values by number, counters by layer."""

    def __init__(self, data: Row, integers: Mapping[str, npt.NDArray[Any]]) -> None:
        self._data = data
        self._constants: dict[str, float] = dict(data["constants"])
        self._integers = {name: array.astype(np.int64) for name, array in integers.items()}
        self._tables = {n: np.array(p, dtype=np.int64) for n, p in data["tables"].items()}
        self._values: dict[int, Array] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._width: int | None = None

    def run(self, inputs: Sequence[npt.NDArray[Any]]) -> Simulation:
        """Execute on the given inputs."""
        described = self._data["inputs"]
        if len(inputs) != len(described):
            raise MohaqError(f"the program takes {len(described)} inputs, got {len(inputs)}")
        for number, (row, given) in enumerate(zip(described, inputs, strict=True)):
            self._values[row["value"]] = checked_input(number, row, np.asarray(given))
        frames, batch = self._values[described[0]["value"]].shape[:2]
        self._execute(self._data["ops"], self._values)
        outputs = tuple(self._values[n] for n in self._data["results"])
        workload = Workload(frames, batch, carried_state=len(inputs) > 1)
        return Simulation(outputs, self._measured(workload))

    def _measured(self, workload: Workload) -> Estimate:
        frames = workload.frames * workload.batch
        held = self._memory()
        for name, size in held.items():
            self._counts[name]["cache_bytes"] += frames * size
        size = sum(held.values()) + sum(2 * t.size for t in self._tables.values())
        total = {c: sum(row[c] for row in self._counts.values()) for c in COUNTERS}
        total["shared_bytes"] = max(size - int(self._constants["cache_bytes"]), 0) * frames
        layers = {name: self._priced(row) for name, row in self._counts.items()}
        return Estimate(workload, self._priced(total), layers, size)

    def _memory(self) -> dict[str, int]:
        """Bytes that each layer's integers take."""
        held: dict[str, int] = {}
        for row in _nested(self._data["ops"]):
            if row["op"] == "load":
                count = self._integers[row["name"]].size
                held[row["layer"]] = held.get(row["layer"], 0) - (-count * row["bits"] // 8)
        return held

    def _priced(self, row: Mapping[str, int]) -> Costs:
        c = self._constants
        energy = (
            row["product_bits"] * c["bit_energy"]
            + row["unit_steps"] * c["unit_energy"]
            + row["cache_bytes"] * c["cache_energy"]
            + row["shared_bytes"] * c["shared_energy"]
            + row["cycles"] / c["clock"] * c["idle_power"]
        )
        return Costs(row["cycles"], row["cycles"] / c["clock"], energy, dict(row))

    def _count(self, layer: str, name: str, amount: int) -> None:
        row = self._counts.setdefault(layer, dict.fromkeys(COUNTERS, 0))
        row[name] += amount

    def _execute(self, rows: Sequence[Row], values: dict[int, Array]) -> None:
        for row in rows:
            kind = row["op"]
            if kind not in _OPS:
                raise MohaqError(f"the reference target does not run '{kind}'")
            given = [values[n] for n in row["in"]]
            made = _OPS[kind](self, row, given)
            values.update(zip(row["out"], made, strict=True))

    def load(self, row: Row, _: list[Array]) -> tuple[Array, ...]:
        """Integers of a parameter."""
        return (self._integers[row["name"]],)

    def matmul(self, row: Row, given: list[Array]) -> tuple[Array, ...]:
        """Product with the accumulator's bound checked; counts cycles and products."""
        x, w = given
        bits = row["bits"]
        if w.size and (w.min() < -(1 << (bits - 1)) or w.max() >= 1 << (bits - 1)):
            raise MohaqError(f"weights of '{row['layer']}' leave {bits} bits")
        total = x @ w.T
        if total.size and np.abs(total).max() > row["bound"]:
            raise MohaqError(f"a sum of '{row['layer']}' exceeds its bound {row['bound']}")
        steps = x.size // x.shape[-1]
        lanes = int(self._constants["datapath_bits"]) // bits
        cycles = steps * -(-w.size // lanes)
        if self._width not in (None, bits):
            cycles += int(self._constants["reconfigure_cycles"])
        self._width = bits
        self._count(row["layer"], "cycles", cycles)
        self._count(row["layer"], "product_bits", steps * w.size * bits)
        return (total,)

    def lookup(self, row: Row, given: list[Array]) -> tuple[Array, ...]:
        """A table: lines between 2^k + 1 points, or 2^k steps."""
        points = self._tables[row["table"]]
        segments = len(points) - len(points) % 2
        shift = 17 - segments.bit_length()
        place = given[0] + (1 << 15)
        left = points[place >> shift]
        if len(points) == segments:
            return (left,)
        rest = (points[(place >> shift) + 1] - left) * (place & ((1 << shift) - 1))
        return (left + ((rest + (1 << (shift - 1))) >> shift),)

    def scan(self, row: Row, given: list[Array]) -> tuple[Array, ...]:
        """A recurrence, step by step."""
        count = row["inputs"]
        sequences, init = given[:count], given[count:]
        steps, batch = sequences[0].shape[:2]
        states = init or [np.zeros((batch, n), dtype=np.int64) for n in row["states"]]
        emitted = len(row["yield"]) - len(states)
        outs: list[list[Array]] = [[] for _ in range(emitted)]
        for step in range(steps):
            t = steps - 1 - step if row["reverse"] else step
            values = dict(self._values)
            values.update(
                zip(row["arguments"], [s[t] for s in sequences] + list(states), strict=True)
            )
            self._execute(row["body"], values)
            made = [values[n] for n in row["yield"]]
            for held, value in zip(outs, made[:emitted], strict=True):
                held.append(value)
            states = made[emitted:]
            for state in states if row["computes"] else ():
                self._count(row["layer"], "unit_steps", state.size)
                self._count(
                    row["layer"], "cycles", state.size * int(self._constants["unit_cycles"])
                )
        ordered = [held[::-1] if row["reverse"] else held for held in outs]
        return (*(np.stack(held) for held in ordered), *states)


def _nested(rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        yield from _nested(row.get("body", ()))


def _requantize(_: _Machine, row: Row, given: list[Array]) -> tuple[Array, ...]:
    scales = row["scales"]
    run = given[0].shape[-1] // len(scales)
    m = np.repeat(np.array([s[0] for s in scales], dtype=np.int64), run)
    s = np.repeat(np.array([s[1] for s in scales], dtype=np.int64), run)
    return (_clamped(row, (given[0] * m + ((np.int64(1) << s) >> 1)) >> s),)


def _clamped(row: Row, x: Array) -> Array:
    bits = row["bits"]
    if row["signed"]:
        return np.clip(x, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return np.clip(x, 0, (1 << bits) - 1)


_OPS: dict[str, Callable[[_Machine, Row, list[Array]], tuple[Array, ...]]] = {
    "load": _Machine.load,
    "matmul": _Machine.matmul,
    "lookup": _Machine.lookup,
    "scan": _Machine.scan,
    "requantize": _requantize,
    "saturate": lambda _, row, x: (_clamped(row, x[0]),),
    "bias": lambda _, row, x: ((x[0] << row["shifts"][0]) + (x[1] << row["shifts"][1]),),
    "add": lambda _, __, x: (x[0] + x[1],),
    "mul": lambda _, __, x: (x[0] * x[1],),
    "shl": lambda _, row, x: (x[0] << row["amount"],),
    "rsub": lambda _, row, x: (row["constant"] - x[0],),
    "split": lambda _, __, x: (x[0] >> 8, x[0] & 255),
    "slice": lambda _, row, x: (x[0][..., row["first"] : row["first"] + row["size"]],),
    "concat": lambda _, __, x: (np.concatenate(x, axis=-1),),
    "select": lambda _, row, x: (x[0][row["index"]],),
    "stack": lambda _, __, x: (np.stack(x),),
}
