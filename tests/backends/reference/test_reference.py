"""The reference backend: search cost = estimate = counters, outputs = the interpreter."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import calibrated, one_sru, sequences, speech_like
from safetensors.numpy import load_file, save_file

from mohaq.backends.base import IllegalAssignment, Options, Simulation, Target, Workload
from mohaq.backends.reference import BACKEND
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

TARGET = BACKEND.load_target("reference")
OPTIONS = Options()


def compiled(program: Program, widths: Mapping[Slot, int], target: Target = TARGET) -> Program:
    annotated = program.clone()
    apply_assignment(annotated, widths)
    return BACKEND.legalize(lower_to_qnn(annotated), target)


def random_inputs(program: Program, steps: int, batch: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    features = layer_table(program).layers[0].inputs
    return [rng.integers(-32768, 32768, size=(steps, batch, features))]


@given(seed=st.integers(0, 5000), steps=st.integers(1, 6), batch=st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_the_invariant(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int, batch: int
) -> None:
    program = calibrated(seed % 4)
    table = layer_table(program)
    space = BACKEND.space(table, TARGET)
    rng = np.random.default_rng(seed)
    genome = rng.integers(0, space.upper + 1)
    widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
    # A small cache makes the shared-memory term count.
    small = replace(
        TARGET,
        constants={
            **TARGET.constants,
            "cache_bytes": replace(TARGET.constants["cache_bytes"], value=300.0),
        },
    )
    workload = Workload(steps, batch)
    costs = BACKEND.cost_model(table, space, small).cost(genome, workload, OPTIONS)
    legal = compiled(program, widths, small)
    lowered = BACKEND.lower(legal, small, OPTIONS)
    estimate = BACKEND.estimate(lowered, small, workload, OPTIONS)
    folder = tmp_path_factory.mktemp("emitted")
    BACKEND.emit(lowered, folder, small)
    inputs = random_inputs(program, steps, batch, seed)
    found = BACKEND.simulate(folder, inputs, OPTIONS)
    assert found.measured == estimate
    assert estimate.total.seconds == costs["latency"][0]
    assert estimate.total.joules == costs["energy"][0]
    assert estimate.size_bytes == costs["size"][0]
    assert set(estimate.layers) == set(table.names)
    assert sum(c.cycles for c in estimate.layers.values()) == estimate.total.cycles
    for a, b in zip(found.outputs, run_integer(legal, inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_costs_of_many_genomes_are_those_of_each() -> None:
    table = layer_table(speech_like(0))
    space = BACKEND.space(table, TARGET)
    model = BACKEND.cost_model(table, space, TARGET)
    genomes = np.random.default_rng(0).integers(0, space.upper + 1, size=(20, len(space.upper)))
    together = model.cost(genomes, Workload(50, 2), OPTIONS)
    for n, genome in enumerate(genomes):
        for name, values in model.cost(genome, Workload(50, 2), OPTIONS).items():
            assert values[0] == together[name][n]


def test_costs_do_not_add_up_over_layers() -> None:
    table = layer_table(speech_like(0))
    space = BACKEND.space(table, TARGET)
    model = BACKEND.cost_model(table, space, TARGET)
    count = len(space.upper)
    flat, one, two = np.full(count, 1), np.full(count, 1), np.full(count, 1)
    one[0], two[1] = 2, 2
    both = one + two - flat
    latency = model.cost(np.stack([flat, one, two, both]), Workload(1), OPTIONS)["latency"]
    assert latency[3] - latency[0] != pytest.approx(latency[1] + latency[2] - 2 * latency[0])


def test_linear_layers_of_one_shape_share_a_gene() -> None:
    rng = np.random.default_rng(0)
    net = Network()
    x = net.sequence(4)
    for n in range(3):
        x = net.linear(f"a{n}", x, rng.normal(size=(4, 4)).astype(np.float32))
    y = net.linear("b", x, rng.normal(size=(2, 4)).astype(np.float32))
    space = BACKEND.space(layer_table(net.finish([y])), TARGET)
    assert [g.name for g in space.groups] == ["a0+a1+a2", "b"]
    widths = {s: int(v[0]) for s, v in space.widths([2, 0]).items()}
    assert widths[Slot("a2", "input")] == 8
    assert widths[Slot("b", "weight")] == 2
    assert space.encode(widths).tolist() == [2, 0]
    with pytest.raises(MohaqError, match="not legal"):
        space.encode({**widths, Slot("a1", "weight"): 4})


@pytest.mark.parametrize(
    "facts",
    [
        {"direction": "forward"},
        {"direction": "reverse", "skip": "projected"},
        {"direction": "bidirectional", "skip": "identity", "inputs": 6},
    ],
)
def test_recurrences_run_like_the_interpreter(facts: dict[str, Any], tmp_path: Path) -> None:
    program = one_sru(1, **facts)
    calibrate(program, sequences(2, features=facts.get("inputs", 4)))
    widths = dict.fromkeys(calibrated_table(program).searched(), 8)
    legal = compiled(program, widths)
    BACKEND.emit(BACKEND.lower(legal, TARGET, OPTIONS), tmp_path, TARGET)
    inputs = random_inputs(program, 5, 2, 0)
    found = BACKEND.simulate(tmp_path, inputs, OPTIONS)
    for a, b in zip(found.outputs, run_integer(legal, inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_carried_states_make_chunks_equal_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = Network()
    x, state = net.sequence(3), net.state(1, 4)
    h, last = net.sru(
        "l0",
        x,
        rng.normal(size=(1, 3, 4, 3)).astype(np.float32),
        rng.normal(size=(1, 2, 4)).astype(np.float32),
        rng.normal(size=(1, 2, 4)).astype(np.float32),
        state,
    )
    program = net.finish([h, last])
    calibrate(program, sequences(1, features=3))
    legal = compiled(program, dict.fromkeys(calibrated_table(program).searched(), 8))
    lowered = BACKEND.lower(legal, TARGET, OPTIONS)
    BACKEND.emit(lowered, tmp_path, TARGET)
    grid = argument_grids(legal.entry)[0]
    assert grid is not None
    frames = quantize(rng.normal(size=(9, 2, 3)), grid)
    zero = np.zeros((1, 2, 4), dtype=np.int64)
    whole = BACKEND.simulate(tmp_path, [frames, zero], OPTIONS).outputs
    first = BACKEND.simulate(tmp_path, [frames[:4], zero], OPTIONS).outputs
    second = BACKEND.simulate(tmp_path, [frames[4:], first[1]], OPTIONS)
    np.testing.assert_array_equal(np.concatenate([first[0], second.outputs[0]]), whole[0])
    np.testing.assert_array_equal(second.outputs[1], whole[1])
    workload = Workload(5, 2, carried_state=True)
    assert second.measured == BACKEND.estimate(lowered, TARGET, workload, OPTIONS)


def emitted(folder: Path) -> tuple[Program, list[np.ndarray], Simulation]:
    """16 bits: with fewer, rounding would hide small changes."""
    program = calibrated(0)
    legal = compiled(program, dict.fromkeys(calibrated_table(program).searched(), 16))
    BACKEND.emit(BACKEND.lower(legal, TARGET, OPTIONS), folder, TARGET)
    inputs = random_inputs(program, 9, 2, 1)
    return legal, inputs, BACKEND.simulate(folder, inputs, OPTIONS)


def differs(a: Simulation, b: Simulation) -> bool:
    same = all(np.array_equal(x, y) for x, y in zip(a.outputs, b.outputs, strict=True))
    return not same or a.measured != b.measured


def test_emission_is_deterministic_and_needs_no_ir(tmp_path: Path) -> None:
    emitted(tmp_path / "a")
    emitted(tmp_path / "b")
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["integers.safetensors", "program.json"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_changed_operations_show(tmp_path: Path) -> None:
    """One changed number in each kind of operation changes outputs or counters, or is refused."""
    _, inputs, before = emitted(tmp_path)
    path = tmp_path / "program.json"
    good = json.loads(path.read_text())
    tried = set()
    for number, row in enumerate(good["ops"]):
        for key, change in CHANGES.items():
            if row.get(key) in (None, []) or (row["op"], key) in tried:
                continue
            tried.add((row["op"], key))
            bad = copy.deepcopy(good)
            bad["ops"][number][key] = change(row[key])
            path.write_text(json.dumps(bad))
            try:
                after = BACKEND.simulate(tmp_path, inputs, OPTIONS)
            except MohaqError:
                continue
            assert differs(before, after), (row["op"], key)
    assert {"matmul", "requantize", "bias", "slice", "scan", "load"} <= {op for op, _ in tried}


CHANGES: dict[str, Any] = {
    "bits": lambda v: v // 2,
    "scales": lambda v: [[v[0][0] // 2 + 1, v[0][1]], *v[1:]],
    "shifts": lambda v: [v[0] + 1, v[1]],
    "first": lambda v: v + 1,
    "reverse": lambda v: not v,
    "name": lambda v: v + "x",
    "in": lambda v: [v[0] + 1, *v[1:]],
}


def test_changed_integers_show(tmp_path: Path) -> None:
    _, inputs, before = emitted(tmp_path)
    path = tmp_path / "integers.safetensors"
    good = load_file(path)
    for name, array in good.items():
        bad = {k: v.copy() for k, v in good.items()}
        flat = bad[name].reshape(-1)
        flat[int(np.abs(array.reshape(-1).astype(np.int64)).argmax())] = 0
        save_file(bad, path)
        assert differs(before, BACKEND.simulate(tmp_path, inputs, OPTIONS)), name
    save_file(good, path)


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    _, inputs, _ = emitted(tmp_path)
    with pytest.raises(MohaqError, match="1 inputs, got 0"):
        BACKEND.simulate(tmp_path, [], OPTIONS)
    with pytest.raises(MohaqError, match="integers are needed"):
        BACKEND.simulate(tmp_path, [inputs[0].astype(np.float32)], OPTIONS)
    with pytest.raises(MohaqError, match="does not fit"):
        BACKEND.simulate(tmp_path, [inputs[0][..., :2]], OPTIONS)
    with pytest.raises(MohaqError, match="leave 16 bits"):
        BACKEND.simulate(tmp_path, [inputs[0] + (1 << 20)], OPTIONS)
    (tmp_path / "integers.safetensors").write_bytes(b"nothing")
    with pytest.raises(MohaqError, match="cannot read the integers"):
        BACKEND.simulate(tmp_path, inputs, OPTIONS)
    (tmp_path / "program.json").write_text("{}")
    with pytest.raises(MohaqError, match="not a program of the reference backend"):
        BACKEND.simulate(tmp_path, inputs, OPTIONS)


def test_sums_beyond_the_accumulator_are_illegal() -> None:
    program = calibrated(0)
    narrow = replace(
        TARGET,
        constants={
            **TARGET.constants,
            "accumulator_bits": replace(TARGET.constants["accumulator_bits"], value=24.0),
        },
    )
    slots = calibrated_table(program).searched()
    with pytest.raises(IllegalAssignment, match="the accumulator of 'reference' has 24"):
        compiled(program, dict.fromkeys(slots, 16), narrow)
    compiled(program, dict.fromkeys(slots, 4), narrow)


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    table = layer_table(speech_like(0))
    model = BACKEND.cost_model(table, BACKEND.space(table, TARGET), TARGET)
    genome = np.zeros(len(BACKEND.space(table, TARGET).groups), dtype=np.int64)
    for options in (Options(timing="paper"), Options(numerics="loose")):
        with pytest.raises(MohaqError, match="does not know"):
            model.cost(genome, Workload(1), options)
        with pytest.raises(MohaqError, match="does not know"):
            BACKEND.simulate(tmp_path, [], options)


def test_target_files_are_checked(tmp_path: Path) -> None:
    assert BACKEND.targets() == ("reference",)
    backend, found = find_target("reference")
    assert backend.name == "reference"
    assert found == TARGET
    assert TARGET.path is not None
    text = TARGET.path.read_text()
    cases = {
        'mark = "assumed"': ('mark = "sure"', "mark 'sure' is unknown"),
        "value = 64\n": ("value = 0\n", "must be whole and positive"),
        "value = 48\n": ('value = "x"\n', "must be a number"),
        "[constants.clock]": ("[constants.watch]", "does not define 'clock'"),
        'backend = "reference"': ('backend = "other"', "must say name"),
        'unit = "Hz"\n': ("", "has value, unit, source and mark"),
    }
    for old, (new, message) in cases.items():
        path = tmp_path / "mine.toml"
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(MohaqError, match=message):
            BACKEND.load_target(str(path))
    with pytest.raises(MohaqError, match="no such target file"):
        BACKEND.load_target(str(tmp_path / "none.toml"))
    with pytest.raises(MohaqError, match="no target 'referense'"):
        BACKEND.load_target("referense")
