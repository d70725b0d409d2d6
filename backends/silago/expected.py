"""The sidecar of a folder: what its programs and phases give for inputs that anyone can make.

Edges and addresses of register-file writes follow from the words alone (verify/events.py), cycles
from the schedule, results of phases from the rules of docs/targets/silago.md in integers. Only the
values between a phase's input and its result are those of a simulator run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.silago.dialect_phases import MatrixOp, VectorOp
from mohaq.backends.silago.isa.instructions import Mode, Port
from mohaq.backends.silago.legalize.functions import SIGMOID, TANH, nacu
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.module import layer_of
from mohaq.backends.silago.simulator.check_words import (
    SCHEMA,
    digest,
    elementwise_operands,
    filled,
    product_vectors,
)
from mohaq.backends.silago.simulator.run import run
from mohaq.backends.silago.simulator.state import Ints, Run, sorted_rows
from mohaq.backends.silago.verify.events import Events, events_of
from mohaq.backends.silago.verify.registers import accessed_words
from mohaq.backends.silago.verify.trace import traces
from mohaq.compiler.interpreters.integer import floor_shift, saturating_product

Cell = tuple[int, int]

MOST_WRITES = 4096
"""Register-file writes that a sidecar lists one by one, all programs together."""

MOST_VALUES = 64
"""Results of a phase that are listed one by one."""

LOW, HIGH = -(1 << 15), (1 << 15) - 1


def program_rows(
    fabric: Fabric, programs: Sequence[tuple[Mapping[Cell, Sequence[int]], int]]
) -> list[dict[str, Any]]:
    """A row for each program: (words by cell, predicted cycles)."""
    rows, listed = [], 0
    for cells, cycles in programs:
        made = run(fabric, cells, filled(fabric))
        values = values_by_cell(made)
        row = {
            "cycles": cycles,
            "cells": {
                f"{r} {c}": {
                    "writes": len(places),
                    "places": digest(places),
                    "values": digest(values.get((r, c), _NONE)),
                }
                for (r, c), places in predicted_places(fabric, cells).items()
            },
            "memory_writes": digest(made.sram_writes),
        }
        if listed + len(made.writes) <= MOST_WRITES:
            listed += len(made.writes)
            row["register_file"] = [" ".join(map(str, w)) for w in made.writes.tolist()]
            row["memory"] = [" ".join(map(str, w)) for w in made.sram_writes.tolist()]
        rows.append(row)
    return rows


def predicted_places(fabric: Fabric, cells: Mapping[Cell, Sequence[int]]) -> dict[Cell, Ints]:
    """(edge, address) of every register-file write by cell, from the words alone."""
    known: dict[tuple[int, tuple[int, ...]], Ints] = {}
    found: dict[Cell, Ints] = {}
    for (row, col), words in cells.items():
        key = (row, tuple(words))
        if key not in known:
            # Cells of a row with one program do the same, a skew apart.
            made = traces(fabric, (row, 0), words, (0,) * fabric.raccu_regs, 1)
            assert made is not None
            known[key] = _places(fabric, events_of(fabric, made[0], {}))
        found[row, col] = known[key] + np.array([fabric.skew(row, col) - fabric.skew(row, 0), 0])
    return found


def _places(fabric: Fabric, events: Events) -> Ints:
    stores = [
        np.stack(accessed_words(fabric, use), axis=1)
        for use in events.ports
        if use.port in {Port.W0, Port.W1}
    ]
    return sorted_rows(np.concatenate(stores) if stores else [], 2)


_NONE: Ints = np.zeros((0, 3), dtype=np.int64)


def values_by_cell(made: Run) -> dict[Cell, Ints]:
    """(edge, address, value) of the register-file writes of each cell that has some."""
    rows, columns = made.writes[:, 1], made.writes[:, 2]
    place = rows * (1 + columns.max(initial=0)) + columns
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    found = {}
    for mine in np.split(order, starts)[1:]:
        first = made.writes[mine[0]]
        found[int(first[1]), int(first[2])] = made.writes[mine][:, [0, 3, 4]]
    return found


def phase_row(
    op: MatrixOp | VectorOp,
    number: int,
    weights: Ints | None,
    bits: int,
    still: Collection[int] = (),
) -> dict[str, Any]:
    """What phase `number` gives for the operands of check_words.py.

    A product takes three vectors, so that both a pair and a single one are multiplied where pairs
    are. An elementwise phase runs twice; operands that are `still` are the same again.
    """
    row: dict[str, Any] = {"layer": layer_of(op)}
    if isinstance(op, MatrixOp):
        assert weights is not None
        x = product_vectors(weights.shape[1], number, bits)
        results = [_matrix(op, vector, weights) for vector in x]
    else:
        given = elementwise_operands(len(op.inputs), number, op.extent, still)
        results = _vector(op, given)
        row["still"] = sorted(still)
    return row | {
        "results": [
            {"digest": digest(y)} | ({"values": y.tolist()} if len(y) <= MOST_VALUES else {})
            for y in (np.ravel(one) for one in results)
        ],
    }


def _matrix(op: MatrixOp, x: Ints, weights: Ints) -> Ints:
    sums = saturating_product(x, weights, 32)
    shifts = op.amounts()
    runs = np.split(sums, len(shifts))
    return _clamped(np.concatenate([floor_shift(r, s) for r, s in zip(runs, shifts, strict=True)]))


def _vector(op: VectorOp, given: Sequence[Ints]) -> list[Ints]:
    shape = (2, op.extent)
    values = list(given) + [np.full(shape, c, dtype=np.int64) for c in op.constant_values()]
    held = dict(enumerate(values))
    for one in op.code():
        second = None if one.b is None else held[one.b]
        held[one.result] = _pass(one.mode, held[one.a], second, one.shift)
    return [held[n] for n in op.results_kept()]


def _pass(mode: Mode, a: Ints, b: Ints | None, shift: int) -> Ints:
    """One pass of the datapath (docs/isa/silago.md, Datapath)."""
    if b is None:
        points = np.asarray(nacu(SIGMOID if mode is Mode.SIGM else TANH).values())
        return points[a - LOW]
    match mode:
        case Mode.ADD:
            return _clamped(a + b)
        case Mode.SUBT:
            return _clamped(a + np.minimum(-b, HIGH))
        case Mode.MULT:
            return _clamped(floor_shift(a * b, shift))
        case Mode.SHIFT_L:
            return _clamped(a << (b & 15))
        case _:
            return a >> (b & 15)


def _clamped(values: Ints) -> Ints:
    return np.clip(values, LOW, HIGH)


def sidecar(
    programs: list[dict[str, Any]],
    phases: list[dict[str, Any]],
    images: Mapping[str, npt.NDArray[Any]],
    integers: Mapping[str, npt.NDArray[Any]],
) -> dict[str, Any]:
    """The file."""
    return {
        "schema": SCHEMA,
        "programs": programs,
        "phases": phases,
        "images": {name: digest(images[name]) for name in sorted(images)},
        "integers": {name: digest(integers[name]) for name in sorted(integers)},
    }
