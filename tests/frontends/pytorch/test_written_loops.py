"""Loops over time whose cells are written out of linear layers and functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float

Step = Callable[[Any, Tensor, list[Tensor]], list[Tensor]]
SIZES = ((1, 1), (7, 3), (60, 2))
N, H = 3, 4


class Loop(nn.Module):
    """A step over [B, T, N] from states of zeros; shows the first state, gives all last ones."""

    def __init__(self, step: Step, states: list[int], reverse: bool, **layers: Any) -> None:
        super().__init__()
        self.step, self.states, self.reverse = step, states, reverse
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        held = [x.new_zeros(x.size(0), n) for n in self.states]
        made = []
        order = range(x.size(1))
        for t in reversed(order) if self.reverse else order:
            held = self.step(self, x[:, t], held)
            made.append(held[0])
        return (torch.stack(made[::-1] if self.reverse else made, 1), *held)


def agree(module: nn.Module, kinds: list[str], features: int = N) -> None:
    module.eval()
    program = mohaq.load(module, (torch.randn(2, 5, features),))
    assert [op.name.removeprefix("nn.") for op in program.layers()] == kinds
    for steps, batch in SIZES:
        x = torch.randn(batch, steps, features)
        with torch.no_grad():
            made = module(x)
        theirs = made if isinstance(made, tuple) else (made,)
        for a, b in zip(run_float(program, [x.numpy()]), theirs, strict=True):
            assert a.shape == tuple(b.shape)
            assert float(np.abs(a - b.numpy()).max()) <= 1e-5 * max(float(b.abs().max()), 1e-3)


def elman(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    return [torch.tanh(m.a(x) + m.b(held[0]))]


def independent(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    return [F.relu(m.a(x) + m.u * held[0])]


def leaky(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    return [0.8 * held[0] + 0.2 * torch.relu(m.a(x) + m.b(held[0]))]


def average(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    return [m.u * held[0] + (1 - m.u) * x]


def minimal(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    (h,) = held
    f = torch.sigmoid(m.a(x) + m.b(h))
    return [(1 - f) * h + f * torch.tanh(m.c(x) + m.d(f * h))]


def gru_of_three(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    (h,) = held
    z, r = torch.sigmoid(m.zr(torch.cat([x, h], 1))).chunk(2, 1)
    return [(1 - z) * h + z * torch.tanh(m.n(torch.cat([x, r * h], 1)))]


def gru_fused(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    (h,) = held
    (ir, iz, i), (hr, hz, k) = m.a(x).chunk(3, 1), m.b(h).chunk(3, 1)
    n = torch.tanh(i + torch.sigmoid(ir + hr) * k)
    return [n + torch.sigmoid(iz + hz) * (h - n)]


def lstm_of_one(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    h, c = held
    i, f, o, g = torch.split(m.w(torch.cat([h, x], 1)), H, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return [torch.sigmoid(o) * torch.tanh(c), c]


def lstm_of_matrices(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    h, c = held
    gates = x @ m.wx + h @ m.wh + m.bias
    i, f, o = (torch.sigmoid(gates[:, n * H : (n + 1) * H]) for n in range(3))
    c = f * c + i * torch.tanh(gates[:, 3 * H :])
    return [o * torch.tanh(c), c]


def lstm_peephole(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    h, c = held
    i, f, g, o = (m.a(x) + m.b(h)).chunk(4, 1)
    c = torch.sigmoid(f + m.p * c) * c + torch.sigmoid(i + m.q * c) * torch.tanh(g)
    return [torch.sigmoid(o + m.r * c) * torch.tanh(c), c]


def lstm_coupled(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    h, c = held
    f, o, g = m.w(torch.cat([x, h], 1)).chunk(3, 1)
    f = torch.sigmoid(f)
    c = f * c + (1 - f) * torch.tanh(g)
    return [torch.sigmoid(o) * torch.tanh(c), c]


def lstm_projected(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    h, c = held
    i, f, g, o = m.w(torch.cat([x, h], 1)).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return [m.p(torch.sigmoid(o) * torch.tanh(c)), c]


def vector(n: int = H) -> nn.Parameter:
    return nn.Parameter(torch.rand(n))


def matrix(m: int, n: int) -> nn.Parameter:
    return nn.Parameter(0.3 * torch.randn(m, n))


CELLS: dict[str, tuple[str, Step, list[int], Callable[[], dict[str, Any]]]] = {
    "elman": ("rnn", elman, [H], lambda: {"a": nn.Linear(N, H), "b": nn.Linear(H, H)}),
    "independent": ("rnn", independent, [H], lambda: {"a": nn.Linear(N, H), "u": vector()}),
    "leaky": ("ligru", leaky, [H], lambda: {"a": nn.Linear(N, H), "b": nn.Linear(H, H)}),
    "average": ("rnn", average, [N], lambda: {"u": vector(N)}),
    "minimal": (
        "gru",
        minimal,
        [H],
        lambda: {n: nn.Linear(N if n in "ac" else H, H) for n in "abcd"},
    ),
    "gru of three": (
        "gru",
        gru_of_three,
        [H],
        lambda: {"zr": nn.Linear(N + H, 2 * H), "n": nn.Linear(N + H, H)},
    ),
    "gru fused": (
        "gru",
        gru_fused,
        [H],
        lambda: {"a": nn.Linear(N, 3 * H), "b": nn.Linear(H, 3 * H)},
    ),
    "lstm of one": ("lstm", lstm_of_one, [H, H], lambda: {"w": nn.Linear(N + H, 4 * H)}),
    "lstm of matrices": (
        "lstm",
        lstm_of_matrices,
        [H, H],
        lambda: {"wx": matrix(N, 4 * H), "wh": matrix(H, 4 * H), "bias": vector(4 * H)},
    ),
    "lstm peephole": (
        "lstm",
        lstm_peephole,
        [H, H],
        lambda: {"a": nn.Linear(N, 4 * H), "b": nn.Linear(H, 4 * H)} | {n: vector() for n in "pqr"},
    ),
    "lstm coupled": ("lstm", lstm_coupled, [H, H], lambda: {"w": nn.Linear(N + H, 3 * H)}),
    "lstm projected": (
        "lstm",
        lstm_projected,
        [2, H],
        lambda: {"w": nn.Linear(N + 2, 4 * H), "p": nn.Linear(H, 2, bias=False)},
    ),
}


@pytest.mark.parametrize(
    ("name", "reverse"),
    [*((n, False) for n in CELLS), ("elman", True), ("gru of three", True), ("lstm of one", True)],
)
def test_a_cell_that_is_written_out_is_one_layer(name: str, reverse: bool) -> None:
    torch.manual_seed(0)
    kind, step, states, layers = CELLS[name]
    agree(Loop(step, states, reverse, **layers()), [kind])


class Stacked(nn.Module):
    """Two cells in one loop over tokens' embeddings, with a head on every step."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.Linear(N + H, 4 * H), nn.Linear(2 * H, 4 * H)])
        self.head = nn.Linear(H, 2)

    def forward(self, x: Tensor) -> Tensor:
        held = [(x.new_zeros(x.size(0), H),) * 2 for _ in self.cells]
        made = []
        for one in torch.chunk(x, x.size(1), 1):
            y = one.squeeze(1)
            for n, cell in enumerate(self.cells):
                h, c = held[n]
                i, f, g, o = cell(torch.cat([y, h], 1)).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                y = o.sigmoid() * c.tanh()
                held[n] = y, c
            made.append(self.head(y))
        return torch.stack(made, 1)


