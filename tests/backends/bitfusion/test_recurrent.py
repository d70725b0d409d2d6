"""Products inside recurrences: bits = reference, cost = estimate = counters, over the family."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from family import Drawn, layers
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from programs import tensor

from mohaq.backends.base import IllegalAssignment, Options, Target, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.refusals import NoRoom
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import annotate, apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn
from mohaq.passes.lowering.cell import HEADROOM

CLIP = 0.5
"""Of clipped cells in `family`."""

SMALL = {
    "array_rows": 2, "array_columns": 2, "ibuf_bytes": 128, "wbuf_bytes": 96, "obuf_bytes": 64,
    "pbuf_bytes": 3600, "dram_bits_per_cycle": 24, "ppu_lanes": 2,
}  # fmt: skip


def small() -> Target:
    """A machine that cuts even small layers into chunks, tiles and fetches."""
    target = BACKEND.load_target("bitfusion-e")
    constants = dict(target.constants)
    for name, value in SMALL.items():
        old = constants[name]
        constants[name] = type(old)(value, old.unit, "a test", "assumed")
    return Target("small", "bitfusion", "", constants)


TARGETS = {"bitfusion-e": BACKEND.load_target("bitfusion-e"), "small": small()}


def small_lstm(widths: dict[str, int]) -> tuple[Program, list[npt.NDArray[np.int64]]]:
    """The neutral integer program of an LSTM with peepholes, and inputs for it."""
    rng = np.random.default_rng(2)
    net = Network()
    x = net.sequence(3, name="x")
    shapes = {"w": (4, 5, 3), "r": (4, 5, 5), "b": (4, 5), "p": (3, 5)}
    w, r, b, p = (net.parameter(n, tensor(rng, 1, *shape)) for n, shape in shapes.items())
    op = nn.LstmOp("cell", x, w, r, b, peephole=p)
    net.add(op)
    program = net.finish([op.results[0]])
    data = tensor(rng, 6, 2, 3, gain=2.0)
    calibrate(program, [data[:, 0], data[:, 1]])
    chosen = {s: widths.get(s.slot, 8) for s in calibrated_table(program).searched()}
    apply_assignment(program, chosen)
    (grid,) = argument_grids(program.entry)
    assert grid is not None
    return lower_to_qnn(program), [quantize(data, grid)]


def run(drawn: Drawn, target: Target, picks: list[int], folder: Path, *, bricks: bool) -> None:
    program, x = drawn.program, drawn.inputs[0]
    calibrate(program, [x[:, 0], x[:, -1]])
    calibrated = BACKEND.obeyed(calibrated_table(program), target)
    if drawn.facts["kind"] == "ligru" and drawn.facts["clip"]:
        # The cost model takes a clip to lie inside the range of the sums (docs/targets/bitfusion.md);
        # a relu's sums have a range of HEADROOM clips of the state.
        reach = HEADROOM * calibrated.clips["cell"]["state"][16]
        assume(2.0 ** math.ceil(math.log2(reach)) > CLIP)
    space = BACKEND.space(calibrated.table, target)
    genome = np.array([picks[n % len(picks)] for n in range(len(space.groups))])
    widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
    annotate(program, calibrated, calibrated.layer_grids(widths))
    try:
        legal = BACKEND.legalize(lower_to_qnn(program), target)
    except IllegalAssignment:
        assume(False)  # scales too far apart for the target: the search records it
    legal.verify()
    steps, batch = x.shape[:2]
    workload = Workload(steps, batch, carried_state=len(drawn.inputs) > 1)
    model = BACKEND.cost_model(calibrated.table, space, target)
    try:
        lowered = BACKEND.lower(legal, target, Options())
    except NoRoom as refused:
        # A target that is too small refuses with numbers; the cost model with the same ones.
        with pytest.raises(NoRoom, match=f"^{re.escape(str(refused))}$"):
            model.cost(genome[None], workload, Options())
        raise
    estimate = BACKEND.estimate(lowered, target, workload, Options())
    costs = model.cost(genome[None], workload, Options())
    BACKEND.emit(lowered, folder, target)
    grids = argument_grids(program.entry)
    inputs = [quantize(v, g) for v, g in zip(drawn.inputs, grids, strict=True) if g is not None]
    options = Options(numerics="bricks") if bricks else Options()
    found = BACKEND.simulate(folder, inputs, options)
    for ours, theirs in zip(found.outputs, run_integer(legal, inputs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.measured == estimate, drawn.facts
    assert estimate.total.seconds == costs["latency"][0], drawn.facts
    assert estimate.total.joules == costs["energy"][0], drawn.facts
    assert estimate.size_bytes == costs["size"][0], drawn.facts


def test_the_listing_of_a_recurrence_is_the_agreed_one(tmp_path: Path) -> None:
    program, _ = small_lstm({"recurrent": 4, "hidden": 8})
    target = small()
    BACKEND.emit(
        BACKEND.lower(BACKEND.legalize(program, target), target, Options()), tmp_path, target
    )
    golden = Path(__file__).parents[2] / "data" / "bitfusion" / "recurrent.bfasm"
    assert (tmp_path / "program.bfasm").read_text() == golden.read_text()


def test_a_recurrence_that_does_not_fit_is_refused_with_numbers() -> None:
    program, _ = small_lstm({})
    target = small()
    target = replace(
        target,
        constants={
            **target.constants,
            "ibuf_bytes": replace(target.constants["ibuf_bytes"], value=16),
        },
    )
    with pytest.raises(MohaqError, match=r"5 units does not fit IBUF .* 360 bits"):
        BACKEND.lower(BACKEND.legalize(program, target), target, Options())


@pytest.mark.parametrize("count", [1, 3])
def test_weights_stay_or_are_fetched_in_every_step(count: int, tmp_path: Path) -> None:
    """A WBUF that holds them reads them once, a smaller one once a step."""
    program, inputs = small_lstm({"recurrent": 8, "hidden": 8})
    target = small()
    read = {}
    for size in (96, 4096):
        wbuf = replace(target.constants["wbuf_bytes"], value=size)
        machine = replace(target, constants={**target.constants, "wbuf_bytes": wbuf})
        legal = BACKEND.legalize(program, machine)
        folder = tmp_path / str(size)
        BACKEND.emit(BACKEND.lower(legal, machine, Options()), folder, machine)
        given_steps = [x[:count] for x in inputs]
        run = BACKEND.simulate(folder, given_steps, Options())
        read[size] = run.measured.total.counters["dram_read_bits"]
    weights = 4 * 5 * 5 * 8
    assert read[96] - read[4096] >= (count - 1) * weights


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "ligru", "qrnn"])
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_invariant(kind: str, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    ran = 0

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        drawn=layers((kind,), device=True, paired=True),
        picks=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    )
    def check(drawn: Drawn, picks: list[int]) -> None:
        nonlocal ran
        shapes = {n: v.shape for n, v in drawn.program.parameters.items()}
        if "proj" in shapes and shapes["proj"][1] > shapes["proj"][2]:
            with pytest.raises(MohaqError, match="more channels than units"):
                run(drawn, TARGETS[name], picks, Path(), bricks=False)
            return
        folder = tmp_path_factory.mktemp("emitted")
        try:
            run(drawn, TARGETS[name], picks, folder, bricks=name == "small")
        except NoRoom:
            assume(False)
        ran += 1

    check()
    assert ran >= 3


def test_a_projection_that_does_not_fit_is_refused_by_lowering_and_costs(tmp_path: Path) -> None:
    """Four gates and a projection at 16 bits: 400 bits of a unit, 384 of a bank."""
    rng = np.random.default_rng(1)
    net = Network()
    x = net.sequence(1, name="x")
    shapes = {"w": (4, 5, 1), "r": (4, 5, 1), "q": (1, 5)}
    w, r, q = (net.parameter(n, tensor(rng, 1, *shape)) for n, shape in shapes.items())
    op = nn.LstmOp("cell", x, w, r, projection=q)
    net.add(op)
    drawn = Drawn(net.finish([op.results[0]]), [tensor(rng, 4, 1, 1)], {"kind": "lstm"})
    with pytest.raises(NoRoom, match=r"does not fit WBUF .* 400 bits there, a bank leaves 384"):
        run(drawn, small(), [3], tmp_path, bricks=False)
