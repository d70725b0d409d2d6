"""Single products and segments of the compiler in faithful numerics, against plain integers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mohaq.backends.silago.isa.instructions import Mode
from mohaq.backends.silago.kernels import Kernel, elementwise, matvec
from mohaq.backends.silago.machine import Fabric, fabric_of, load_target
from mohaq.backends.silago.schedule.passes import Pass, in_order, live, segments
from mohaq.backends.silago.simulator.run import run
from mohaq.backends.silago.simulator.state import reset
from mohaq.backends.silago.verify import require
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.vectors.__main__ import app

FORMS = [("silago1-rtl", 16, False), ("silago1-nn", 16, True), ("silago1-nn", 8, False),
         ("silago1-nn", 4, False), ("silago1-rtl", 16, True)]  # fmt: skip


def clamp(value: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


def executed(fabric: Fabric, kernel: Kernel) -> tuple[list[int], int]:
    """(values at the places of the results, cycles)."""
    require(fabric, kernel.programs)
    state = reset(fabric)
    for (tile, col, row), words in kernel.rows.items():
        state.sram[tile, col, row] = words
    found = run(fabric, kernel.programs, state, engine="fast")
    return [int(state.rf[place]) for place in kernel.results], found.cycles


def expected(weights: np.ndarray, x: np.ndarray, bits: int, *, q411: bool) -> list[int]:
    """Results by rows: accumulators of 32, 16 or 8 bits that clamp at every addition."""
    made = []
    for row in weights.tolist():
        total = 0
        for w, v in zip(row, x.tolist(), strict=True):
            total = clamp(total + w * v, 32 if bits == 16 else 2 * bits)
        made.append(clamp(total >> 12 if q411 else total, bits))
    return made


@pytest.mark.parametrize(("profile", "bits", "q411"), FORMS)
@pytest.mark.parametrize(
    ("rows", "features"), [(1, 1), (4, 8), (7, 21), (11, 13), (24, 48), (40, 100), (5, 700)]
)
def test_products(profile: str, bits: int, q411: bool, rows: int, features: int) -> None:
    fabric = fabric_of(load_target(profile))
    rng = np.random.default_rng(rows * features)
    limit = 1 << (bits - 1)
    span = {16: 20000 if q411 else 90, 8: 12, 4: 4}[bits]
    weights = rng.integers(-min(span, limit), min(span, limit), (rows, features))
    x = rng.integers(-min(span, limit), min(span, limit), features)
    x[0] = weights[0, 0] = -limit
    kernel = matvec(fabric, weights, x, bits, q411=q411)
    words, _ = executed(fabric, kernel)
    lanes = 16 // bits
    found = [
        ((words[r // lanes] >> (bits * (r % lanes))) + limit) % (2 * limit) - limit
        for r in range(rows)
    ]
    assert found == expected(weights, x, bits, q411=q411)


def test_the_worked_example_needs_no_more_cycles() -> None:
    """y, and a last result at edge 48 in the program made by hand."""
    fabric = fabric_of(load_target("silago1-rtl"))
    weights = np.array(
        [[-5, 9, -7, -1, -6, 6, 5, 6], [3, -3, -6, 6, -9, 3, 4, -9],
         [5, -1, -2, 9, -6, 1, -9, -9], [-9, 8, -9, 3, -3, 4, -9, 7]]
    )  # fmt: skip
    kernel = matvec(fabric, weights, np.array([4, 8, 8, 9, 4, 6, 4, 4]), 16)
    state = reset(fabric)
    for (tile, col, row), words in kernel.rows.items():
        state.sram[tile, col, row] = words
    found = run(fabric, kernel.programs, state)
    stored = [
        found.writes[(found.writes[:, 1:4] == place).all(axis=1)][-1] for place in kernel.results
    ]
    assert [int(line[4]) for line in stored] == [43, -44, -13, -13]
    assert max(int(line[0]) for line in stored) <= 48


def test_a_product_that_fits_no_run_is_refused() -> None:
    fabric = fabric_of(load_target("silago1-nn"))
    with pytest.raises(MohaqError, match="does not fit one run"):
        matvec(fabric, np.ones((600, 700), dtype=np.int64), np.ones(700, dtype=np.int64), 16)
    with pytest.raises(MohaqError, match="do not fit a tile"):
        matvec(fabric, np.ones((1, 4000), dtype=np.int64), np.ones(4000, dtype=np.int64), 16)


@pytest.mark.parametrize("seed", range(6))
def test_random_passes_in_segments(seed: int) -> None:
    """Any dependence graph: operands come first, no segment is too large, nothing is lost."""
    rng = np.random.default_rng(seed)
    passes = []
    for n in range(6, 40):
        mode = (Mode.ADD, Mode.SUBT, Mode.MULT, Mode.SIGM, Mode.TANHYP)[rng.integers(5)]
        a, b = (int(v) for v in rng.integers(max(0, n - 9), n, 2))
        passes.append(Pass(mode, a, None if mode in {Mode.SIGM, Mode.TANHYP} else b, n))
    ordered = in_order(passes)
    assert sorted(p.result for p in ordered) == [p.result for p in passes]
    known = set(range(6))
    for one in ordered:
        assert set(one.reads) <= known
        known.add(one.result)
    made = segments(ordered, {39, 20}, 35, wide=False)
    given = set(range(6))
    for segment in made:
        assert set(segment.inputs) <= given
        assert len(segment.inputs) <= 12
        assert 1 <= len(segment.outputs) <= 4
        given |= set(segment.outputs)
    assert {39, 20} <= given
    assert sum(len(s.passes) for s in made) == len(live(ordered, {39, 20}))


def test_an_elementwise_kernel() -> None:
    fabric = fabric_of(load_target("silago1-nn"))
    rng = np.random.default_rng(0)
    values = {n: rng.integers(-(1 << 15), 1 << 15, 70) for n in range(2)}
    kernel = elementwise(fabric, [Pass(Mode.MULT, 0, 1, 2, 12)], (2,), values)
    require(fabric, kernel.programs)
    state = reset(fabric)
    for (tile, col, row), words in kernel.rows.items():
        state.sram[tile, col, row] = words
    found = run(fabric, kernel.programs, state)
    stored = {v for *_, v in found.writes.tolist()}
    wanted = {clamp(int(a) * int(b) >> 12, 16) for a, b in zip(values[0], values[1], strict=True)}
    assert wanted <= stored


def test_export_and_check(tmp_path: Path) -> None:
    runner = CliRunner()
    out = tmp_path / "made.json"
    done = runner.invoke(app, ["silago", "--export", str(out), "--kind", "matvec", "--seed", "3"])
    assert done.exit_code == 0, done.output
    data = json.loads(out.read_text())
    assert len(data["vectors"]) >= 16
    for vector in data["vectors"]:
        meant = vector["intent"]
        final = {(r, c, a): v for _, r, c, a, v in vector["rf_writes"]}
        words = [final[tuple(place)] for place in meant["y_at"]]
        bits, lanes = meant["bits"], meant["lanes"]
        limit = 1 << (bits - 1)
        y = [
            ((words[r // lanes] >> (bits * (r % lanes))) + limit) % (2 * limit) - limit
            for r in range(meant["M"])
        ]
        q411 = "Q4.11" in vector["covers"]
        assert y == expected(np.array(meant["W"]), np.array(meant["x"]), bits, q411=q411)
    pairs = tmp_path / "pairs.json"
    command = ["silago", "--export", str(pairs), "--kind", "matvec_pair"]
    assert runner.invoke(app, command).exit_code == 0
    for vector in json.loads(pairs.read_text())["vectors"]:
        meant = vector["intent"]
        assert vector["profile"] == "silago1-rtl"
        final = {(r, c, a): v for _, r, c, a, v in vector["rf_writes"]}
        found = [final[tuple(place)] for place in meant["y_at"]]
        assert found == [
            y
            for x in meant["x"]
            for y in expected(np.array(meant["W"]), np.array(x), 16, q411=False)
        ]
    assert runner.invoke(app, ["silago", str(pairs)]).exit_code == 0
    again = runner.invoke(app, ["silago", str(out)])
    assert again.exit_code == 0, again.output
    wrong = runner.invoke(app, ["silago", "--export", str(out), "--kind", "matvac"])
    assert wrong.exit_code == 2
    assert runner.invoke(app, ["silago"]).exit_code == 2
