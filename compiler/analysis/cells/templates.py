"""Our cells, each as a reader of a step: what its weights would be if the step were this cell.

A reader guesses which function plays which part and reads the weights off; every guess is then
checked by numbers (`match`), so a wrong one costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.analysis.cells.body import Array, Body, Chunk, ones
from mohaq.compiler.dialects.nn import POOLINGS, FunctionAttr

SMALL = 1e-5
IDENTITY = FunctionAttr.of("identity")


@dataclass(frozen=True)
class Guess:
    """A layer that the step may be.

    kind: operation without `nn.`. arrays: parameters by operand, for one direction. facts:
    attributes. states: which state of the step each state of the operation is, in the
    operation's order.
    """

    kind: str
    arrays: dict[str, Array]
    facts: dict[str, Any] = field(default_factory=dict)
    states: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Row:
    """A gate's sum: matrices on x and on each state, and the constant."""

    x: Array
    states: tuple[Array, ...]
    bias: Array

    def negated(self) -> Row:
        """The gate's complement, for sigmoid: 1 - f(v) = f(-v)."""
        return Row(-self.x, tuple(-s for s in self.states), -self.bias)


def row(body: Body, chunk: Chunk) -> Row:
    """The sum of a function's argument, functions that it reads at zero."""
    value = chunk.argument
    return Row(
        chunk.of(body.matrix(value, body.x).T).T,
        tuple(chunk.of(body.matrix(value, s).T).T for s in body.states),
        chunk.of(body.constant(value)),
    )


def _stack(rows: Sequence[Row], state: int = 0) -> dict[str, Array]:
    """weight, recurrent and bias of one direction."""
    return {
        "weight": np.stack([r.x for r in rows])[None],
        "recurrent": np.stack([r.states[state] for r in rows])[None],
        "bias": np.stack([r.bias for r in rows])[None],
    }


def _signs(chunk: Chunk, one: Row) -> list[Row]:
    """A gate as it is, and its complement where a function has one."""
    return [one, one.negated()] if chunk.function.kind == "sigmoid" else [one]


def _diagonal(matrix: Array) -> Array | None:
    """The diagonal of a diagonal matrix."""
    if matrix.shape[0] != matrix.shape[1]:
        return None
    held = np.diag(matrix)
    return held if np.abs(matrix - np.diag(held)).max(initial=0.0) < SMALL else None


def open_row(body: Body, state: int, given: dict[SSAValue, Array]) -> Row:
    """A next state that is a sum alone while functions have the given values."""
    value = body.nexts[state]
    return Row(
        body.matrix(value, body.x, given),
        tuple(body.matrix(value, s, given) for s in body.states),
        body.constant(value, given),
    )


def rnn(body: Body) -> Iterator[Guess]:
    """One state, one function or none."""
    if len(body.states) != 1:
        return
    chunks = body.chunks(body.sizes()[0])
    if chunks == []:
        yield Guess("rnn", _stack([open_row(body, 0, {})]), {"activations": [IDENTITY]})
    if chunks is not None and len(chunks) == 1 and body.is_first_level(chunks[0]):
        one = row(body, chunks[0])
        yield Guess("rnn", _stack([one]), {"activations": [chunks[0].function]})


def ligru(body: Body) -> Iterator[Guess]:
    """One state, a gate and a candidate, which may have no function; or a gate that is fixed."""
    if len(body.states) != 1:
        return
    chunks = body.chunks(body.sizes()[0])
    if not chunks or len(chunks) > 2 or not all(map(body.is_first_level, chunks)):
        return
    if len(chunks) == 1:
        yield from _leaky(body, chunks[0])
        (gate,) = chunks
        for z, closed in _closings(gate, row(body, gate)):
            a = open_row(body, 0, ones([(gate, closed)]))
            yield Guess("ligru", _stack([z, a]), {"activations": [gate.function, IDENTITY]})
        return
    for gate, candidate in permutations(chunks):
        for z in _signs(gate, row(body, gate)):
            facts = {"activations": [gate.function, candidate.function]}
            yield Guess("ligru", _stack([z, row(body, candidate)]), facts)


def _leaky(body: Body, candidate: Chunk) -> Iterator[Guess]:
    """h' = a h + (1 - a) f(...) with constants 0 < a < 1: sigmoid(log(a / (1 - a))) is the gate."""
    kept = _diagonal(body.matrix(body.nexts[0], body.states[0], {}))
    if kept is None or kept.min() <= 0.0 or kept.max() >= 1.0:
        return
    n = row(body, candidate)
    z = Row(0.0 * n.x, tuple(0.0 * s for s in n.states), np.log(kept / (1.0 - kept)))
    facts = {"activations": [FunctionAttr.of("sigmoid"), candidate.function]}
    yield Guess("ligru", _stack([z, n]), facts)