def test_two_written_cells_in_one_loop() -> None:
    torch.manual_seed(0)
    agree(Stacked(), ["lstm", "lstm", "linear"])


class Decoder(nn.Module):
    """A loop that begins where another one of the same length ended."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(N + H, H), nn.Linear(N + H, H)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), H)
        for t in range(x.size(1)):
            h = torch.tanh(self.a(torch.cat([x[:, t], h], 1)))
        made = []
        for t in range(x.size(1)):
            h = torch.tanh(self.b(torch.cat([x[:, t], h], 1)))
            made.append(h)
        return torch.stack(made, 1)


def test_a_loop_that_begins_where_another_ends() -> None:
    torch.manual_seed(0)
    agree(Decoder(), ["rnn", "rnn"])


def normed(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    return [torch.tanh(m.n(m.a(x) + m.b(held[0])))]


def other_weights(m: Any, x: Tensor, held: list[Tensor]) -> list[Tensor]:
    m.count += 1
    return [torch.tanh((m.a if m.count % 3 else m.c)(x) + m.b(held[0]))]


def test_a_step_that_is_no_cell_is_named() -> None:
    layers = {"a": nn.Linear(N, H), "b": nn.Linear(H, H), "n": nn.LayerNorm(H)}
    with pytest.raises(mohaq.MohaqError, match="none of the cells that we know") as caught:
        mohaq.load(Loop(normed, [H], False, **layers), (torch.zeros(2, 5, N),))
    assert "test_written_loops.py:" in str(caught.value)
    assert "docs/support.md" in str(caught.value)


def test_steps_of_different_weights_are_no_loop() -> None:
    layers: dict[str, Any] = {"a": nn.Linear(N, H), "b": nn.Linear(H, H), "c": nn.Linear(N, H)}
    with pytest.raises(mohaq.MohaqError, match="loop over the input"):
        mohaq.load(Loop(other_weights, [H], False, count=0, **layers), (torch.zeros(2, 5, N),))
