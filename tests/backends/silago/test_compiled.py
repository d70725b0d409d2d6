"""Programs that the compiler makes: bits, counters, rules of the fabric, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import calibrated, one_cell, one_sru, sequences, sru, tensor
from searches import labelled
from silago_compiled import (
    CASES,
    Inputs,
    emitted,
    legalized,
    neutral_and_legal,
    random_inputs,
    sequences_features,
)
from typer.testing import CliRunner

import mohaq
from mohaq.backends.base import IllegalAssignment, Options, Simulation, Workload
from mohaq.backends.silago import BACKEND
from mohaq.backends.silago.isa.text import read_bits
from mohaq.backends.silago.isa.words import decode_all
from mohaq.backends.silago.machine import fabric_of
from mohaq.backends.silago.simulator.folder import run_folder
from mohaq.backends.silago.verify import check
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.network import Network
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.passes.calibrate import calibrate
from mohaq.tools.cli import app


@pytest.mark.parametrize(("name", "bits"), CASES)
def test_a_deep_network(name: str, bits: int, tmp_path: Path) -> None:
    """Bi-SRU, projection, Bi-SRU, classifier with full-range inputs, on both engines."""
    program = calibrated()
    legal, lowered = emitted(program, name, bits, tmp_path)
    inputs = random_inputs(legal, 4, 2)
    target = BACKEND.load_target(name)
    run = BACKEND.simulate(tmp_path, inputs, Options())
    for ours, theirs in zip(run.outputs, run_integer(legal, inputs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    estimate = BACKEND.estimate(lowered, target, Workload(4, 2), Options())
    assert run.measured == estimate
    step = [inputs[0][:1, :1]]
    plain = run_folder(tmp_path, step, engine="cycle")
    fast = run_folder(tmp_path, step, engine="fast")
    assert plain.measured == fast.measured
    np.testing.assert_array_equal(plain.outputs[0], fast.outputs[0])
    table = calibrated_table(program).table
    space = BACKEND.space(table, target)
    genome = space.encode(dict.fromkeys(calibrated_table(program).searched(), bits))
    costs = BACKEND.cost_model(table, space, target).cost([genome], Workload(4, 2), Options())
    assert costs["latency"][0] == estimate.total.latency
    assert costs["energy"][0] == estimate.total.joules
    assert costs["size"][0] == estimate.size_bytes


@pytest.mark.parametrize(("name", "bits"), CASES)
def test_programs_keep_every_rule_of_the_fabric(name: str, bits: int, tmp_path: Path) -> None:
    emitted(calibrated(), name, bits, tmp_path)
    fabric = fabric_of(BACKEND.load_target(name))
    texts = sorted((tmp_path / "programs").glob("*.txt"))
    assert len(texts) > 5
    for path in texts:
        findings, _ = check(fabric, read_bits(path.read_text()))
        assert not findings, f"{path.name}: {findings[0]}"


@pytest.mark.parametrize("features", [1, 16, 17, 300, 1100, 1856])
@pytest.mark.parametrize(("name", "bits"), CASES)
def test_products_of_any_shape(features: int, name: str, bits: int, tmp_path: Path) -> None:
    """One to many chunks, groups that fill no cell, a group in two parts (1100 inputs)."""
    rng = np.random.default_rng(features)
    net = Network()
    rows = 70 if features < 1000 else 20
    y = net.linear("fc", net.sequence(features), tensor(rng, rows, features), tensor(rng, rows))
    program = net.finish([y])
    calibrate(program, sequences(features=features, lengths=(3,)))
    legal, lowered = emitted(program, name, bits, tmp_path)
    inputs = random_inputs(legal, 2, 1)
    run = BACKEND.simulate(tmp_path, inputs, Options())
    np.testing.assert_array_equal(run.outputs[0], run_integer(legal, inputs)[0])
    target = BACKEND.load_target(name)
    assert run.measured == BACKEND.estimate(lowered, target, Workload(2), Options())


@pytest.mark.parametrize(("name", "bits"), CASES)
def test_two_rows_of_results_keep_the_rules(name: str, bits: int, tmp_path: Path) -> None:
    """Both cells of a column write two rows to the near tile, one after the other."""
    rng = np.random.default_rng(0)
    net = Network()
    y = net.linear("fc", net.sequence(20), tensor(rng, 600, 20))
    program = net.finish([y])
    calibrate(program, sequences(features=20, lengths=(3,)))
    legal, _ = emitted(program, name, bits, tmp_path)
    data = json.loads((tmp_path / "manifest.json").read_text())
    rows = [n for op in data["ops"] if op["op"] == "matrix" for n in op["out_rows"].values()]
    assert max(rows) == 2
    fabric = fabric_of(BACKEND.load_target(name))
    for path in (tmp_path / "programs").glob("*.txt"):
        findings, _ = check(fabric, read_bits(path.read_text()))
        assert not findings, f"{path.name}: {findings[0]}"
    # Two vectors at once, which have the most results, and one.
    inputs = random_inputs(legal, 3, 1)
    run = BACKEND.simulate(tmp_path, inputs, Options())
    np.testing.assert_array_equal(run.outputs[0], run_integer(legal, inputs)[0])


def test_rows_without_time(tmp_path: Path) -> None:
    """A program that takes [N, F]: N frames."""
    rng = np.random.default_rng(0)
    net = Network()
    y = net.linear("fc", net.argument([DYNAMIC, 6]), tensor(rng, 5, 6), tensor(rng, 5))
    program = net.finish([y])
    calibrate(program, [tensor(rng, 7, 6)])
    legal, lowered = emitted(program, "silago-mohaq", 8, tmp_path)
    inputs = [rng.integers(-(1 << 15), 1 << 15, (4, 6))]
    run = BACKEND.simulate(tmp_path, inputs, Options())
    np.testing.assert_array_equal(run.outputs[0], run_integer(legal, inputs)[0])
    target = BACKEND.load_target("silago-mohaq")
    assert run.measured == BACKEND.estimate(lowered, target, Workload(4), Options())


@pytest.mark.parametrize(("name", "bits"), CASES)
@pytest.mark.parametrize("kind", ["sru", "lstm", "gru"])
def test_the_legalized_program_computes_nearly_the_same(kind: str, name: str, bits: int) -> None:
    """Q4.11 gates and floors against the neutral program: far less than a clip."""
    program = one_sru(hidden=6) if kind == "sru" else one_cell(kind, hidden=6)
    calibrate(program, sequences(features=4))
    legal, _ = legalized(program, name, bits)
    a, b = neutral_and_legal(program, legal, name, bits)
    off = np.abs(a - b) / np.abs(a).max()
    # A 4-bit value that falls on the other side of a half moves by a whole step.
    assert off.mean() < (0.004 if bits > 4 else 0.05)


@pytest.mark.parametrize(("name", "bits"), CASES)
def test_the_search_has_the_same_bits(name: str, bits: int) -> None:
    program = calibrated()
    target = BACKEND.load_target(name)
    data = labelled(program, 3, lengths=(3, 1, 6), features=5)
    evaluator = Evaluator(program, BACKEND, target, data, get_metric("fer"))
    fast = evaluator.outputs(dict.fromkeys(calibrated_table(program).searched(), bits))
    legal, _ = legalized(program, name, bits)
    (grid,) = argument_grids(legal.entry)
    assert grid is not None
    for ours, x in zip(fast, data.inputs, strict=True):
        wanted = run_integer(legal, [quantize(x, grid)[:, None]])[0][:, 0]
        np.testing.assert_array_equal(ours, wanted)


def test_sums_saturate_in_their_order(tmp_path: Path) -> None:
    """16-bit sums that clamp on the way and come back: reference, evaluator and fabric agree."""
    rng = np.random.default_rng(0)
    net = Network()
    weight = np.where(np.arange(40) < 20, 1.0, -1.0) * rng.uniform(0.9, 1, (5, 40))
    y = net.linear("fc", net.sequence(40), weight.astype(np.float32))
    program = net.finish([y])
    loud = [np.full((3, 40), 4, dtype=np.float32)]
    calibrate(program, loud)
    legal, _ = emitted(program, "silago-mohaq", 16, tmp_path)
    assert "saturate" in str(legal.module)
    inputs = [np.full((2, 1, 40), 32767)]
    expected = run_integer(legal, inputs)[0]
    weights = next(legal.parameters[n] for n in legal.parameters if "weight" in n).astype(np.int64)
    # The exact sum: about nothing. The clamped one: 2^31 - 1, then 20 products of -1 less.
    assert not np.array_equal(weights @ inputs[0][0, 0] >> 20, expected[0, 0] >> 5)
    run = BACKEND.simulate(tmp_path, inputs, Options())
    np.testing.assert_array_equal(run.outputs[0], expected)


def no_relu() -> Program:
    return one_cell("lstm", activations=[FunctionAttr.of(f) for f in ("sigmoid", "tanh", "relu")])


def clipped() -> Program:
    return one_cell("gru", clip=1.0)


def wide_window() -> Program:
    return one_cell("qrnn", window=2)


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (wide_window, "silago-mohaq", "window of 2"),
        (clipped, "silago-mohaq", "clip"),
        (no_relu, "silago-mohaq", "NACU computes sigmoid and tanh"),
        (lambda: one_sru(inputs=2000), "silago-mohaq", "2000 inputs"),
    ],
)
def test_what_is_refused(make: Callable[[], Program], name: str, message: str) -> None:
    program = make()
    calibrate(program, sequences(features=sequences_features(program), lengths=(2,)))
    with pytest.raises(MohaqError, match=message) as caught:
        BACKEND.space(calibrated_table(program).table, BACKEND.load_target(name))
    assert "layer 'l0'" in str(caught.value)


def test_scales_that_no_shift_can_express_are_refused() -> None:
    program = one_sru(skip="projected", skip_scale=1.5)
    calibrate(program, sequences(features=4))
    with pytest.raises(IllegalAssignment, match="rescales by shifts"):
        legalized(program, "silago-mohaq", 8)


def test_packed_products_without_a_shift_are_refused() -> None:
    program = calibrated()
    target = BACKEND.load_target("silago1-nn")
    widths = dict.fromkeys(calibrated_table(program).searched(), 8)
    with pytest.raises(MohaqError, match="the target allows 16/16"):
        BACKEND.require_legal(calibrated_table(program).table, target, widths)
    with pytest.raises(IllegalAssignment, match="8-bit products in faithful numerics"):
        legalized(program, "silago1-nn", 8)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Inputs, Simulation]:
    program = one_sru(inputs=5, hidden=5, activation="tanh")
    calibrate(program, sequences(features=5))
    legal, _ = emitted(program, "silago-mohaq", 8, tmp_path)
    inputs = random_inputs(legal, 3, 1)
    return tmp_path, inputs, BACKEND.simulate(tmp_path, inputs, Options())


def changed(folder: Path, inputs: Inputs, good: Simulation) -> bool:
    try:
        run = BACKEND.simulate(folder, inputs, Options())
    except MohaqError:
        return True
    same = all(map(np.array_equal, run.outputs, good.outputs))
    return not same or run.measured != good.measured


def test_flipped_bits_are_noticed(small: tuple[Path, Inputs, Simulation]) -> None:
    """In every class of instruction.

    Fields that say nothing remain: steps and delays of single accesses, the source row of a
    connection, a format that is set again before it counts.
    """
    folder, inputs, good = small
    path = folder / "manifest.json"
    text = path.read_text()
    rng = np.random.default_rng(0)
    places: dict[str, list[tuple[int, str, int]]] = {}
    for number, program in enumerate(json.loads(text)["programs"]):
        for row, words in program.items():
            for pc, item in decode_all([int(w, 16) for w in words]):
                places.setdefault(item.NAME, []).append((number, row, pc))
    assert set(places) >= {"SRAM", "REFI", "DPU", "SWB", "LOOP", "RACCU", "ROUTE", "BW_CONFIG"}
    for name, known in places.items():
        noticed = 0
        for _ in range(9):
            number, row, at = known[rng.integers(len(known))]
            data: dict[str, Any] = json.loads(text)
            words = data["programs"][number][row]
            words[at] = f"{int(words[at], 16) ^ 1 << int(rng.integers(27)):07x}"
            path.write_text(json.dumps(data))
            noticed += changed(folder, inputs, good)
        assert noticed, name
    path.write_text(text)
    assert not changed(folder, inputs, good)


def test_flipped_weights_are_noticed(small: tuple[Path, Inputs, Simulation]) -> None:
    folder, inputs, good = small
    path = folder / "images.safetensors"
    images = ParameterStore.load(path)
    name = next(iter(images))
    held = np.array(images[name])
    at = tuple(int(n) for n in np.argwhere(held)[0])
    held[at] ^= 0x40
    ParameterStore({**{n: images[n] for n in images}, name: held}).save(path, dict.fromkeys(images))
    assert changed(folder, inputs, good)


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: d.pop("schema"),
        lambda d: d.update(schema="other"),
        lambda d: d["fabric"].pop("rows"),
        lambda d: d.update(ops=[{"op": "magic", "in": [], "out": []}]),
        lambda d: d.update(results=[999]),
        lambda d: [o.update(layer="nobody") for o in d["ops"] if "layer" in o],
        lambda d: d["programs"][0].update({"0": ["7ffffff"]}),
        lambda d: d.update(counters=[]),
    ],
)
def test_damaged_folders_are_one_clear_error(
    harm: Callable[[dict[str, Any]], object], small: tuple[Path, Inputs, Simulation]
) -> None:
    folder, inputs, _ = small
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    harm(data)
    path.write_text(json.dumps(data))
    with pytest.raises(MohaqError):
        BACKEND.simulate(folder, inputs, Options())


def test_missing_files_and_bad_inputs(small: tuple[Path, Inputs, Simulation]) -> None:
    folder, inputs, _ = small
    with pytest.raises(MohaqError, match="integers are needed"):
        BACKEND.simulate(folder, [inputs[0].astype(float)], Options())
    with pytest.raises(MohaqError, match="takes 1 inputs"):
        BACKEND.simulate(folder, [], Options())
    with pytest.raises(MohaqError, match="does not fit"):
        BACKEND.simulate(folder, [inputs[0][..., :2]], Options())
    with pytest.raises(MohaqError, match="leave 16 bits"):
        BACKEND.simulate(folder, [inputs[0] + 70000], Options())
    with pytest.raises(MohaqError, match="does not know timing"):
        BACKEND.simulate(folder, inputs, Options(timing="guess"))
    (folder / "images.safetensors").unlink()
    with pytest.raises(MohaqError):
        BACKEND.simulate(folder, inputs, Options())


def test_emission_is_deterministic(tmp_path: Path) -> None:
    for name in ("a", "b"):
        emitted(calibrated(), "silago-mohaq", 8, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert {"listing.txt", "floorplan.svg", "images.safetensors"} <= {f.name for f in files}
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    events = json.loads((tmp_path / "a/timeline.json").read_text())["traceEvents"]
    assert {"SRAM", "mac", "sigm"} <= {e["name"] for e in events}
    assert all(e["dur"] >= 1 for e in events if e["ph"] == "X")
    assert "no public hardware computes them" in (tmp_path / "a/listing.txt").read_text()


def test_a_model_over_the_limit_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = BACKEND.load_target("silago-mohaq")
    assert target["model_bytes"] == 6 << 20
    calibrated().save(tmp_path / "model")
    text = target.path.read_text() if target.path else ""
    small = text.replace("value = 6291456", "value = 100")
    assert small != text
    (tmp_path / "tiny.toml").write_text(small)
    command = ["compile", str(tmp_path / "model"), "-t", str(tmp_path / "tiny.toml"), "--bits", "8"]
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "over the limit" in " ".join((done.output + capsys.readouterr().out).split())


def test_the_public_interface(tmp_path: Path) -> None:
    program = calibrated()
    made = mohaq.compile(program, "silago-mohaq", mohaq.Assignment.uniform(8), tmp_path / "out")
    assert made.estimate.total.cycles > 0
    for file in (tmp_path / "out").rglob("*.mlir"):
        if "legal" not in str(file):
            file.unlink()
    x = sequences(4)[0]
    ran = mohaq.CompiledFolder(tmp_path / "out").run(x, check=True)
    assert ran.equal


@pytest.mark.slow
def test_the_papers_network(tmp_path: Path) -> None:
    """Four Bi-SRU layers of 550, projections of 256, 1904 classes: 5.6 million weights."""
    rng = np.random.default_rng(0)
    net = Network()
    x, features = net.sequence(23), 23
    for n in range(4):
        x, _ = sru(net, rng, f"l{n}", x, features, 550)
        if n < 3:
            x = net.linear(f"pr{n + 1}", x, tensor(rng, 256, 1100))
            features = 256
    program = net.finish([net.linear("fc", x, tensor(rng, 1904, 1100), tensor(rng, 1904))])
    calibrate(program, sequences(features=23, lengths=(4,)))
    legal, lowered = emitted(program, "silago-mohaq", 8, tmp_path)
    inputs = random_inputs(legal, 2, 1)
    run = BACKEND.simulate(tmp_path, inputs, Options())
    np.testing.assert_array_equal(run.outputs[0], run_integer(legal, inputs)[0])
    target = BACKEND.load_target("silago-mohaq")
    assert run.measured == BACKEND.estimate(lowered, target, Workload(2), Options())
