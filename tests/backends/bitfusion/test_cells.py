"""QRNN layers and functions of SRU outputs: bits = reference, cost = estimate = counters."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import tensor

from mohaq.backends.base import Options, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

from .programs import build, check_run

TARGET = BACKEND.load_target("bitfusion-e")
FEATURES, HIDDEN = 7, 5


def network(
    pooling: str, direction: str, *, bias: bool, carried: bool, window: int = 1
) -> tuple[Program, list[tuple[int, ...]]]:
    """A QRNN layer and a linear one; shapes of the initial states without B."""
    rng = np.random.default_rng(3)
    count, gates = nn.DIRECTIONS[direction], nn.POOLINGS[pooling]
    net = Network()
    x = net.sequence(FEATURES, name="x")
    state = net.argument([count, DYNAMIC, HIDDEN], name="c") if carried else None
    weight = net.parameter("w", tensor(rng, count, gates, HIDDEN, window, FEATURES))
    given: Any = net.parameter("b", tensor(rng, count, gates, HIDDEN)) if bias else None
    op = nn.QrnnOp(
        "cell", x, weight, given, initial_state=state, pooling=pooling, direction=direction
    )
    net.add(op)
    out = net.parameter("out", tensor(rng, 4, count * HIDDEN))
    y = net.add(nn.LinearOp("fc", op.results[0], out))
    results = [y, op.final_state] if carried else [y]
    return net.finish(results), [(count, HIDDEN)] if carried else []


def check_invariant(
    program: Program, states: list[tuple[int, ...]], steps: int, batch: int, folder: Path
) -> None:
    rng = np.random.default_rng(steps)
    x = tensor(rng, steps, batch, FEATURES, gain=2.0)
    calibrate(program, [x[:, 0], x[:, -1]])
    table = layer_table(program)
    space = BACKEND.space(table, TARGET)
    model = BACKEND.cost_model(table, space, TARGET)
    workload = Workload(steps, batch, bool(states))
    pairs = list(itertools.product((2, 4, 8, 16), repeat=2))
    for a, w in pairs[batch::5]:
        widths = {Slot(n, s): b for n in ("cell", "fc") for s, b in (("input", a), ("weight", w))}
        apply_assignment(program, widths)
        grids = argument_grids(program.entry)
        values = [x, *(tensor(rng, c, batch, h) for c, h in states)]
        inputs = [quantize(v, g) for v, g in zip(values, grids, strict=True) if g is not None]
        made = build(lower_to_qnn(program), TARGET, folder / f"{a}_{w}")
        _, estimate = check_run(made, TARGET, inputs, workload)
        cost = model.cost(space.encode(widths)[None], workload, Options())
        assert cost["latency"].tolist() == [estimate.total.seconds]
        assert cost["energy"].tolist() == [estimate.total.joules]
        assert cost["size"].tolist() == [estimate.size_bytes]


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
@pytest.mark.parametrize("direction", sorted(nn.DIRECTIONS))
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (7, 3), (100, 2)])
def test_the_invariant(
    pooling: str, direction: str, steps: int, batch: int, tmp_path: Path
) -> None:
    program, states = network(pooling, direction, bias=batch > 1, carried=steps == 7)
    check_invariant(program, states, steps, batch, tmp_path)


@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
@pytest.mark.parametrize("skip", ["none", "projected"])
def test_functions_of_sru_outputs(activation: str, skip: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    net = Network()
    x = net.sequence(FEATURES, name="x")
    gates = 4 if skip == "projected" else 3
    weights = [
        net.parameter(name, tensor(rng, 2, *shape))
        for name, shape in (
            ("w", (gates, HIDDEN, FEATURES)),
            ("v", (2, HIDDEN)),
            ("b", (2, HIDDEN)),
        )
    ]
    op = nn.SruOp("cell", x, *weights, skip=skip, activation=activation, direction="bidirectional")
    net.add(op)
    out = net.parameter("out", tensor(rng, 4, 2 * HIDDEN))
    program = net.finish([net.add(nn.LinearOp("fc", op.results[0], out))])
    check_invariant(program, [], 7, 2, tmp_path)
