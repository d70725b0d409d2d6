"""The recurrent family as torch modules with everything that the `nn` operations can say.

Shapes, gate orders and equations are those of the operations (compiler/dialects/nn).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.fx.functions import evaluate

States = tuple[Tensor, ...]
Step = Callable[[int, States], States]
Change = Callable[[Tensor], Tensor]


class Recurrent(nn.Module):
    """Walks over time; subclasses give the products with the input and the step.

    directions: which of the D directions run backwards. functions: of each direction. limit:
    clip of their inputs. feed: what becomes of h' before recurrent products read it; held: of
    each state between the steps (both for retraining with quantization in the loop).
    """

    def __init__(
        self,
        directions: Sequence[bool],
        functions: Sequence[Sequence[FunctionAttr]] = (),
        limit: float | None = None,
    ) -> None:
        super().__init__()
        self.directions = tuple(directions)
        self.functions = tuple(tuple(f) for f in functions)
        self.limit = limit
        self.feed: Change | None = None
        self.held: tuple[Change, ...] = ()

    def hold(self, name: str, values: Tensor | None) -> None:
        """A parameter, or None."""
        self.register_parameter(name, None if values is None else nn.Parameter(values))

    def squash(self, function: FunctionAttr, x: Tensor) -> Tensor:
        """The function of x, which is clipped first if there is a limit."""
        return evaluate(function, x if self.limit is None else x.clamp(-self.limit, self.limit))

    def fed(self, h: Tensor) -> Tensor:
        """h' as recurrent products read it."""
        return h if self.feed is None else self.feed(h)

    def kept(self, states: States) -> States:
        """States as they are held between steps."""
        if not self.held:
            return states
        return tuple(keep(s) for keep, s in zip(self.held, states, strict=True))

    def walk(
        self, d: int, steps: int, states: States, step: Step, lengths: Tensor | None
    ) -> tuple[Tensor, States]:
        """One direction; a step gives the output first, then the next states."""
        outputs: list[Tensor] = []
        order = range(steps)
        states = self.kept(states)
        for t in reversed(order) if self.directions[d] else order:
            out, *new_states = step(t, states)
            following = list(self.kept(tuple(new_states)))
            if lengths is not None:
                live = (lengths > t)[:, None]
                following = [
                    torch.where(live, new, old) for new, old in zip(following, states, strict=True)
                ]
                out = torch.where(live, out, torch.zeros_like(out))
            states = tuple(following)
            outputs.append(out)
        if self.directions[d]:
            outputs.reverse()
        return torch.stack(outputs), states


def start(given: Tensor | None, d: int, x: Tensor, size: int) -> Tensor:
    """Initial state [B, size] of direction d; zeros when absent, one row for all expanded."""
    batch = x.shape[1]
    if given is None:
        return x.new_zeros(batch, size)
    return given[d].expand(batch, size)


def products(x: Tensor, weight: Tensor) -> Tensor:
    """x [T, B, I] by weight [D, G, H, I]: [T, B, D, G, H]."""
    return torch.einsum("tbi,dghi->tbdgh", x, weight)


def gathered(outputs: Sequence[Tensor], *finals: Sequence[Tensor]) -> States:
    """Results of all directions: outputs side by side, final states stacked."""
    return (torch.cat(list(outputs), dim=-1), *(torch.stack(list(f)) for f in finals))


class Simple(Recurrent):
    """`nn.rnn` and `nn.ligru` (with a norm)."""

    weight: Tensor
    recurrent: Tensor
    bias: Tensor | None
    norm: Tensor | None
    epsilon: float = 0.0

    def forward(
        self, x: Tensor, initial: Tensor | None = None, lengths: Tensor | None = None
    ) -> States:
        """x [T, B, I], initial [D, B, H], lengths [B]: result and final state."""
        u = products(x, self.weight)
        if self.norm is not None:
            gamma, beta, mean, var = self.norm.unbind(2)
            u = (u - mean) / torch.sqrt(var + self.epsilon) * gamma + beta
        if self.bias is not None:
            u = u + self.bias
        outputs, finals = [], []
        for d, functions in enumerate(self.functions):

            def step(
                t: int, states: States, d: int = d, functions: Sequence[FunctionAttr] = functions
            ) -> States:
                (h,) = states
                fed = self.fed(h)
                parts = [
                    self.squash(f, u[t, :, d, g] + fed @ self.recurrent[d, g].T)
                    for g, f in enumerate(functions)
                ]
                if len(parts) > 1:
                    z, a = parts
                    parts = [z * h + (1 - z) * a]
                return parts[0], parts[0]

            first = start(initial, d, x, self.weight.shape[2])
            y, (final,) = self.walk(d, x.shape[0], (first,), step, lengths)
            outputs.append(y)
            finals.append(final)
        return gathered(outputs, finals)


