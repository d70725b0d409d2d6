"""The programs that the kit compiles: a small network, and single layers of every form."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import strategies as st

from mohaq.backends.base import Backend, Simulation, Target
from mohaq.backends.testing.built import build
from mohaq.backends.testing.family import Drawn, layers
from mohaq.backends.testing.programs import cell, sequences, tensor
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import calibrate

FEATURES, HIDDEN = 4, 3


class Sample:
    """A network, what it was compiled to, and a good run of it."""

    def __init__(self, backend: Backend, target: Target, kinds: tuple[str, ...]) -> None:
        self.program = network(kinds)
        self.built = build(backend, target, self.program)
        self._held = TemporaryDirectory(prefix="mohaq-conformance-")
        self.folder = self.built.emit(Path(self._held.name) / "emitted")
        rng = np.random.default_rng(0)
        self.inputs = self.built.integers([tensor(rng, 6, 2, FEATURES, gain=2.0)])
        self.found = self.run(self.folder)

    def run(self, folder: Path) -> Simulation:
        """The sample's inputs through a folder."""
        return self.built.simulate(folder, self.inputs)


def network(kinds: tuple[str, ...]) -> Program:
    """Linear layers around layers of the first recurrent kinds; calibrated."""
    rng = np.random.default_rng(7)
    net = Network()
    x = net.sequence(FEATURES)
    size = FEATURES
    for number, kind in enumerate([k for k in kinds if k != "linear"][:2]):
        op = cell(net, rng, kind, f"cell{number}", x, size, HIDDEN, gain=0.9)
        x, size = op.results[0], HIDDEN
        if "linear" in kinds:
            x = net.linear(f"pr{number}", x, tensor(rng, FEATURES, HIDDEN))
            size = FEATURES
    if "linear" in kinds:
        x = net.linear("fc", x, tensor(rng, 3, size), tensor(rng, 3))
    program = net.finish([x])
    calibrate(program, sequences(4, features=FEATURES))
    return program


def drawn_layers(kind: str) -> st.SearchStrategy[Drawn]:
    """One layer of a kind in any form that has integers, named `cell`."""
    return _linear() if kind == "linear" else layers((kind,), device=True, paired=True)


@st.composite
def _linear(draw: st.DrawFn) -> Drawn:
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    inputs, outputs = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    steps, batch, bias = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.booleans())
    net = Network()
    weight, shift = tensor(rng, outputs, inputs), tensor(rng, outputs) if bias else None
    y = net.linear("cell", net.sequence(inputs, name="x"), weight, shift)
    facts = {"kind": "linear", "bias": bias}
    return Drawn(net.finish([y]), [tensor(rng, steps, batch, inputs, gain=2.0)], facts)


def contents(folder: Path) -> dict[str, bytes]:
    """Files below a folder."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def differs(a: Simulation, b: Simulation) -> bool:
    """Whether results or counters of two runs differ."""
    if len(a.outputs) != len(b.outputs) or a.measured != b.measured:
        return True
    return not all(np.array_equal(x, y) for x, y in zip(a.outputs, b.outputs, strict=True))
