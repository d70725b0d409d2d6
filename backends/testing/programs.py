"""Random networks of every kind of layer, from seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import calibrate

Frames = npt.NDArray[np.float32]


def tensor(rng: np.random.Generator, *shape: int, gain: float = 1.0) -> Frames:
    """Normal values with a variance that keeps products near one."""
    made: Frames = (rng.normal(size=shape) * gain / np.sqrt(shape[-1])).astype(np.float32)
    return made


def sru(
    net: Network,
    rng: np.random.Generator,
    name: str,
    x: SSAValue,
    inputs: int,
    hidden: int,
    *,
    direction: str = "bidirectional",
    initial_state: SSAValue | None = None,
    **facts: Any,
) -> tuple[SSAValue, SSAValue]:
    """An SRU layer with random weights; `facts` are skip, skip_scale, activation."""
    count = 2 if direction == "bidirectional" else 1
    gates = 4 if facts.get("skip") == "projected" else 3
    return net.sru(
        name,
        x,
        tensor(rng, count, gates, hidden, inputs, gain=2.0),
        tensor(rng, count, 2, hidden, gain=0.5),
        tensor(rng, count, 2, hidden),
        initial_state,
        direction=direction,
        **facts,
    )


def speech_like(
    seed: int = 0, *, features: int = 5, hidden: int = 6, projection: int = 4, classes: int = 3
) -> Program:
    """Bi-SRU, projection, Bi-SRU, classifier: the default model's shape, tiny."""
    rng = np.random.default_rng(seed)
    net = Network()
    x = net.sequence(features)
    h, _ = sru(net, rng, "l0", x, features, hidden)
    p = net.linear("pr1", h, tensor(rng, projection, 2 * hidden))
    h, _ = sru(net, rng, "l1", p, projection, hidden)
    y = net.linear("fc", h, tensor(rng, classes, 2 * hidden), tensor(rng, classes))
    return net.finish([y])


def one_sru(seed: int = 0, *, inputs: int = 4, hidden: int = 3, **facts: Any) -> Program:
    """A single SRU layer."""
    rng = np.random.default_rng(seed)
    net = Network()
    h, _ = sru(net, rng, "l0", net.sequence(inputs), inputs, hidden, **facts)
    return net.finish([h])


def sequences(
    seed: int = 1, *, features: int = 5, lengths: tuple[int, ...] = (7, 3, 11)
) -> list[Frames]:
    """Random sequences [T, F]."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(t, features)).astype(np.float32) * 2 for t in lengths]


def calibrated(seed: int = 0) -> Program:
    """`speech_like` with clips for 2, 4, 8 and 16 bits."""
    program = speech_like(seed)
    calibrate(program, sequences(seed + 1))
    return program


CELLS: dict[str, tuple[type[Any], int]] = {
    "rnn": (nn.RnnOp, 1),
    "ligru": (nn.LiGruOp, 2),
    "gru": (nn.GruOp, 3),
    "lstm": (nn.LstmOp, 4),
}
"""Kind -> op and number of gates."""


def cell(
    net: Network,
    rng: np.random.Generator,
    kind: str,
    name: str,
    x: SSAValue,
    inputs: int,
    hidden: int,
    *,
    direction: str = "forward",
    states: bool = False,
    bias: bool = True,
    projection: int = 0,
    peephole: bool = False,
    pooling: str = "fo",
    window: int = 1,
    gain: float = 1.5,
    **facts: Any,
) -> nn.LayerOp:
    """A recurrent layer of any kind with random weights, added to the network.

    `states` makes its initial states inputs of the program; `gain` is the spread of the weights
    (recurrences of unbounded functions need less than one to stay stable); `facts` go to the op.
    """
    count = nn.DIRECTIONS[direction]

    def weights(title: str, *shape: int) -> SSAValue:
        return net.parameter(f"{name}.{title}", tensor(rng, *shape, gain=gain))

    def state(title: str, size: int) -> SSAValue | None:
        return net.argument([count, DYNAMIC, size], name=f"{name}.{title}") if states else None

    op: nn.LayerOp
    if kind == "sru":
        gates = 4 if facts.get("skip") == "projected" else 3
        op = nn.SruOp(
            name,
            x,
            weights("weight", count, gates, hidden, inputs),
            weights("vector", count, 2, hidden),
            weights("bias", count, 2, hidden),
            state("c", hidden),
            direction=direction,
            **facts,
        )
    elif kind == "qrnn":
        gates = nn.POOLINGS[pooling]
        op = nn.QrnnOp(
            name,
            x,
            weights("weight", count, gates, hidden, window, inputs),
            weights("bias", count, gates, hidden) if bias else None,
            initial_state=state("c", hidden),
            initial_input=state("x", inputs) if window == 2 else None,
            direction=direction,
            pooling=pooling,
        )
    else:
        made, gates = CELLS[kind]
        fed_back = projection or hidden
        if kind == "lstm":
            facts["initial_h"], facts["initial_c"] = state("h", fed_back), state("c", hidden)
            facts["peephole"] = weights("peephole", count, 3, hidden) if peephole else None
            facts["projection"] = (
                weights("projection", count, projection, hidden) if projection else None
            )
        else:
            facts["initial_state"] = state("h", hidden)
        if kind == "gru" and bias and facts.get("reset_after", True):
            facts["recurrent_bias"] = weights("recurrent_bias", count, hidden)
        op = made(
            name,
            x,
            weights("weight", count, gates, hidden, inputs),
            weights("recurrent", count, gates, hidden, fed_back),
            weights("bias", count, gates, hidden) if bias else None,
            direction=direction,
            **facts,
        )
    net.add(op)
    return op


def one_cell(
    kind: str, seed: int = 0, *, inputs: int = 4, hidden: int = 3, **facts: Any
) -> Program:
    """A single recurrent layer; with `states` its final states are results as well."""
    net = Network()
    rng = np.random.default_rng(seed)
    op = cell(net, rng, kind, "l0", net.sequence(inputs), inputs, hidden, **facts)
    kept = op.results if facts.get("states") else op.results[:1]
    return net.finish(list(kept))
