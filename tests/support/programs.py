"""Random networks for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import SSAValue

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
