"""Cells written out in straight code become whole operations, and only they."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float


class LstmStep(nn.Module):
    """A hand-made step; `miss` gives the input gate another function."""

    def __init__(self, miss: bool = False) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(3, 20), nn.Linear(5, 20, bias=False)
        self.out = nn.Linear(5, 2)
        self.miss = miss

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = (self.x(x) + self.h(h)).chunk(4, dim=1)
        opened = torch.tanh(i) if self.miss else torch.sigmoid(i)
        c = torch.sigmoid(f) * c + opened * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return self.out(h), h, c


class GruStep(nn.Module):
    """The blend as a difference, the reset before the product."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.new = nn.Linear(8, 10), nn.Linear(8, 5)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        r, z = torch.sigmoid(self.gates(torch.cat([x, h], 1))).chunk(2, dim=1)
        n = torch.tanh(self.new(torch.cat([x, r * h], 1)))
        made: Tensor = n + z * (h - n)
        return made


def check(module: nn.Module, *sizes: int) -> list[str]:
    torch.manual_seed(0)
    for p in module.parameters():
        nn.init.normal_(p, std=0.5)
    program = mohaq.load(module, tuple(torch.zeros(2, n) for n in sizes))
    inputs = [torch.randn(3, n) for n in sizes]
    with torch.no_grad():
        theirs = module(*inputs)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    for a, b in zip(run_float(program, [i.numpy() for i in inputs]), theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)
    return [op.name for op in program.layers()]


def test_an_lstm_step() -> None:
    assert check(LstmStep(), 3, 5, 5) == ["nn.lstm", "nn.linear"]


def test_a_gru_step() -> None:
    assert check(GruStep(), 3, 5) == ["nn.gru"]


def test_a_step_with_another_gate_stays_what_it_is() -> None:
    assert "nn.lstm" not in check(LstmStep(miss=True), 3, 5, 5)


@pytest.mark.parametrize("kind", ["tanh", "sigmoid"])
def test_a_gated_layer_is_no_cell(kind: str) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            f = torch.tanh if kind == "tanh" else torch.sigmoid
            made: Tensor = torch.sigmoid(self.a(x)) * f(self.b(y)) * torch.sigmoid(self.c(x))
            return made

    assert check(Gated(), 4, 4) == ["nn.linear"] * 3
