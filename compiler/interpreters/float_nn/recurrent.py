"""The recurrent family, one step of numpy after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.interpreter import Interpreter, PythonValues, impl, register_impls

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.interpreters.float_nn.base import AnyArray, Array, Functions
from mohaq.compiler.interpreters.float_nn.functions import evaluate, sigmoid

F = np.float32

Step = Callable[[int, tuple[Array, ...]], tuple[Array, ...]]
"""(t, states) -> next states; the first state is the output unless `shown` says otherwise."""


class Operands:
    """The given operands of an op by the name of their definition; None where absent."""

    def __init__(self, op: nn.LayerOp, args: PythonValues) -> None:
        self._held = dict(zip(op.operands, args, strict=True))
        self._op = op

    def __getitem__(self, name: str) -> Array:
        found: Array = self._held[getattr(self._op, name)]
        return found

    def get(self, name: str) -> Array | None:
        """The operand, or None."""
        value = getattr(self._op, name)
        return None if value is None else self._held[value]

    def state(self, name: str, d: int, batch: int, size: int) -> Array:
        """Initial state [B, size] of direction d; zeros when absent."""
        given = self.get(name)
        if given is None:
            return np.zeros((batch, size), dtype=F)
        if given.shape[1] not in (1, batch):
            raise MohaqError(
                f"an initial state of {given.shape[1]} sequences for a batch of {batch}",
                where=f"layer '{self._op.label}'",
            )
        return np.broadcast_to(given[d], (batch, size))

    def lengths(self, steps: int, batch: int) -> AnyArray | None:
        """Lengths [B], checked; None when all sequences have all steps."""
        given: AnyArray | None = self.get("lengths")
        if given is None:
            return None
        if given.shape != (batch,) or given.min() < 0 or given.max() > steps:
            raise MohaqError(
                f"lengths must be {batch} numbers of 0 to {steps}",
                where=f"layer '{self._op.label}'",
                why=f"got {given.tolist()}",
            )
        return given


def walk(
    op: nn.RecurrentOp,
    d: int,
    shape: tuple[int, int],
    states: tuple[Array, ...],
    step: Step,
    lengths: AnyArray | None = None,
) -> tuple[list[Array], tuple[Array, ...]]:
    """One direction over `shape` = (T, B).

    Returns:
        The sequences [T, B, .] of everything that a step gives (first the states, then what
        else), and the final states. Beyond a sequence's length states stay and values are 0.
    """
    steps, _ = shape
    order = reversed(range(steps)) if op.is_reverse(d) else range(steps)
    seen: list[list[Array | None]] = []
    count = len(states)
    for t in order:
        made = step(t, states)
        if lengths is not None:
            live = (t < lengths)[:, None]
            states = tuple(
                np.where(live, new, old) for new, old in zip(made[:count], states, strict=True)
            )
            made = tuple(np.where(live, m, F(0)) for m in made)
        else:
            states = made[:count]
        if not seen:
            seen = [[None] * steps for _ in made]
        for held, value in zip(seen, made, strict=True):
            held[t] = value
    return [np.stack([v for v in held if v is not None]) for held in seen], states


def products(x: Array, weight: Array) -> Array:
    """x [T, B, I] by weight [D, G, H, I]: [T, B, D, G, H]."""
    count, gates, hidden, features = weight.shape
    u = x @ weight.reshape(count * gates * hidden, features).T
    return u.reshape(*x.shape[:2], count, gates, hidden)


def squash(function: FunctionAttr, x: Array, limit: float | None) -> Array:
    """The function of x, which is clipped first if there is a limit."""
    return evaluate(function, x if limit is None else np.clip(x, F(-limit), F(limit)))


def gathered(outputs: Sequence[Array], *finals: Sequence[Array]) -> PythonValues:
    """Results of all directions: outputs side by side, final states stacked."""
    return (np.concatenate(outputs, axis=-1), *(np.stack(f) for f in finals))


def before(h: Array, initial: Array, *, reverse: bool) -> Array:
    """The previous state of every step, in order of time."""
    return np.concatenate([h[1:], initial[None]] if reverse else [initial[None], h[:-1]])


@register_impls
class RecurrentFunctions(Functions):
    """`nn.rnn`, `nn.lstm`, `nn.gru`, `nn.ligru`, `nn.sru`, `nn.qrnn`."""

    @impl(nn.RnnOp)
    def run_rnn(self, _: Interpreter, op: nn.RnnOp, args: PythonValues) -> PythonValues:
        """h = f(u + R h')."""
        return self._simple(op, Operands(op, args), None)

    @impl(nn.LiGruOp)
    def run_ligru(self, _: Interpreter, op: nn.LiGruOp, args: PythonValues) -> PythonValues:
        """Gate z, candidate a; the norm acts on the products with the input."""
        given = Operands(op, args)
        return self._simple(op, given, given.get("norm"))

    def _simple(
        self, op: nn.RnnOp | nn.LiGruOp, given: Operands, norm: Array | None
    ) -> PythonValues:
        x, recurrent, bias = given["input"], given["recurrent"], given.get("bias")
        self.trace(op.label, "input", x)
        u = products(x, given["weight"])
        if norm is not None and isinstance(op, nn.LiGruOp):
            gamma, beta, mean, var = (norm[:, :, n] for n in range(4))
            u = (u - mean) / np.sqrt(var + F(op.epsilon.value.data)) * gamma + beta
        if bias is not None:
            u = u + bias
        steps, batch = x.shape[:2]
        lengths = given.lengths(steps, batch)
        outputs, finals = [], []
        for d in range(op.directions):
            functions, matrices = op.functions(d), recurrent[d]

            def step(
                t: int,
                states: tuple[Array, ...],
                d: int = d,
                functions: tuple[FunctionAttr, ...] = functions,
                matrices: Array = matrices,
            ) -> tuple[Array, ...]:
                (h,) = states
                parts = [
                    squash(f, u[t, :, d, g] + h @ m.T, op.limit)
                    for g, (f, m) in enumerate(zip(functions, matrices, strict=True))
                ]
                if len(parts) == 1:
                    return (parts[0],)
                z, a = parts
                return z * h + (1 - z) * a, a

            initial = given.state("initial_state", d, batch, op.hidden)
            (h, *rest), (final,) = walk(op, d, (steps, batch), (initial,), step, lengths)
            outputs.append(h)
            finals.append(final)
            self.trace(op.label, "hidden", before(h, initial, reverse=op.is_reverse(d)))
            for values in (initial, h, *rest):
                self.trace(op.label, "state", values)
        return gathered(outputs, finals)

    @impl(nn.GruOp)
    def run_gru(self, _: Interpreter, op: nn.GruOp, args: PythonValues) -> PythonValues:
        """Gates r and z, candidate n; the reset before or after the product."""
        given = Operands(op, args)
        x, recurrent, bias = given["input"], given["recurrent"], given.get("bias")
        q = given.get("recurrent_bias")
        self.trace(op.label, "input", x)
        u = products(x, given["weight"])
        if bias is not None:
            u = u + bias
        steps, batch = x.shape[:2]
        lengths = given.lengths(steps, batch)
        outputs, finals = [], []
        for d in range(op.directions):
            gate, candidate = op.functions(d)

            def step(
                t: int,
                states: tuple[Array, ...],
                d: int = d,
                gate: FunctionAttr = gate,
                candidate: FunctionAttr = candidate,
            ) -> tuple[Array, ...]:
                (h,) = states
                r = squash(gate, u[t, :, d, 0] + h @ recurrent[d, 0].T, op.limit)
                z = squash(gate, u[t, :, d, 1] + h @ recurrent[d, 1].T, op.limit)
                if op.resets_after:
                    fed = h @ recurrent[d, 2].T
                    fed = r * (fed if q is None else fed + q[d])
                else:
                    fed = (r * h) @ recurrent[d, 2].T
                n = squash(candidate, u[t, :, d, 2] + fed, op.limit)
                return (1 - z) * n + z * h, n

            initial = given.state("initial_state", d, batch, op.hidden)
            (h, n), (final,) = walk(op, d, (steps, batch), (initial,), step, lengths)
            outputs.append(h)
            finals.append(final)
            self.trace(op.label, "hidden", before(h, initial, reverse=op.is_reverse(d)))
            for values in (initial, h, n):
                self.trace(op.label, "state", values)
        return gathered(outputs, finals)

    @impl(nn.LstmOp)
    def run_lstm(self, _: Interpreter, op: nn.LstmOp, args: PythonValues) -> PythonValues:
        """Gates i, f, o, candidate g, cell c, hidden state h."""
        given = Operands(op, args)
        x, recurrent, bias = given["input"], given["recurrent"], given.get("bias")
        peephole, projection = given.get("peephole"), given.get("projection")
        self.trace(op.label, "input", x)
        u = products(x, given["weight"])
        if bias is not None:
            u = u + bias
        steps, batch = x.shape[:2]
        lengths = given.lengths(steps, batch)
        hidden, fed_back = u.shape[-1], recurrent.shape[-1]
        coupled = bool(op.coupled.value.data)
        outputs, finals_h, finals_c = [], [], []
        for d in range(op.directions):
            functions = op.functions(d)
            rows = recurrent[d].reshape(4 * hidden, fed_back)

            def step(
                t: int,
                states: tuple[Array, ...],
                d: int = d,
                functions: tuple[FunctionAttr, ...] = functions,
                rows: Array = rows,
            ) -> tuple[Array, ...]:
                h, c = states
                gate, cell, shown = functions
                total = u[t, :, d] + (h @ rows.T).reshape(batch, 4, hidden)
                i, f, g, o = (total[:, n] for n in range(4))
                if peephole is not None:
                    i, f = i + peephole[d, 0] * c, f + peephole[d, 1] * c
                i = squash(gate, i, op.limit)
                f = 1 - i if coupled else squash(gate, f, op.limit)
                g = squash(cell, g, op.limit)
                new = f * c + i * g
                if peephole is not None:
                    o = o + peephole[d, 2] * new
                out = squash(gate, o, op.limit) * evaluate(shown, new)
                return out if projection is None else out @ projection[d].T, new

            start_h = given.state("initial_h", d, batch, fed_back)
            start_c = given.state("initial_c", d, batch, hidden)
            (h, c), (last_h, last_c) = walk(
                op, d, (steps, batch), (start_h, start_c), step, lengths
            )
            outputs.append(h)
            finals_h.append(last_h)
            finals_c.append(last_c)
            self.trace(op.label, "hidden", before(h, start_h, reverse=op.is_reverse(d)))
            for slot, values in (
                ("output", start_h),
                ("output", h),
                ("state", start_c),
                ("state", c),
            ):
                self.trace(op.label, slot, values)
        return gathered(outputs, finals_h, finals_c)

    @impl(nn.SruOp)
    def run_sru(self, _: Interpreter, op: nn.SruOp, args: PythonValues) -> PythonValues:
        """Gates f and r; products with the input alone."""
        given = Operands(op, args)
        x, vector, bias = given["input"], given["vector"], given["bias"]
        self.trace(op.label, "input", x)
        u = products(x, given["weight"])
        steps, batch = x.shape[:2]
        hidden = op.hidden
        scale = F(op.skip_scale.value.data)
        activation = FunctionAttr.of(op.activation.data)
        outputs, finals = [], []
        for d in range(op.directions):
            skip: Array | None = None
            if op.skip.data == "projected":
                skip = u[:, :, d, 3] * scale
            elif op.skip.data == "identity":
                skip = x[:, :, d * hidden : (d + 1) * hidden] * scale

            def step(
                t: int, states: tuple[Array, ...], d: int = d, skip: Array | None = skip
            ) -> tuple[Array, ...]:
                (c,) = states
                f = sigmoid(u[t, :, d, 1] + vector[d, 0] * c + bias[d, 0])
                r = sigmoid(u[t, :, d, 2] + vector[d, 1] * c + bias[d, 1])
                c = f * c + (1 - f) * u[t, :, d, 0]
                h = r * evaluate(activation, c)
                return c, h if skip is None else h + (1 - r) * skip[t]

            initial = given.state("initial_state", d, batch, hidden)
            (c, h), (final,) = walk(op, d, (steps, batch), (initial,), step)
            outputs.append(h)
            finals.append(final)
            # The state grid must hold candidates and skip terms as well.
            for values in (c, u[:, :, d, 0], *([] if skip is None else [skip])):
                self.trace(op.label, "state", values)
        return gathered(outputs, finals)

    @impl(nn.QrnnOp)
    def run_qrnn(self, _: Interpreter, op: nn.QrnnOp, args: PythonValues) -> PythonValues:
        """Products over a window, then the pooling."""
        given = Operands(op, args)
        x, weight, bias = given["input"], given["weight"], given.get("bias")
        self.trace(op.label, "input", x)
        steps, batch, features = x.shape
        pooling = op.pooling.data
        outputs, finals, lasts = [], [], []
        for d in range(op.directions):
            reverse = op.is_reverse(d)
            taps = [x]
            if op.window == 2:
                first = given.state("initial_input", d, batch, features)
                taps = [before(x, first, reverse=reverse), x]
            u = sum(
                (products(tap, weight[d : d + 1, :, :, j])[:, :, 0] for j, tap in enumerate(taps)),
                start=np.zeros((), dtype=F),
            )
            if bias is not None:
                u = u + bias[d]
            z, gates = np.tanh(u[:, :, 0]), sigmoid(u[:, :, 1:])

            def step(
                t: int, states: tuple[Array, ...], z: Array = z, gates: Array = gates
            ) -> tuple[Array, ...]:
                (c,) = states
                f = gates[t, :, 0]
                fresh = gates[t, :, 2] if pooling == "ifo" else 1 - f
                c = f * c + fresh * z[t]
                return c, c if pooling == "f" else gates[t, :, 1] * c

            initial = given.state("initial_state", d, batch, op.hidden)
            (c, h), (final,) = walk(op, d, (steps, batch), (initial,), step)
            outputs.append(h)
            finals.append(final)
            lasts.append(x[0 if reverse else -1])
            for values in (initial, c, z):
                self.trace(op.label, "state", values)
        return gathered(outputs, finals, lasts)
