"""Whole programs on Epiphany: bits, costs, chunks, batches, meshes, refusals, damage."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from programs import calibrated, one_cell, sequences

from mohaq.backends.base import Estimate, Options, Workload
from mohaq.backends.epiphany import BACKEND
from mohaq.backends.epiphany.machine import FOLDER, load_target
from mohaq.backends.epiphany.simulator import missing_tools
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.driver.build import lower_for_target
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import calibrate

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason="needs a C compiler and make")

SMALL = (2, 2)
"""A mesh that compiles and runs quickly."""


def target_file(folder: Path, name: str, rows: int, columns: int, **changes: object) -> Path:
    """A target with another mesh."""
    text = (FOLDER / f"{name}.toml").read_text()
    data = tomllib.loads(text)
    for key, value in {"rows": rows, "columns": columns, **changes}.items():
        old = data["constants"][key]["value"]
        text = text.replace(
            f"[constants.{key}]\nvalue = {old}\n", f"[constants.{key}]\nvalue = {value}\n"
        )
    path = folder / "mesh.toml"
    path.write_text(text)
    return path


def built(
    program: Program, target_name: str, widths: Assignment, folder: Path
) -> tuple[Program, Estimate]:
    """Legalized program and estimate; the project lies in the folder."""
    target = BACKEND.load_target(target_name)
    table = calibrated_table(program)
    full = widths.complete(table.searched())
    legal = lower_for_target(program, BACKEND, target, full).legalized
    lowered = BACKEND.lower(legal, target, Options())
    BACKEND.emit(lowered, folder, target)
    workload = Workload(5, 2, carried_state=len(legal.entry.args) > 1)
    estimate = BACKEND.estimate(lowered, target, workload, Options())
    space = BACKEND.space(table.table, target)
    model = BACKEND.cost_model(table.table, space, target)
    costs = model.cost(space.encode(full), workload, Options())
    assert costs["latency"][0] == estimate.total.seconds
    assert costs["energy"][0] == estimate.total.joules
    assert costs["size"][0] == estimate.size_bytes
    return legal, estimate


def inputs(legal: Program, steps: int = 5, batch: int = 2) -> list[npt.NDArray[np.int64]]:
    """Extreme and random integers for every argument."""
    rng = np.random.default_rng(4)
    made = []
    for arg in legal.entry.args:
        shape = list(arg.type.get_shape())  # type: ignore[attr-defined]
        shape = [steps, batch, shape[-1]] if shape[0] < 0 else [shape[0], batch, shape[-1]]
        values = rng.integers(-32768, 32768, shape)
        values.reshape(-1)[:2] = (-32768, 32767)
        made.append(values)
    return made


MIXED = Assignment(
    {
        Slot("l0", "weight"): 2,
        Slot("pr1", "weight"): 16,
        Slot("pr1", "input"): 16,
        Slot("l1", "input"): 4,
        Slot("fc", "weight"): 8,
    },
    4,
)


@pytest.mark.parametrize(
    ("name", "widths"),
    [("epiphany-e16", MIXED), ("epiphany-e64", Assignment.uniform(16))],
)
def test_a_network_equals_the_reference(name: str, widths: Assignment, tmp_path: Path) -> None:
    legal, estimate = built(calibrated(), name, widths, tmp_path)
    given = inputs(legal)
    found = BACKEND.simulate(tmp_path, given, Options())
    np.testing.assert_array_equal(found.outputs[0], run_integer(legal, given)[0])
    assert found.measured == estimate


@pytest.mark.slow
@pytest.mark.parametrize("name", ["epiphany-e16", "epiphany-e64"])
@pytest.mark.parametrize("weight", [2, 4, 8, 16])
@pytest.mark.parametrize("activation", [2, 4, 8, 16])
def test_all_widths(name: str, weight: int, activation: int, tmp_path: Path) -> None:
    program = calibrated()
    slots = calibrated_table(program).searched()
    widths = Assignment({s: weight if s.slot == "weight" else activation for s in slots})
    legal, estimate = built(program, name, widths, tmp_path)
    given = inputs(legal)
    found = BACKEND.simulate(tmp_path, given, Options())
    np.testing.assert_array_equal(found.outputs[0], run_integer(legal, given)[0])
    assert found.measured == estimate


def test_recurrent_layers_in_chunks(tmp_path: Path) -> None:
    program = one_cell("lstm", states=True, hidden=5)
    calibrate(program, sequences(1, features=4))
    path = target_file(tmp_path, "epiphany-e16", *SMALL)
    legal, estimate = built(program, str(path), Assignment.uniform(8), tmp_path / "p")
    given = inputs(legal)
    whole = BACKEND.simulate(tmp_path / "p", given, Options())
    assert whole.measured == estimate
    for ours, theirs in zip(whole.outputs, run_integer(legal, given), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    states = given[1:]
    parts = []
    for begin, end in ((0, 1), (1, 5)):
        one = BACKEND.simulate(tmp_path / "p", [given[0][begin:end], *states], Options())
        parts.append(one.outputs[0])
        states = list(one.outputs[1:])
    np.testing.assert_array_equal(np.concatenate(parts), whole.outputs[0])
    for ours, theirs in zip(states, whole.outputs[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_rescale_to_more_than_32_bits(tmp_path: Path) -> None:
    """A candidate beside a state of a far finer grid is aligned in 37 bits."""
    program = one_cell("lstm", states=True, hidden=2, inputs=1, bias=False)
    calibrate(program, [np.array([[0.12]], dtype=np.float32)])
    path = target_file(tmp_path, "epiphany-e16", *SMALL)
    legal, estimate = built(program, str(path), Assignment.uniform(8), tmp_path / "p")
    widths = [
        op.result.type.element_type.width.data
        for op in legal.entry.walk()
        if isinstance(op, qnn.RequantizeOp)
    ]
    assert max(widths) > 32
    given = inputs(legal)
    found = BACKEND.simulate(tmp_path / "p", given, Options())
    for ours, theirs in zip(found.outputs, run_integer(legal, given), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.measured == estimate


def tall(hidden: int = 60, features: int = 600) -> Program:
    """A linear layer whose sums need 64 bits and whose weights have to be streamed."""
    rng = np.random.default_rng(0)
    net = Network()
    weight = rng.normal(size=(hidden, features)).astype(np.float32)
    program = net.finish([net.linear("fc", net.sequence(features), weight)])
    calibrate(program, sequences(1, features=features))
    return program


@pytest.mark.parametrize(("weight", "activation"), [(16, 16), (4, 16)])
def test_streamed_weights_and_wide_sums(weight: int, activation: int, tmp_path: Path) -> None:
    path = target_file(tmp_path, "epiphany-e16", *SMALL, weight_buffer_bytes=2048)
    widths = Assignment({Slot("fc", "weight"): weight, Slot("fc", "input"): activation})
    legal, estimate = built(tall(), str(path), widths, tmp_path / "p")
    plan = json.loads((tmp_path / "p" / "plan.json").read_text())
    products = [p for stage in plan["stages"] for p in stage["products"]]
    assert {p["accumulator"] for p in products} == {64 if weight == 16 else 32}
    if weight == 16:
        assert not all(p["resident"] for p in products)
    given = inputs(legal)
    found = BACKEND.simulate(tmp_path / "p", given, Options())
    np.testing.assert_array_equal(found.outputs[0], run_integer(legal, given)[0])
    assert found.measured == estimate


def test_the_large_chip_on_a_part_of_its_mesh(tmp_path: Path) -> None:
    """64 KB cores with banks of 16 KB; all 1,024 as threads would take minutes."""
    path = target_file(tmp_path, "epiphany-v1024", 4, 8)
    legal, estimate = built(calibrated(), str(path), Assignment.uniform(8), tmp_path / "p")
    given = inputs(legal)
    found = BACKEND.simulate(tmp_path / "p", given, Options())
    np.testing.assert_array_equal(found.outputs[0], run_integer(legal, given)[0])
    assert found.measured == estimate


def test_damage_is_noticed(tmp_path: Path) -> None:
    """A flipped bit of a weight changes the outputs, a changed kernel the cycles."""
    path = target_file(tmp_path, "epiphany-e16", *SMALL)
    legal, estimate = built(calibrated(), str(path), Assignment.uniform(8), tmp_path / "p")
    given = inputs(legal)
    right = run_integer(legal, given)[0]
    blob = tmp_path / "p" / "weights.bin"
    data = bytearray(blob.read_bytes())
    classifier = (tmp_path / "p" / "device" / "layer_05_fc.c").read_text()
    found = re.search(r"\.weights = (\d+)", classifier)
    assert found
    changed = bytearray(data)
    changed[int(found[1])] ^= 0x80
    blob.write_bytes(bytes(changed))
    wrong = BACKEND.simulate(tmp_path / "p", given, Options()).outputs[0]
    assert not np.array_equal(wrong, right)
    blob.write_bytes(bytes(data))
    kernels = tmp_path / "p" / "device" / "mohaq_kernels.S"
    text = kernels.read_text()
    label = text.index("mohaq_tile4_w8)", text.index(".section .text.mohaq_tile4_w8"))
    line = text.index("\n", text.index(":", label)) + 1
    kernels.write_text(text[:line] + "\tadd.l r63,r63,#0\n" * 5 + text[line:])
    slower = BACKEND.simulate(tmp_path / "p", given, Options())
    assert slower.measured.total.cycles > estimate.total.cycles
    blob.write_bytes(bytes(data[:-8]))
    with pytest.raises(MohaqError):
        BACKEND.simulate(tmp_path / "p", given, Options())


def test_emission_is_readable_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        built(calibrated(), "epiphany-e16", Assignment.uniform(8), tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.[ch]"))
    for one in files:
        assert (tmp_path / "a" / one).read_bytes() == (tmp_path / "b" / one).read_bytes(), one
    layer = (tmp_path / "a" / "device" / "layer_00_l0.c").read_text()
    assert "product 0: l0.weight.q8, 3 rows a core of 5 columns" in layer
    cells = (tmp_path / "a" / "device" / "cells.c").read_text()
    assert "float" not in cells
    assert "double" not in cells


def test_a_layer_that_fits_no_core_is_refused_with_numbers(tmp_path: Path) -> None:
    path = target_file(tmp_path, "epiphany-e16", 1, 1)
    with pytest.raises(MohaqError, match=r"layer 'fc' needs \d+ bytes of a core's memory"):
        built(tall(3000, 8), str(path), Assignment.uniform(8), tmp_path / "p")


def test_own_targets_are_checked(tmp_path: Path) -> None:
    for changes, message in (
        ({"clock": 0}, "'clock' is out of range"),
        ({"memory_bytes": 100}, "four banks"),
        ({"first_column": 60}, "64 x 64"),
    ):
        path = target_file(tmp_path, "epiphany-e16", 4, 8, **changes)
        with pytest.raises(MohaqError, match=message):
            load_target(str(path))
    with pytest.raises(MohaqError, match="no Epiphany target"):
        load_target("epiphany-e17")


def test_unknown_options_are_refused() -> None:
    target = BACKEND.load_target("epiphany-e16")
    with pytest.raises(MohaqError, match="does not know numerics"):
        BACKEND.lower(calibrated(), target, Options(numerics="float"))
