"""Finding the layer that a step is, and proving it by numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.analysis.cells.body import Array, Body
from mohaq.compiler.analysis.cells.templates import READERS, Guess
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.network import Network

STEPS, BATCH = 3, 4
TOLERANCE = 2e-5

KINDS: dict[str, type[nn.LayerOp]] = {
    "rnn": nn.RnnOp,
    "lstm": nn.LstmOp,
    "gru": nn.GruOp,
    "ligru": nn.LiGruOp,
    "sru": nn.SruOp,
    "qrnn": nn.QrnnOp,
}
STATES = {"lstm": ("initial_h", "initial_c")}
"""Names of the state operands; `initial_state` for the others."""

CLIPPED = {name for name, kind in KINDS.items() if issubclass(kind, nn.CellOp)}
"""Layers that can limit the inputs of their functions; the same can have lengths."""

SUPPORTED = "RNN, GRU, LSTM, Li-GRU, SRU, QRNN"


def recognize(body: Body) -> Guess | None:
    """The layer whose step this is, or None.

    A guess counts when three steps from random states agree with the step itself within 2e-5
    of the largest value. Where the step limits values to [-clip, clip], the layer does so before
    its functions, and the proof is repeated with inputs beyond the limit.
    """
    limits = body.limits()
    if not limits:
        return next((g for r in READERS for g in r(body) if agrees(body, g)), None)
    (low, high), *others = limits
    if others or high != -low or not 0 < high < float("inf"):
        return None
    plain = body.unclipped()
    for reader in READERS:
        for guess in reader(plain):
            if guess.kind in CLIPPED:
                made = replace(guess, facts={**guess.facts, "clip": high})
                if agrees(body, made) and agrees(body, made, gain=4 * high):
                    return made
    return None


def build(
    parameter: Callable[[str, Array], SSAValue],
    label: str,
    guess: Guess,
    x: SSAValue,
    states: Sequence[SSAValue | None],
    direction: str = "forward",
    lengths: SSAValue | None = None,
) -> nn.LayerOp:
    """The operation of a guess over a sequence x [T, B, I].

    Args:
        parameter: makes a parameter of a name and data.
        label: name of the layer.
        guess: what it is.
        x: the sequence.
        states: initial states [1, B, n] in the operation's order; None for zeros. A QRNN with
            a window of 2 has its initial input as a second one.
        direction: of the loop.
        lengths: steps of each sequence [B], for a layer of `CLIPPED`.
    """
    given: dict[str, Any] = {
        name: parameter(f"{label}.{name}", array) for name, array in guess.arrays.items()
    }
    names = STATES.get(guess.kind, ("initial_state", "initial_input")[: len(states)])
    given |= {n: s for n, s in zip(names, states, strict=True) if s is not None}
    if lengths is not None:
        given["lengths"] = lengths
    kind: Any = KINDS[guess.kind]
    facts = dict(guess.facts)
    if [str(f) for f in facts.get("activations", ())] == [
        str(nn.FunctionAttr.of(name)) for name in getattr(kind, "DEFAULTS", ())
    ]:
        facts.pop("activations", None)
    made: nn.LayerOp = kind(label, x, **given, **facts, direction=direction)
    return made


def two_taps(guess: Guess) -> Guess:
    """A QRNN that reads [x_{t-1}, x_t] side by side as one with a window of 2 over x.

    It has an initial state more: the input before the first step.
    """
    weight = guess.arrays["weight"]  # [D, G, H, 1, 2 I]
    taps = np.concatenate(np.split(weight, 2, axis=4), axis=3)
    return replace(guess, arrays={**guess.arrays, "weight": taps})


def agrees(body: Body, guess: Guess, gain: float = 1.0) -> bool:
    """Whether the operation and three steps of the body give the same numbers.

    Args:
        body: the step.
        guess: what it may be.
        gain: standard deviation of the random inputs.
    """
    rng = np.random.default_rng(5)
    net = Network()
    x = net.argument([DYNAMIC, DYNAMIC, body.features])
    sizes = body.sizes()
    states = [net.argument([1, DYNAMIC, sizes[n]]) for n in guess.states]
    try:
        op = build(net.parameter, "cell", guess, x, states)
        net.add(op)
        program = net.finish(list(op.results))
    except (MohaqError, VerifyException, ValueError):
        return False
    values = (gain * rng.normal(size=(STEPS, BATCH, body.features))).astype(np.float32)
    held: list[Array] = [rng.normal(size=(BATCH, n)).astype(np.float32) for n in sizes]
    made = run_float(program, [values, *(held[n][None] for n in guess.states)])
    shown: list[list[Array]] = [[] for _ in body.outputs]
    for step in values:
        held, outputs = body.run(step, held)
        for one, output in zip(shown, outputs, strict=True):
            one.append(output)
    wanted = [held[n][None] for n in guess.states]
    pairs = [*zip(made[1:], wanted, strict=False), *((made[0], np.stack(o)) for o in shown)]
    return all(_close(a, b) for a, b in pairs)


def _close(a: Array, b: Array) -> bool:
    if a.shape != b.shape or not np.isfinite(b).all():
        return False
    return bool(np.abs(a - b).max() <= TOLERANCE * max(1.0, float(np.abs(b).max())))