class Gru(Recurrent):
    """`nn.gru`, both reset variants."""

    weight: Tensor
    recurrent: Tensor
    bias: Tensor | None
    recurrent_bias: Tensor | None
    reset_after: bool = False

    def forward(
        self, x: Tensor, initial: Tensor | None = None, lengths: Tensor | None = None
    ) -> States:
        """x [T, B, I], initial [D, B, H], lengths [B]: result and final state."""
        u = products(x, self.weight)
        if self.bias is not None:
            u = u + self.bias
        outputs, finals = [], []
        for d, (gate, candidate) in enumerate(self.functions):

            def step(
                t: int,
                states: States,
                d: int = d,
                gate: FunctionAttr = gate,
                candidate: FunctionAttr = candidate,
            ) -> States:
                (h,) = states
                matrices = self.recurrent[d]
                fed = self.fed(h)
                r = self.squash(gate, u[t, :, d, 0] + fed @ matrices[0].T)
                z = self.squash(gate, u[t, :, d, 1] + fed @ matrices[1].T)
                if self.reset_after:
                    v = fed @ matrices[2].T
                    v = r * (v if self.recurrent_bias is None else v + self.recurrent_bias[d])
                else:
                    v = self.fed(r * h) @ matrices[2].T
                n = self.squash(candidate, u[t, :, d, 2] + v)
                h = (1 - z) * n + z * h
                return h, h

            first = start(initial, d, x, self.weight.shape[2])
            y, (final,) = self.walk(d, x.shape[0], (first,), step, lengths)
            outputs.append(y)
            finals.append(final)
        return gathered(outputs, finals)


class Lstm(Recurrent):
    """`nn.lstm` with peepholes, projection and coupled gates."""

    weight: Tensor
    recurrent: Tensor
    bias: Tensor | None
    peephole: Tensor | None
    projection: Tensor | None
    coupled: bool = False

    def forward(
        self,
        x: Tensor,
        initial_h: Tensor | None = None,
        initial_c: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> States:
        """x [T, B, I], initial_h [D, B, P], initial_c [D, B, H], lengths [B]: result, h, c."""
        u = products(x, self.weight)
        if self.bias is not None:
            u = u + self.bias
        outputs, finals_h, finals_c = [], [], []
        for d in range(len(self.directions)):

            def step(t: int, states: States, d: int = d) -> States:
                return self._step(u[t, :, d], states, d)

            given = (
                start(initial_h, d, x, self.recurrent.shape[3]),
                start(initial_c, d, x, self.weight.shape[2]),
            )
            y, (h, c) = self.walk(d, x.shape[0], given, step, lengths)
            outputs.append(y)
            finals_h.append(h)
            finals_c.append(c)
        return gathered(outputs, finals_h, finals_c)

    def _step(self, u: Tensor, states: States, d: int) -> States:
        h, c = states
        gate, cell, shown = self.functions[d]
        i, f, g, o = (u + torch.einsum("bp,ghp->bgh", self.fed(h), self.recurrent[d])).unbind(1)
        if self.peephole is not None:
            i, f = i + self.peephole[d, 0] * c, f + self.peephole[d, 1] * c
        i = self.squash(gate, i)
        f = 1 - i if self.coupled else self.squash(gate, f)
        c = f * c + i * self.squash(cell, g)
        if self.peephole is not None:
            o = o + self.peephole[d, 2] * c
        h = self.squash(gate, o) * evaluate(shown, c)
        if self.projection is not None:
            h = h @ self.projection[d].T
        return h, h, c


class Qrnn(Recurrent):
    """`nn.qrnn`, window 1 or 2, any pooling."""

    weight: Tensor
    bias: Tensor | None
    pooling: str = "fo"

    def forward(
        self,
        x: Tensor,
        initial: Tensor | None = None,
        before: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> States:
        """x [T, B, I], initial c [D, B, H], the input before [D, B, I]: result, c, last input.

        With lengths [B] (the operation has none) steps beyond them count as zeros.
        """
        window = self.weight.shape[3]
        if lengths is not None:
            x = x * (torch.arange(len(x), device=x.device)[:, None] < lengths)[:, :, None]
        outputs, finals, lasts = [], [], []
        for d, reverse in enumerate(self.directions):
            taps = [x]
            if window > 1:
                first = start(before, d, x, x.shape[2])[None]
                taps = [torch.cat([x[1:], first] if reverse else [first, x[:-1]]), x]
            u = sum(
                torch.einsum("tbi,ghi->tbgh", tap, self.weight[d, :, :, j])
                for j, tap in enumerate(taps)
            )
            assert isinstance(u, Tensor)
            if self.bias is not None:
                u = u + self.bias[d]
            z, gates = torch.tanh(u[:, :, 0]), torch.sigmoid(u[:, :, 1:])

            def step(t: int, states: States, z: Tensor = z, gates: Tensor = gates) -> States:
                (c,) = states
                f = gates[t, :, 0]
                fresh = gates[t, :, 2] if self.pooling == "ifo" else 1 - f
                c = f * c + fresh * z[t]
                return (c if self.pooling == "f" else gates[t, :, 1] * c), c

            given = start(initial, d, x, self.weight.shape[2])
            y, (c,) = self.walk(d, x.shape[0], (given,), step, lengths)
            outputs.append(y)
            finals.append(c)
            lasts.append(x[0] if reverse else x[-1])
        return gathered(outputs, finals, lasts)
