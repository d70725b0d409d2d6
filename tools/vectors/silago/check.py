"""Runs a vector on an engine and lists every difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from mohaq.backends.silago.isa.text import row_hex
from mohaq.backends.silago.machine import Fabric, fabric_of, load_target
from mohaq.backends.silago.simulator.run import Engine, run
from mohaq.backends.silago.simulator.state import State, reset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.vectors.silago.file import Row, Vector


def differences(vector: Vector, engine: Engine) -> list[str]:
    """What an engine does differently from a vector, in words; empty when all agrees."""
    fabric = fabric_of(load_target(vector.profile))
    state = initial_state(fabric, vector)
    before = state.sram.copy()
    try:
        result = run(fabric, vector.programs, state, engine=engine, edges=vector.edges)
    except MohaqError as error:
        return [f"the simulator refuses the program: {error.message()}"]
    found = _writes(vector.rf_writes, _tuples(result.writes))
    found += _sram_writes(vector.sram_writes, _tuples(result.sram_writes))
    changed: dict[Row, tuple[int, ...]] = {}
    for r, c, row in np.argwhere((before != state.sram).any(axis=3)).tolist():
        changed[r + 1, c, row] = tuple(state.sram[r, c, row].tolist())
    for key in sorted({*vector.sram_changed, *changed}):
        want, got = vector.sram_changed.get(key), changed.get(key)
        if want != got:
            found.append(f"SRAM row {key}: expected {_shown(want)}, got {_shown(got)}")
    return found


def initial_state(fabric: Fabric, vector: Vector) -> State:
    """The fabric with a vector's SRAM content.

    Raises:
        MohaqError: a row that the fabric does not have.
    """
    state = reset(fabric)
    for (r, c, row), words in vector.sram.items():
        if not (
            1 <= r <= fabric.tile_rows and 0 <= c < fabric.cols and 0 <= row < fabric.tile_depth
        ):
            raise MohaqError(f"'{fabric.name}' has no SRAM row ({r}, {c}, {row})", where=vector.id)
        state.sram[r - 1, c, row] = words
    return state


def _tuples(array: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> list[tuple[int, ...]]:
    return [tuple(line) for line in array.tolist()]


def _writes(want: Iterable[tuple[int, ...]], got: Iterable[tuple[int, ...]]) -> list[str]:
    missing, extra = Counter(want), Counter(got)
    missing, extra = missing - extra, extra - missing
    other = {line[:4]: line[4] for line in extra}
    found = []
    for line in sorted(missing):
        edge, row, col, address, value = line
        place = f"edge {edge}, cell ({row}, {col}), RF {address}"
        if line[:4] in other:
            found.append(f"{place}: expected {value}, got {other.pop(line[:4])}")
        else:
            found.append(f"{place}: expected {value}, got no write")
    for (edge, row, col, address), value in sorted(other.items()):
        found.append(f"edge {edge}, cell ({row}, {col}), RF {address}: unexpected {value}")
    return found


def _sram_writes(want: Iterable[tuple[int, ...]], got: Iterable[tuple[int, ...]]) -> list[str]:
    missing, extra = Counter(want), Counter(got)
    return [
        f"edge {e}, SRAM row ({r}, {c}, {row}): {word} write"
        for word, lines in (("no", missing - extra), ("unexpected", extra - missing))
        for e, r, c, row in sorted(lines.elements())
    ]


def _shown(words: tuple[int, ...] | None) -> str:
    return "no change" if words is None else row_hex(words)
