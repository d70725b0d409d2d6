"""Writes programs that the compiler makes, with what the simulator says that they do.

The file has the format of file.py; another model of the fabric can execute it and compare every
write. All programs keep to what was measured on the public RTL and its two repairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mohaq.backends.silago.isa.instructions import Mode
from mohaq.backends.silago.isa.text import row_hex
from mohaq.backends.silago.kernels import Kernel, elementwise, matvec
from mohaq.backends.silago.machine import Fabric, fabric_of, load_target
from mohaq.backends.silago.schedule.passes import Pass
from mohaq.backends.silago.simulator.run import run
from mohaq.backends.silago.simulator.state import reset
from mohaq.backends.silago.verify import require
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.files import dump_json, write_text

Made = tuple[str, str, Kernel, dict[str, Any] | None]
"""Profile, what it covers, the program, what it means."""

Rng = np.random.Generator
SRU_VALUES = ("v_f", "c", "u_f", "v_r", "u_r", "u_x", "one")


def export(path: Path, kinds: tuple[str, ...], seed: int) -> int:
    """Write the programs of some kinds; gives their number.

    Raises:
        MohaqError: an unknown kind, a file that cannot be written.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise MohaqError(f"no kind '{kind}' of programs", hint=did_you_mean(kind, KINDS))
    vectors = []
    for kind in kinds:
        rng = np.random.default_rng([seed, sorted(KINDS).index(kind)])
        for number, made in enumerate(KINDS[kind](rng)):
            vectors.append(_vector(f"mohaq-{kind}-{number:02d}", *made))
    header = {
        "about": "Programs made by the mohaq compiler; expected values are predictions of its "
        "simulator",
        "seed": seed,
        "count": len(vectors),
        "initial": "all register files, accumulators, instruction stores are 0 at the start",
    }
    write_text(path, dump_json({"header": header, "vectors": vectors}))
    return len(vectors)


def _vector(
    name: str, profile: str, covers: str, kernel: Kernel, intent: dict[str, Any] | None
) -> dict[str, Any]:
    fabric = fabric_of(load_target(profile))
    require(fabric, kernel.programs, where=name)
    state = reset(fabric)
    for (tile, col, row), words in kernel.rows.items():
        state.sram[tile, col, row] = words
    before = state.sram.copy()
    result = run(fabric, kernel.programs, state)
    changed = np.argwhere((before != state.sram).any(axis=3)).tolist()
    made: dict[str, Any] = {
        "id": name,
        "covers": covers,
        "profile": profile,
        "edges": result.cycles + 4,
        "sram": [
            [tile + 1, col, row, row_hex(words)]
            for (tile, col, row), words in sorted(kernel.rows.items())
            if any(words)
        ],
        "cells": [
            {"cell": list(cell), "words": [[1, f"{w:07x}"] for w in words]}
            for cell, words in sorted(kernel.programs.items())
        ],
        "rf_writes": result.writes.tolist(),
        "sram_writes": result.sram_writes.tolist(),
        "sram_changed": [
            [t + 1, c, r, row_hex(tuple(state.sram[t, c, r].tolist()))] for t, c, r in changed
        ],
    }
    if intent is not None:
        at = [list(place) for place in kernel.results]
        made["intent"] = {**intent, "y_at": at}
    return made


def _matvecs(rng: Rng) -> Iterator[Made]:
    """Products in every operand format; one cell, one row of cells, both rows."""
    forms = [
        ("silago1-rtl", 16, False), ("silago1-nn", 16, True),
        ("silago1-nn", 8, False), ("silago1-nn", 4, False), ("silago1-rtl", 16, True),
    ]  # fmt: skip
    for profile, bits, q411 in forms:
        fabric = fabric_of(load_target(profile))
        lanes = 16 // bits
        for rows, features in ((1, 5), (3 * lanes, 16), (8 * lanes, 33), (19 * lanes, 70)):
            yield _matvec(rng, fabric, bits, rows, features, q411=q411)


def _pairs(rng: Rng) -> Iterator[Made]:
    """Two vectors at once on both lanes of int16 datapaths; one pair of cells, some, all."""
    fabric = fabric_of(load_target("silago1-rtl"))
    for rows, features in ((2, 5), (3, 16), (9, 33), (16, 7), (47, 70), (70, 40)):
        weights, x = (rng.integers(-60, 61, shape) for shape in ((rows, features), (2, features)))
        kernel = matvec(fabric, weights, x, 16)
        covers = f"product {rows} x {features} with two vectors, {len(kernel.programs)} cells"
        intent = {
            "kind": "matvec_pair", "M": rows, "K": features, "bits": 16, "lanes": 1,
            "W": weights.tolist(), "x": x.tolist(),
        }  # fmt: skip
        yield fabric.name, covers, kernel, intent