def gru(body: Body) -> Iterator[Guess]:
    """One state, two gates, a candidate that reads the reset gate.

    In a minimal gated unit one gate does the work of both.
    """
    if len(body.states) != 1:
        return
    chunks = body.chunks(body.sizes()[0])
    if chunks is None or len(chunks) not in (2, 3):
        return
    early = [c for c in chunks if body.is_first_level(c)]
    late = [c for c in chunks if c not in early]
    if len(late) != 1 or len({c.function for c in early}) != 1:
        return
    (candidate,) = late
    (h,) = body.states
    closed = row(body, candidate)
    for reset, update in permutations(early if len(early) == 2 else early * 2, 2):
        opened = ones([(reset, 1.0)])
        value = candidate.argument
        fed = candidate.of(body.matrix(value, h, opened).T).T
        extra = candidate.of(body.constant(value, opened)) - closed.bias
        n = Row(closed.x, (fed,), closed.bias)
        for z in _signs(update, row(body, update)):
            arrays = _stack([row(body, reset), z, n])
            facts = {"activations": [reset.function, candidate.function]}
            yield Guess(
                "gru", {**arrays, "recurrent_bias": extra[None]}, {**facts, "reset_after": True}
            )
            if np.abs(extra).max(initial=0.0) < SMALL:
                yield Guess("gru", arrays, {**facts, "reset_after": False})


def lstm(body: Body) -> Iterator[Guess]:
    """Two states; gates, candidate, function of the state; peepholes, projection, coupling."""
    if len(body.states) != 2:
        return
    for h, c in ((0, 1), (1, 0)):
        size = body.sizes()[c]
        chunks = body.chunks(size)
        if chunks is None or not 2 <= len(chunks) <= 5:
            continue
        for shown in [*[k for k in chunks if not body.is_first_level(k)], None]:
            rest = [k for k in chunks if k is not shown]
            yield from _lstm(body, h, c, shown, rest)


def _lstm(
    body: Body, h: int, c: int, shown: Chunk | None, rest: Sequence[Chunk]
) -> Iterator[Guess]:
    """Gates i, f (absent if coupled), then g (absent if it has no function), then o."""
    rows = {id(k): row(body, k) for k in rest}
    for chosen in permutations(rest):
        i, o = chosen[0], chosen[-1]
        between = chosen[1:-1]
        pairs: list[tuple[Chunk, Chunk | None]] = []
        if len(between) == 2:
            pairs = [(between[0], between[1])]
        elif len(between) == 1:
            pairs = [(i, between[0]), (between[0], None)]
        elif len(rest) == 2:
            pairs = [(i, None)]
        for f, g in pairs:
            for gate, closed in _closings(i, rows[id(i)]) if f is i else [(rows[id(i)], 0.0)]:
                held = {**rows, id(i): gate}
                yield from _roles(body, (h, c), shown, held, (i, f, g, o), closed)


def _roles(
    body: Body,
    states: tuple[int, int],
    shown: Chunk | None,
    rows: dict[int, Row],
    roles: tuple[Chunk, Chunk, Chunk | None, Chunk],
    closed: float,
) -> Iterator[Guess]:
    """The LSTM whose i, f, g, o are these functions; f is i when they are coupled.

    closed: the function's value where the coupled gate i is zero: one where the model has f.
    """
    (h, c), (i, f, g, o) = states, roles
    coupled = f is i
    kept = ones([(f, closed if coupled else 1.0)])  # the new c is the old one
    if len({k.function for k in (i, f, o)}) == 1 and (g is None or body.is_first_level(g)):
        looks = [_diagonal(rows[id(k)].states[c]) for k in (i, f, o)]
        if any(look is None for look in looks):
            return
        peephole = np.stack([look for look in looks if look is not None])
        if not body.is_first_level(o):  # it sees the new state
            seen = _diagonal(o.of(body.matrix(o.argument, body.states[c], kept).T).T)
            if seen is None:
                return
            peephole[2] = seen
        candidate = open_row(body, c, ones([(i, 1.0 - closed)])) if g is None else rows[id(g)]
        if g is None and np.abs(candidate.states[c]).max() > SMALL:
            return
        arrays = _stack([rows[id(i)], rows[id(f)], candidate, rows[id(o)]], h)
        if np.abs(peephole).max() > SMALL:
            arrays["peephole"] = peephole[None]
        arrays |= _projection(body, (h, c), o, shown, kept)
        functions = [i.function, *(IDENTITY if k is None else k.function for k in (g, shown))]
        yield Guess("lstm", arrays, {"activations": functions, "coupled": coupled}, (h, c))


