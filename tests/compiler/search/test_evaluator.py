"""The fast evaluator has the bits of the integer reference on the legalized program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import calibrated, one_sru, sequences, speech_like
from searches import WIDTHS, FreeBackend, labelled

from mohaq.backends.base import Backend, IllegalAssignment, IntArray, Target
from mohaq.backends.reference import BACKEND
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.driver import lower_for_target
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.metrics import evaluate, get_metric
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

FREE = FreeBackend()
TARGETS = ("reference", "bitfusion-s", "silago-mohaq")
TARGET = BACKEND.load_target("reference")


def reference(
    program: Program, backend: Backend, target: Target, data: Dataset, widths: Mapping[Slot, int]
) -> tuple[list[IntArray], Program]:
    """Outputs of the interpreter on the whole legalized program, utterance by utterance."""
    annotated = program.clone()
    apply_assignment(annotated, widths)
    legal = backend.legalize(lower_to_qnn(annotated), target)
    (grid,) = argument_grids(legal.entry)
    assert grid is not None
    return [run_integer(legal, [quantize(x, grid)[:, None]])[0][:, 0] for x in data.inputs], legal


def evaluator(program: Program, data: Dataset, memory: int = 1 << 20) -> Evaluator:
    return Evaluator(program, FREE, TARGET, data, get_metric("fer"), memory_bytes=memory)


def random_widths(program: Program, rng: np.random.Generator) -> dict[Slot, int]:
    return {s: int(rng.choice(WIDTHS)) for s in calibrated_table(program).searched()}


def assert_equal(fast: list[IntArray], slow: list[IntArray]) -> None:
    assert len(fast) == len(slow)
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(a, b)


@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None)
def test_random_assignments(seed: int, lengths: list[int]) -> None:
    program = calibrated(seed)
    data = labelled(program, seed + 2, lengths=tuple(lengths))
    rng = np.random.default_rng(seed)
    one = evaluator(program, data)
    compiled = Evaluator(program, FREE, TARGET, data, get_metric("fer"), compile_after=-1)
    for _ in range(2):
        widths = random_widths(program, rng)
        slow, legal = reference(program, FREE, TARGET, data, widths)
        assert_equal(one.outputs(widths), slow)
        assert_equal(compiled.outputs(widths), slow)
        (grid,) = result_grids(legal.entry)
        assert grid is not None
        wanted = evaluate(get_metric("fer"), [dequantize(y, grid) for y in slow], data)
        found = one.evaluate(widths)
        assert found.value == wanted.value
        assert (sum(found.errors), sum(found.totals)) == (wanted.errors, wanted.total)


def test_every_pair_of_widths() -> None:
    program = calibrated(3)
    data = labelled(program)
    one = evaluator(program, data)
    base = dict.fromkeys(calibrated_table(program).searched(), 8)
    for layer in ("l0", "pr1", "l1", "fc"):
        for w in WIDTHS:
            for a in WIDTHS:
                widths = {**base, Slot(layer, "weight"): w, Slot(layer, "input"): a}
                slow, _ = reference(program, FREE, TARGET, data, widths)
                assert_equal(one.outputs(widths), slow)


@pytest.mark.parametrize(
    "facts",
    [
        {"direction": "forward"},
        {"direction": "reverse"},
        {"direction": "bidirectional", "skip": "projected", "skip_scale": 1.5},
        {"direction": "bidirectional", "skip": "identity", "inputs": 6},
        {"direction": "forward", "skip": "identity", "inputs": 3, "skip_scale": 0.5},
    ],
)
def test_kinds_of_recurrence(facts: dict[str, object]) -> None:
    facts = {"inputs": 4, **facts}
    program = one_sru(2, **facts)  # type: ignore[arg-type]
    inputs = sequences(4, features=int(str(facts["inputs"])), lengths=(5, 1, 8))
    calibrate(program, inputs)
    labels = tuple(np.zeros(len(x), np.int64) for x in inputs)
    data = Dataset(tuple(inputs), labels, label_kind="frame")
    rng = np.random.default_rng(0)
    one = evaluator(program, data)
    for _ in range(4):
        widths = random_widths(program, rng)
        assert_equal(one.outputs(widths), reference(program, FREE, TARGET, data, widths)[0])


@pytest.mark.parametrize("name", TARGETS)
def test_targets(name: str) -> None:
    """What each target makes of a program, over its own gene space."""
    backend, target = find_target(name)
    program = calibrated(6)
    data = labelled(program)
    table = calibrated_table(program)
    space = backend.space(table.table, target)
    rng = np.random.default_rng(0)
    genomes = np.concatenate(
        [rng.integers(0, space.upper + 1, size=(12, len(space.upper))), [space.upper]]
    )
    one = Evaluator(program, backend, target, data, get_metric("fer"))
    compiled = Evaluator(program, backend, target, data, get_metric("fer"), compile_after=-1)
    for genome in genomes:
        widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
        legal = lower_for_target(program, backend, target, widths).legalized
        (grid,) = argument_grids(legal.entry)
        assert grid is not None
        slow = [run_integer(legal, [quantize(x, grid)[:, None]])[0][:, 0] for x in data.inputs]
        assert_equal(one.outputs(widths), slow)
        assert_equal(compiled.outputs(widths), slow)


def test_saturated_inputs() -> None:
    program = calibrated(1)
    data = labelled(program)
    loud = replace(data, inputs=tuple(x * np.float32(50) for x in data.inputs))
    widths = random_widths(program, np.random.default_rng(1))
    slow, _ = reference(program, FREE, TARGET, loud, widths)
    assert_equal(evaluator(program, loud).outputs(widths), slow)


def test_shared_leading_layers_run_once_and_change_nothing() -> None:
    program = calibrated(4)
    data = labelled(program)
    base = dict.fromkeys(calibrated_table(program).searched(), 8)
    one, cold = evaluator(program, data), evaluator(program, data, memory=0)
    one.outputs(base)
    assert one.counters() == (0, 4)
    last = {**base, Slot("fc", "weight"): 2}
    assert_equal(one.outputs(last), cold.outputs(last))
    assert one.counters() == (1, 5)  # one value taken from memory, one layer run
    # pr1 rounds straight to the grid of l1's input: another width there is another value.
    rounded = {**base, Slot("l1", "input"): 4}
    assert_equal(one.outputs(rounded), cold.outputs(rounded))
    assert one.counters() == (2, 8)
    # fc reads the 16-bit result of l1, so its input width changes fc alone.
    final = {**base, Slot("fc", "input"): 4}
    assert_equal(one.outputs(final), cold.outputs(final))
    assert one.counters() == (3, 9)
    assert cold.counters()[0] == 0


@given(limit=st.integers(0, 400_000), seed=st.integers(0, 100))
@settings(max_examples=8, deadline=None)
def test_memory_stays_below_its_limit(limit: int, seed: int) -> None:
    program = calibrated(seed % 5)
    data = labelled(program)
    rng = np.random.default_rng(seed)
    small, large = evaluator(program, data, memory=limit), evaluator(program, data)
    for _ in range(4):
        widths = random_widths(program, rng)
        assert_equal(small.outputs(widths), large.outputs(widths))
        assert small.memory.bytes <= limit


def test_results_do_not_alias_the_memory() -> None:
    program = calibrated(0)
    data = labelled(program)
    one = evaluator(program, data)
    widths = dict.fromkeys(calibrated_table(program).searched(), 8)
    first = one.outputs(widths)
    kept = [y.copy() for y in first]
    for y in first:
        np.add(y, 1, out=y)
    assert_equal(one.outputs(widths), kept)


def test_illegal_candidates_run_nothing() -> None:
    program = calibrated(0)
    data = labelled(program)
    narrow = replace(
        TARGET,
        constants={
            **TARGET.constants,
            "accumulator_bits": replace(TARGET.constants["accumulator_bits"], value=20.0),
        },
    )
    one = Evaluator(program, FREE, narrow, data, get_metric("fer"))
    slots = calibrated_table(program).searched()
    for _ in range(2):
        with pytest.raises(IllegalAssignment, match="the accumulator of 'reference' has 20"):
            one.evaluate(dict.fromkeys(slots, 16))
    assert one.counters() == (0, 0)
    one.evaluate(dict.fromkeys(slots, 4))


def test_what_does_not_fit_is_refused() -> None:
    program = calibrated(0)
    data = labelled(program)
    wrong = Dataset(tuple(x[:, :4] for x in data.inputs), data.labels, label_kind="frame")
    with pytest.raises(MohaqError, match=r"the program takes \[T, 5\]"):
        evaluator(program, wrong)
    with pytest.raises(MohaqError, match="no calibration"):
        evaluator(speech_like(0), data)
    one = evaluator(program, data)
    with pytest.raises(MohaqError, match="not calibrated for 5 bits"):
        one.outputs(dict.fromkeys(calibrated_table(program).searched(), 5))
