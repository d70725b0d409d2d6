"""Random programs with one layer of the recurrent family, drawn by hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from xdsl.dialects.builtin import DictionaryAttr
from xdsl.ir import SSAValue

from mohaq.backends.testing.programs import tensor
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import CalibrationSettings

KINDS = ("rnn", "lstm", "gru", "ligru", "sru", "qrnn")
CELL_FUNCTIONS = ("tanh", "sigmoid", "relu", "softsign", "hard_sigmoid", "elu", "affine")
BOUNDED = ("sigmoid", "tanh", "softsign", "hard_sigmoid")


@dataclass(frozen=True)
class Drawn:
    """A program, inputs that fit it and what was drawn, for messages."""

    program: Program = field(repr=False)
    inputs: list[npt.NDArray[Any]]
    facts: dict[str, Any]

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        # hypothesis would print the whole program
        printer.text(f"Drawn({self.facts}, shapes {[x.shape for x in self.inputs]})")


@st.composite
def layers(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = KINDS,
    *,
    device: bool = False,
    stateless: bool = False,
    paired: bool = False,
) -> Drawn:
    """One layer with everything that it can have, for any T and B.

    device: without what has no integer form (lengths, norms, one state for a whole batch, other
    functions). stateless: without initial states. paired: final states only with initial ones.
    """
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    kind = draw(st.sampled_from(kinds))
    direction = draw(st.sampled_from(sorted(nn.DIRECTIONS)))
    count = nn.DIRECTIONS[direction]
    steps, batch = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    features, hidden = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    bias, init = draw(st.booleans()), not stateless and draw(st.booleans())
    facts: dict[str, Any] = {"kind": kind, "direction": direction, "bias": bias, "init": init}
    net = Network()
    x = net.sequence(features, name="x")
    inputs: list[npt.NDArray[Any]] = [tensor(rng, steps, batch, features, gain=2.0)]

    def state(size: int, name: str) -> SSAValue | None:
        if not init:
            return None
        shared = not device and draw(st.booleans())  # one row for all sequences
        inputs.append(tensor(rng, count, 1 if shared else batch, size))
        return net.argument([count, 1 if shared else DYNAMIC, size], name=name)

    def weights(name: str, *shape: int) -> SSAValue:
        return net.parameter(name, tensor(rng, *shape))

    def maybe(name: str, *shape: int) -> SSAValue | None:
        return weights(name, *shape) if bias else None

    common: dict[str, Any] = {"direction": direction}
    if kind in {"rnn", "lstm", "gru", "ligru"}:
        cell: Any = {"rnn": nn.RnnOp, "lstm": nn.LstmOp, "gru": nn.GruOp, "ligru": nn.LiGruOp}[kind]
        if not device and draw(st.booleans()):
            # Unbounded gates would let states grow beyond what float32 can compare.
            names = [
                draw(st.sampled_from(BOUNDED if role == "gate" else CELL_FUNCTIONS))
                for _ in range(count)
                for role in cell.ROLES
            ]
            common["activations"] = [FunctionAttr.of(n) for n in names]
            facts["activations"] = names
        if draw(st.booleans()):
            common["clip"] = 0.5
        if not device and draw(st.booleans()):
            common["lengths"] = net.argument([DYNAMIC], name="lengths", indices=True)
            inputs.append(rng.integers(1, steps + 1, size=batch))
        facts |= {"clip": "clip" in common, "lengths": "lengths" in common}
    op: nn.LayerOp
    match kind:
        case "rnn" | "ligru":
            gates = 1 if kind == "rnn" else 2
            given = (
                weights("w", count, gates, hidden, features),
                weights("r", count, gates, hidden, hidden),
                maybe("b", count, gates, hidden),
            )
            if kind == "rnn":
                op = nn.RnnOp("cell", x, *given, initial_state=state(hidden, "h"), **common)
            else:
                norm = None
                if not device and draw(st.booleans()):
                    facts["norm"] = True
                    data = tensor(rng, count, 2, 4, hidden)
                    data[:, :, 3] = np.abs(data[:, :, 3]) + 0.1
                    norm = net.parameter("norm", data)
                op = nn.LiGruOp(
                    "cell", x, *given, norm=norm, initial_state=state(hidden, "h"), **common
                )
        case "gru":
            after = draw(st.booleans())
            facts["reset_after"] = after
            op = nn.GruOp(
                "cell",
                x,
                weights("w", count, 3, hidden, features),
                weights("r", count, 3, hidden, hidden),
                maybe("b", count, 3, hidden),
                recurrent_bias=maybe("q", count, hidden) if after else None,
                initial_state=state(hidden, "h"),
                reset_after=after,
                **common,
            )
        case "lstm":
            projected = draw(st.booleans())
            fed_back = draw(st.integers(1, 4)) if projected else hidden
            peephole, coupled = draw(st.booleans()), draw(st.booleans())
            facts |= {"projection": projected, "peephole": peephole, "coupled": coupled}
            op = nn.LstmOp(
                "cell",
                x,
                weights("w", count, 4, hidden, features),
                weights("r", count, 4, hidden, fed_back),
                maybe("b", count, 4, hidden),
                peephole=weights("p", count, 3, hidden) if peephole else None,
                projection=weights("proj", count, fed_back, hidden) if projected else None,
                initial_h=state(fed_back, "h"),
                initial_c=state(hidden, "c"),
                coupled=coupled,
                **common,
            )
        case "sru":
            skips = ["none", "projected"] + (["identity"] if features == count * hidden else [])
            skip = draw(st.sampled_from(skips))
            activation = draw(st.sampled_from(nn.ACTIVATIONS))
            facts |= {"skip": skip, "activation": activation}
            op = nn.SruOp(
                "cell",
                x,
                weights("w", count, 4 if skip == "projected" else 3, hidden, features),
                weights("v", count, 2, hidden),
                weights("b", count, 2, hidden),
                state(hidden, "c"),
                skip=skip,
                skip_scale=1.5,
                activation=activation,
                **common,
            )
        case _:
            pooling = draw(st.sampled_from(sorted(nn.POOLINGS)))
            window = draw(st.integers(1, 2))
            facts |= {"pooling": pooling, "window": window}
            op = nn.QrnnOp(
                "cell",
                x,
                weights("w", count, nn.POOLINGS[pooling], hidden, window, features),
                maybe("b", count, nn.POOLINGS[pooling], hidden),
                initial_state=state(hidden, "c"),
                initial_input=state(features, "before") if window == 2 else None,
                pooling=pooling,
                **common,
            )
    net.add(op)
    results: list[SSAValue] = list(op.results) if init or not paired else [op.results[0]]
    if paired and facts.get("window") == 1:
        results = results[:2]  # nothing takes a last input in
    return Drawn(net.finish(results), inputs, facts)


def granularity(seed: int) -> CalibrationSettings:
    """Weights with one scale, or with one for each row."""
    return CalibrationSettings(granularity=("per-tensor", "per-channel")[seed % 2])


def moved_zero(program: Program, seed: int) -> None:
    """Gives the input of some programs the 8-bit grid of an imported model, with a zero point."""
    for op in program.layers():
        if (
            seed % 3
            or (isinstance(op, nn.QrnnOp) and op.window == 2)
            or getattr(op, "bias", None) is None
        ):
            continue
        grid = GridAttr.of(8, 0.04, zero=seed % 100 - 50)
        op.attributes["given"] = DictionaryAttr({"input": grid})