def _projection(
    body: Body,
    states: tuple[int, int],
    o: Chunk,
    shown: Chunk | None,
    kept: dict[SSAValue, Array],
) -> dict[str, Array]:
    """What is between o f(c) and the next h; nothing if that is the identity."""
    h, c = states
    if shown is None:
        held = kept.get(o.result)
        opened = ones([(o, 1.0)])
        both = {**kept, o.result: opened[o.result] + (0.0 if held is None else held)}
        matrix = body.matrix(body.nexts[h], body.states[c], both)
    else:
        matrix = shown.of(body.matrix(body.nexts[h], shown.result, ones([(o, 1.0)])))
    if matrix.shape[0] == matrix.shape[1] and np.allclose(matrix, np.eye(len(matrix)), atol=SMALL):
        return {}
    return {"projection": matrix[None]}


def sru(body: Body) -> Iterator[Guess]:
    """One state; two gates that read it element by element; a highway."""
    if len(body.states) != 1 or len(body.outputs) < 1:
        return
    chunks = body.chunks(body.sizes()[0])
    if chunks is None or len(chunks) not in (2, 3):
        return
    early = [k for k in chunks if body.is_first_level(k)]
    late = [k for k in chunks if k not in early]
    if len(early) != 2 or any(k.function.kind != "sigmoid" for k in early):
        return
    activation = late[0].function.kind if late else "identity"
    (after,), y = body.nexts, body.outputs[0]
    for forget, reset in permutations(early):
        # Where f is 0 the next state is the candidate; where r is 0 the output is the skip.
        for f in _closings(forget, row(body, forget)):
            for r in _closings(reset, row(body, reset)):
                yield from _sru(body, (forget, *f), (reset, *r), activation, after, y)


def _closings(chunk: Chunk, one: Row) -> list[tuple[Row, float]]:
    """A gate with the function's value where it is closed; its complement closes at one."""
    return list(zip(_signs(chunk, one), (0.0, 1.0), strict=False))


def _sru(
    body: Body,
    forget: tuple[Chunk, Row, float],
    reset: tuple[Chunk, Row, float],
    activation: str,
    after: Any,
    y: Any,
) -> Iterator[Guess]:
    (f_chunk, f, f_zero), (r_chunk, r, r_zero) = forget, reset
    closed = ones([(f_chunk, f_zero), (r_chunk, r_zero)])
    candidate = body.matrix(after, body.x, closed)
    skip = body.matrix(y, body.x, closed)
    vectors = [_diagonal(one.states[0]) for one in (f, r)]
    if any(v is None for v in vectors):
        return
    rows = [candidate, f.x, r.x]
    facts: dict[str, Any] = {"skip": "none", "activation": activation}
    if np.abs(skip).max(initial=0.0) > SMALL:
        scale = _diagonal(skip)
        if scale is not None and np.ptp(scale) < SMALL:
            facts |= {"skip": "identity", "skip_scale": float(scale[0])}
        else:
            facts["skip"] = "projected"
            rows.append(skip)
    yield Guess(
        "sru",
        {
            "weight": np.stack(rows)[None],
            "vector": np.stack([v for v in vectors if v is not None])[None],
            "bias": np.stack([f.bias, r.bias])[None],
        },
        facts,
    )


def qrnn(body: Body) -> Iterator[Guess]:
    """One state that no function reads; window 1."""
    if len(body.states) != 1:
        return
    chunks = body.chunks(body.sizes()[0])
    if chunks is None or not 2 <= len(chunks) <= 4 or not all(map(body.is_first_level, chunks)):
        return
    rows = {id(k): row(body, k) for k in chunks}
    if any(np.abs(r.states[0]).max(initial=0.0) > SMALL for r in rows.values()):
        return
    candidates = [k for k in chunks if k.function.kind == "tanh"]
    gates = [k for k in chunks if k.function.kind == "sigmoid"]
    if len(candidates) != 1 or len(gates) != len(chunks) - 1:
        return
    pooling = {count: name for name, count in POOLINGS.items()}[len(chunks)]
    for order in permutations(gates):
        for f in _signs(order[0], rows[id(order[0])]):
            held = [rows[id(candidates[0])], f, *(rows[id(k)] for k in order[1:])]
            arrays = {
                "weight": np.stack([r.x for r in held])[None, :, :, None],
                "bias": np.stack([r.bias for r in held])[None],
            }
            yield Guess("qrnn", arrays, {"pooling": pooling})


READERS: tuple[Callable[[Body], Iterator[Guess]], ...] = (rnn, qrnn, sru, ligru, gru, lstm)
"""All readers; simple cells first."""
