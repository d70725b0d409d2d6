"""Products with two vectors at once: both lanes of a pair of cells, weights fetched once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from programs import calibrated, one_cell, sequences, tensor
from silago_compiled import emitted, random_inputs
from silago_programs import fabric

from mohaq.backends.base import Options, Workload
from mohaq.backends.silago import BACKEND
from mohaq.backends.silago.isa import instructions as isa
from mohaq.backends.silago.isa.instructions import Bw, Mode
from mohaq.backends.silago.isa.words import encode_all
from mohaq.backends.silago.kernels import matvec
from mohaq.backends.silago.machine import fabric_of, load_target
from mohaq.backends.silago.schedule.tasks import Band, MatrixTask
from mohaq.backends.silago.simulator.folder import run_folder
from mohaq.backends.silago.simulator.run import ENGINES, Engine, run
from mohaq.backends.silago.simulator.state import reset
from mohaq.backends.silago.verify import require
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import calibrate


def clamp(value: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("profile", "q411"), [("silago1-rtl", False), ("silago1-rtl", True), ("silago1-nn", True)]
)
@pytest.mark.parametrize(("rows", "features"), [(2, 1), (3, 16), (16, 40), (37, 33), (150, 17)])
def test_two_vectors(engine: Engine, profile: str, q411: bool, rows: int, features: int) -> None:
    """One pair of cells, some, all; one group a cell or many; results that saturate."""
    made_for = fabric_of(load_target(profile))
    rng = np.random.default_rng(rows)
    span = 20000 if q411 else 90
    weights = rng.integers(-span, span, (rows, features))
    x = rng.integers(-span, span, (2, features))
    x[:, 0] = -(1 << 15)
    kernel = matvec(made_for, weights, x, 16, q411=q411)
    require(made_for, kernel.programs)
    state = reset(made_for)
    for (tile, col, row), words in kernel.rows.items():
        state.sram[tile, col, row] = words
    done = run(made_for, kernel.programs, state, engine=engine)
    found = [int(state.rf[place]) for place in kernel.results]
    wanted = []
    for vector in x.tolist():
        for row in weights.tolist():
            total = 0
            for w, v in zip(row, vector, strict=True):
                total = clamp(total + w * v, 32)
            wanted.append(clamp(total >> 12 if q411 else total, 16))
    assert found == wanted
    groups = -(-rows // len(kernel.programs)) * len(kernel.programs)
    assert done.counters["macs_16"] == 2 * groups * 16 * -(-features // 16)


def test_two_vectors_need_a_pair_of_cells() -> None:
    with pytest.raises(MohaqError, match="no pair of cells"):
        matvec(fabric("silago1-rtl"), np.ones((1, 4), np.int64), np.ones((2, 4), np.int64), 16)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("bw", "bits"), [(Bw.INT16, 16), (Bw.INT8X2, 8), (Bw.INT4X4, 4)])
def test_sums_of_both_lanes_are_shown_one_by_one(engine: Engine, bw: Bw, bits: int) -> None:
    """The extension: NACU 0 by lanes, then NACU 1, shifted; the sums stay as they are."""
    made_for = fabric("silago-mohaq")
    rng = np.random.default_rng(bits)
    state = reset(made_for)
    state.rf[:, 0, :10] = rng.integers(-(1 << 15), 1 << 15, (2, 10))
    count = 2 * 16 // bits
    program = [
        isa.Swb(2, isa.Sink.IN0),
        isa.Swb(2, isa.Sink.IN1, src_port=1),
        isa.Swb(2, isa.Sink.IN2),
        isa.Swb(2, isa.Sink.IN3, src_port=1, src_row=1, send_to_other_row=1),
        isa.Swb(2, isa.Sink.W1, src_block=1),
        isa.BwConfig(bw),
        isa.Dpu(Mode.MAC),
        isa.Refi(isa.Port.R0, l1_iter=4, init_delay=2),
        isa.Refi(isa.Port.R1, init_addr=5, l1_iter=4, init_delay=1),
        isa.Wait(3),
        isa.Dpu(Mode.MODE_6, shift=3),
        isa.Refi(isa.Port.W1, init_addr=32, l1_iter=2 * count - 1, init_delay=1),
    ]
    # Row 1 lags by one edge.
    other = [isa.Refi(isa.Port.R1, init_addr=5, l1_iter=4, init_delay=8), isa.Wait(20)]
    programs = {(0, 0): encode_all(program), (1, 0): encode_all(other)}
    run(made_for, programs, state, engine=engine)

    def lanes(words: np.ndarray) -> np.ndarray:
        parts = words.astype(np.int64)[:, None] >> np.arange(0, 16, bits) & ((1 << bits) - 1)
        return np.where(parts >> (bits - 1), parts - (1 << bits), parts)

    w = lanes(state.rf[0, 0, :5])
    sums = [(w * lanes(state.rf[row, 0, 5:10])).sum(axis=0) for row in (0, 1)]
    wanted = [clamp(int(v) >> 3, 16) for part in sums for v in part]
    assert state.rf[0, 0, 32 : 32 + 2 * count].tolist() == wanted * 2


def linear(rows: int, features: int) -> Program:
    rng = np.random.default_rng(rows)
    net = Network()
    y = net.linear("fc", net.sequence(features), tensor(rng, rows, features), tensor(rng, rows))
    program = net.finish([y])
    calibrate(program, sequences(features=features, lengths=(3,)))
    return program


@pytest.mark.parametrize(
    ("name", "bits"), [("silago1-nn", 16), ("silago1-rtl", 16), ("silago-mohaq", 4)]
)
@pytest.mark.parametrize(("rows", "features"), [(1, 20), (150, 70), (40, 1100)])
def test_any_number_of_vectors(
    name: str, bits: int, rows: int, features: int, tmp_path: Path
) -> None:
    """Pairs, then one alone; the estimate counts what the host does."""
    program = linear(rows, features)
    legal, lowered = emitted(program, name, bits, tmp_path)
    target = BACKEND.load_target(name)
    for steps in (1, 2, 5):
        inputs = random_inputs(legal, steps, 1)
        done = BACKEND.simulate(tmp_path, inputs, Options())
        np.testing.assert_array_equal(done.outputs[0], run_integer(legal, inputs)[0])
        assert done.measured == BACKEND.estimate(lowered, target, Workload(steps), Options())


@pytest.mark.parametrize(
    ("bits", "rows", "width"), [(16, 70, 256), (4, 290, 256), (8, 34, 256), (8, 34, 255)]
)
def test_halves_of_long_groups_take_turns(bits: int, rows: int, width: int, tmp_path: Path) -> None:
    """Weights that come while a program runs; a slower port needs a program for each half."""
    shipped = BACKEND.load_target("silago-mohaq")
    text = shipped.path.read_text() if shipped.path else ""
    old = "[constants.refill_bits_per_cycle]\nvalue = 256"
    assert old in text
    (tmp_path / "port.toml").write_text(text.replace(old, old.replace("256", str(width))))
    name = str(tmp_path / "port.toml")
    program = linear(rows, 1000)
    legal, lowered = emitted(program, name, bits, tmp_path / "out")
    (phase,) = (o for o in json.loads((tmp_path / "out/manifest.json").read_text())["ops"]
                if o["op"] == "matrix")  # fmt: skip
    assert len(phase["programs"]["2"][0]) == (1 if width == 256 else 2)
    assert bool(phase["turn"]) == (width == 256)
    target = BACKEND.load_target(name)
    for steps in (1, 3):
        inputs = random_inputs(legal, steps, 1)
        done = run_folder(tmp_path / "out", inputs)
        np.testing.assert_array_equal(done.outputs[0], run_integer(legal, inputs)[0])
        assert done.measured == BACKEND.estimate(lowered, target, Workload(steps), Options())
        if (steps, bits, width) == (1, 8, 256):
            plain = run_folder(tmp_path / "out", inputs, engine="cycle")
            np.testing.assert_array_equal(plain.outputs[0], done.outputs[0])
            assert plain.measured == done.measured


def test_halves_that_come_at_another_time_are_noticed(tmp_path: Path) -> None:
    """Too early they replace what is still read, too late they are not there."""
    legal, _ = emitted(linear(70, 1000), "silago-mohaq", 16, tmp_path)
    inputs = random_inputs(legal, 2, 1)
    good = BACKEND.simulate(tmp_path, inputs, Options()).outputs[0]
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    phase = next(o for o in manifest["ops"] if o["op"] == "matrix")
    right = phase["turns"]["2"]
    assert len(right) == 2 * phase["groups"] - 1 > 1
    for off, same in ((-8, True), (0, True), (-40, False), (16, False)):
        phase["turns"]["2"] = [edge + off for edge in right]
        path.write_text(json.dumps(manifest))
        found = BACKEND.simulate(tmp_path, inputs, Options()).outputs[0]
        assert np.array_equal(found, good) == same, off


def test_rows_of_weights_are_read_once_for_two_vectors(tmp_path: Path) -> None:
    legal, _ = emitted(linear(128, 64), "silago-mohaq", 8, tmp_path)
    one, two = (
        BACKEND.simulate(tmp_path, random_inputs(legal, n, 1), Options()).measured.layers["fc"]
        for n in (1, 2)
    )
    task = MatrixTask(fabric("silago-mohaq"), 128, 64, 8, (Band(0, ((0, 128),)),))
    for frames, cost in ((1, one), (2, two)):
        counts = task.counts(frames)
        assert counts["macs_8"] == cost.counters["macs_8"] == frames * 128 * 64
    # Each cell of a pair reads its own weights and one of the vectors, as it does for one vector.
    weights = 128 * 64 * 8
    vectors = 16 * 64 * 16
    assert task.counts(2)["sram_bits_read"] == task.counts(1)["sram_bits_read"]
    assert task.counts(1)["sram_bits_read"] == weights + 4 * vectors + 16 * 4 * 256


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("batch", [2, 3])
def test_batches_inside_recurrences(kind: str, batch: int, tmp_path: Path) -> None:
    """The vectors of a batch share rows of recurrent weights."""
    program = one_cell(kind, hidden=9)
    calibrate(program, sequences(features=4))
    legal, lowered = emitted(program, "silago-mohaq", 8, tmp_path)
    inputs = random_inputs(legal, 3, batch)
    done = BACKEND.simulate(tmp_path, inputs, Options())
    np.testing.assert_array_equal(done.outputs[0], run_integer(legal, inputs)[0])
    target = BACKEND.load_target("silago-mohaq")
    assert done.measured == BACKEND.estimate(lowered, target, Workload(3, batch), Options())


@pytest.mark.parametrize(("name", "bits"), [("silago-mohaq", 4), ("silago1-rtl", 16)])
def test_both_engines_agree_on_pairs(name: str, bits: int, tmp_path: Path) -> None:
    program = calibrated()
    legal, _ = emitted(program, name, bits, tmp_path)
    inputs = random_inputs(legal, 2, 1)
    plain, fast = (run_folder(tmp_path, inputs, engine=engine) for engine in ENGINES)
    assert plain.measured == fast.measured
    np.testing.assert_array_equal(plain.outputs[0], fast.outputs[0])
    assert calibrated_table(program).searched()
