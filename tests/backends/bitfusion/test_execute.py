"""Simulator = integer reference, estimate = counters, search cost = estimate."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.backends.base import FloatArray, Options, Target, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.machine import load_target
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.program import Program
from mohaq.passes.lower_to_qnn import lower_to_qnn

from .programs import Spec, build, check_run, nn_program, random_inputs

TARGET = load_target("bitfusion-e")
WIDTHS = (2, 4, 8, 16)
Prefer = Literal["latency", "energy", "balanced"]
TINY = {
    "array_rows": 2, "array_columns": 3, "ibuf_bytes": 48, "wbuf_bytes": 64, "obuf_bytes": 96,
    "pbuf_bytes": 4096, "dram_bits_per_cycle": 24, "ppu_lanes": 3,
}  # fmt: skip


def tiny() -> Target:
    """A machine so small that every loop has several tiles."""
    constants = dict(TARGET.constants)
    for name, value in TINY.items():
        old = constants[name]
        constants[name] = type(old)(value, old.unit, "a test", "assumed")
    return Target("tiny", "bitfusion", "", constants)


def cost_of(
    program: Program, specs: list[Spec], target: Target, workload: Workload, options: Options
) -> dict[str, FloatArray]:
    table = layer_table(program)
    space = BACKEND.space(table, target)
    widths = {}
    for number, spec in enumerate(specs):
        widths[Slot(f"l{number}", "input")] = spec.a
        widths[Slot(f"l{number}", "weight")] = spec.w
    model = BACKEND.cost_model(table, space, target)
    return model.cost(space.encode(widths)[None], workload, options)


def run_all(
    specs: list[Spec],
    tmp_path: Path,
    *,
    target: Target = TARGET,
    steps: int = 7,
    batch: int = 2,
    options: Options | None = None,
    carried: bool = False,
) -> None:
    options = options or Options()
    nn = nn_program(9, specs, seed=steps, carried=carried)
    qnn = lower_to_qnn(nn)
    built = build(qnn, target, tmp_path, options)
    workload = Workload(steps, batch, carried)
    inputs = random_inputs(qnn, steps, batch, 5)
    _, estimate = check_run(built, target, inputs, workload, options)
    cost = cost_of(nn, specs, target, workload, options)
    assert cost["latency"].tolist() == [estimate.total.seconds]
    assert cost["energy"].tolist() == [estimate.total.joules]
    assert cost["size"].tolist() == [estimate.size_bytes]


@pytest.mark.parametrize(("a", "w"), list(itertools.product(WIDTHS, WIDTHS)))
def test_every_width_pair(a: int, w: int, tmp_path: Path) -> None:
    specs = [Spec("fc", 7, a, w), Spec("sru", 5, w, a, "bidirectional"), Spec("fc", 3, a, w)]
    run_all(specs, tmp_path, steps=3)


@pytest.mark.parametrize("steps", [1, 2, 7, 33])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_lengths_and_directions(steps: int, batch: int, direction: str, tmp_path: Path) -> None:
    specs = [Spec("sru", 6, 4, 8, direction), Spec("fc", 5, 8, 2)]
    run_all(specs, tmp_path, steps=steps, batch=batch)


@pytest.mark.parametrize("skip", ["none", "projected", "identity"])
@pytest.mark.parametrize("carried", [False, True])
def test_skips_and_carried_states(skip: str, carried: bool, tmp_path: Path) -> None:
    specs = [Spec("sru", 5, 8, 8, "bidirectional"), Spec("sru", 10, 4, 4, "reverse", skip)]
    run_all(specs, tmp_path, carried=carried)


@pytest.mark.parametrize(("a", "w"), [(2, 2), (8, 4), (16, 8), (4, 16), (16, 16)])
@pytest.mark.parametrize("prefer", ["latency", "energy", "balanced"])
def test_a_machine_with_many_tiles_and_bricks(
    a: int, w: int, prefer: Prefer, tmp_path: Path
) -> None:
    options = Options(numerics="bricks", prefer=prefer)
    specs = [Spec("fc", 11, a, w), Spec("sru", 6, a, w, "bidirectional", "projected")]
    run_all(specs, tmp_path, target=tiny(), steps=5, options=options)


LAYER = st.builds(
    Spec,
    st.sampled_from(["fc", "sru"]),
    st.integers(1, 9),
    st.sampled_from(WIDTHS),
    st.sampled_from(WIDTHS),
    st.sampled_from(["forward", "reverse", "bidirectional"]),
    st.sampled_from(["none", "projected"]),
    st.booleans(),
)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(LAYER, min_size=1, max_size=3),
    st.integers(1, 20),
    st.integers(1, 3),
    st.booleans(),
)
def test_random_programs(
    tmp_path_factory: pytest.TempPathFactory,
    specs: list[Spec],
    steps: int,
    batch: int,
    small: bool,
) -> None:
    target = tiny() if small else TARGET
    run_all(specs, tmp_path_factory.mktemp("p"), target=target, steps=steps, batch=batch)


def test_one_compiled_program_runs_any_length(tmp_path: Path) -> None:
    qnn = lower_to_qnn(nn_program(9, [Spec("sru", 6, 4, 8, "bidirectional")], 0))
    built = build(qnn, TARGET, tmp_path)
    for steps, batch in ((1, 1), (5, 2), (130, 1), (4, 40)):
        check_run(built, TARGET, random_inputs(qnn, steps, batch, 0), Workload(steps, batch))


def test_genomes_are_costed_together() -> None:
    specs = [Spec("fc", 7, 8, 8), Spec("sru", 5, 8, 8, "bidirectional"), Spec("fc", 3, 8, 8)]
    table = layer_table(nn_program(9, specs, 0))
    space = BACKEND.space(table, TARGET)
    model = BACKEND.cost_model(table, space, TARGET)
    genomes = np.random.default_rng(0).integers(0, 4, (40, len(space.groups)))
    together = model.cost(genomes, Workload(20), Options())
    for number, genome in enumerate(genomes):
        alone = BACKEND.cost_model(table, space, TARGET).cost(genome, Workload(20), Options())
        for key, values in together.items():
            assert values[number] == alone[key][0]
        if number > 5:
            break


def test_fewer_bits_never_cost_more() -> None:
    found = []
    for bits in WIDTHS:
        specs = [Spec("sru", 64, bits, bits, "bidirectional"), Spec("fc", 48, bits, bits)]
        table = layer_table(nn_program(40, specs, 0))
        space = BACKEND.space(table, TARGET)
        index = WIDTHS.index(bits)
        genome = np.full(len(space.groups), index)
        cost = BACKEND.cost_model(table, space, TARGET).cost(genome, Workload(100), Options())
        found.append((cost["latency"][0], cost["energy"][0], cost["size"][0]))
    assert found == sorted(found)
    assert all(a[2] < b[2] for a, b in itertools.pairwise(found))