def _matvec(rng: Rng, fabric: Fabric, bits: int, rows: int, features: int, *, q411: bool) -> Made:
    limit = 1 << (bits - 1)
    # Large enough that some results saturate.
    span = {16: 3000 if q411 else 60, 8: 6, 4: 2}[bits]
    weights = rng.integers(-span, span + 1, (rows, features))
    x = rng.integers(-min(span, limit), min(span, limit - 1) + 1, features)
    kernel = matvec(fabric, weights, x, bits, q411=q411)
    form = "Q4.11" if q411 else f"{16 // bits} x int{bits}"
    cells = len(kernel.programs)
    covers = f"product {rows} x {features}, {form}, {cells} cells"
    intent = {
        "kind": "matvec", "M": rows, "K": features, "bits": bits, "lanes": 16 // bits,
        "W": weights.tolist(), "x": x.tolist(),
    }  # fmt: skip
    return fabric.name, covers, kernel, intent


def _sru_steps(rng: Rng) -> Iterator[Made]:
    """The elementwise part of an SRU step with faithful numerics (state without a function)."""
    code = [
        (Mode.MULT, 0, 1), (Mode.ADD, 2, 7), (Mode.SIGM, 8, None), (Mode.ADD, 9, 9),
        (Mode.MULT, 3, 1), (Mode.ADD, 4, 11), (Mode.SIGM, 12, None), (Mode.ADD, 13, 13),
        (Mode.MULT, 10, 1), (Mode.SUBT, 6, 10), (Mode.MULT, 16, 5), (Mode.ADD, 15, 17),
        (Mode.MULT, 14, 18),
    ]  # fmt: skip
    passes = [
        Pass(mode, a, b, len(SRU_VALUES) + n, 12 if mode is Mode.MULT else 0)
        for n, (mode, a, b) in enumerate(code)
    ]
    cases = [("silago1-nn", units) for units in (1, 4, 6, 33, 70)]
    for profile, units in [*cases, ("silago1-rtl", 5), ("silago1-rtl", 70)]:
        fabric = fabric_of(load_target(profile))
        values = {n: rng.integers(-6000, 6000, units) for n in range(len(SRU_VALUES))}
        values[SRU_VALUES.index("one")][:] = 4096
        kernel = elementwise(fabric, passes, (18, 19), values)
        cells = len(kernel.programs)
        covers = f"first segment of an SRU step of {units} units, {cells} cells"
        yield fabric.name, covers, kernel, None


def _elementwise(rng: Rng) -> Iterator[Made]:
    """Every elementwise mode on values from the whole range."""
    fabric = fabric_of(load_target("silago1-nn"))
    modes = (Mode.ADD, Mode.SUBT, Mode.MULT, Mode.SHIFT_L, Mode.SHIFT_R, Mode.SIGM, Mode.TANHYP)
    for number, mode in enumerate(modes):
        two = mode not in {Mode.SIGM, Mode.TANHYP}
        values = {n: rng.integers(-(1 << 15), 1 << 15, 5 + 9 * number) for n in range(2)}
        values[0][0], values[1][0] = -(1 << 15), -(1 << 15)
        if mode in {Mode.SHIFT_L, Mode.SHIFT_R}:
            values[1] = values[1] & 15
        shift = 12 if mode is Mode.MULT else 0
        kernel = elementwise(fabric, [Pass(mode, 0, 1 if two else None, 2, shift)], (2,), values)
        yield fabric.name, f"{mode.name.lower()} over {len(values[0])} elements", kernel, None
    # Where the format acts for one result: a BW_CONFIG for each product.
    rtl = fabric_of(load_target("silago1-rtl"))
    for extent in (3, 40):
        values = {n: rng.integers(-(1 << 15), 1 << 15, extent) for n in range(2)}
        code = [
            Pass(Mode.MULT, 0, 1, 2, 12),
            Pass(Mode.SIGM, 2, None, 3),
            Pass(Mode.MULT, 3, 2, 4, 12),
        ]
        yield (
            rtl.name,
            f"mult, sigm, mult over {extent}",
            elementwise(rtl, code, (2, 4), values),
            None,
        )


KINDS: Mapping[str, Callable[[Rng], Iterator[Made]]] = {
    "elementwise": _elementwise,
    "matvec": _matvecs,
    "matvec_pair": _pairs,
    "sru_step": _sru_steps,
}
