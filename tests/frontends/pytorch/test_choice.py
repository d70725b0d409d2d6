"""Masks, choices, whole numbers and how modules are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float


class Model(nn.Module):
    """A function, with a GRU and an embedding at hand."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.rnn = nn.GRU(4, 4, batch_first=True)
        self.table = nn.Embedding(12, 4)
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def attention(m: Any, x: Tensor) -> Tensor:
    y, _ = m.rnn(x)
    silent = ~((x[..., :1] > 0.5) | (x[..., 1:2] <= -1) | (x[..., 2:3] >= 0.1))
    scores = y.sum(-1, keepdim=True).masked_fill(silent, float("-inf"))
    heard = (~silent).any(1, keepdim=True)
    made: Tensor = (torch.softmax(torch.where(heard, scores, 0.0), 1) * y).sum(1)
    return made


def tokens(m: Any, x: Tensor) -> Tensor:
    mask = (x != 0).float().unsqueeze(-1)
    made: Tensor = (m.rnn(m.table(x))[0] * mask).sum(1) / mask.sum(1).clamp(min=1)
    return made


def normalized(m: Any, x: Tensor) -> Tensor:
    made: Tensor = m.rnn((x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-3))[0]
    return made


def many_rows(m: Any, x: Tensor) -> Tensor:
    pairs = m.rnn(x)[0].unsqueeze(2) * x.unsqueeze(1)
    made: Tensor = torch.einsum("bcf,btsf->btsc", x, pairs)
    return made


REAL, WHOLE = torch.randn(2, 6, 4), torch.randint(0, 9, (2, 6))
CASES: dict[str, tuple[Callable[..., Any], Tensor]] = {
    "attention with a mask": (attention, REAL),
    "mean over what is no padding": (tokens, WHOLE),
    "normalized over time": (normalized, REAL),
    "variance": (lambda m, x: m.rnn(x)[0].var((0, 2), unbiased=False), REAL),
    "spread": (lambda m, x: torch.std_mean(m.rnn(x)[0], 2)[0], REAL),
    "classes": (lambda m, x: m.rnn(x)[0].argmax(-1), REAL),
    "class that stays": (lambda m, x: m.rnn(x)[0].argmin(2, keepdim=True), REAL),
    "one hot": (lambda m, x: (m.rnn(x)[0] == m.rnn(x)[0].amax(-1, keepdim=True)).float(), REAL),
    "all": (lambda m, x: (x < 9).all(1).float() * m.rnn(x)[0].sum(1), REAL),
    "both": (lambda m, x: torch.where((x < 1) & (x > -1), m.rnn(x)[0], x), REAL),
    "numbers of tokens": (lambda m, x: m.table(x) * x.unsqueeze(-1).to(torch.float32), WHOLE),
    "sums of whole numbers": (lambda m, x: m.table((x + 1).amin(1)), WHOLE),
    "whole numbers from both sides": (
        lambda m, x: (9 - x).sum(1).float() + m.rnn(m.table(x))[0].sum((1, 2)),
        WHOLE,
    ),
    "attention of heads": (lambda m, x: m.heads(m.rnn(x)[0], x, x, need_weights=False)[0], REAL),
    "attention with its weights": (lambda m, x: m.heads(x, x, x)[1], REAL),
    "einsum": (lambda m, x: torch.einsum("btf,bsf->bts", m.rnn(x)[0], x), REAL),
    "einsum with a matrix": (
        lambda m, x: torch.einsum("btf,gf->gtb", m.rnn(x)[0], m.rnn.weight_hh_l0),
        REAL,
    ),
    "einsum of one": (lambda m, x: torch.einsum("btf->fb", m.rnn(x)[0]), REAL),
    "einsum of many rows": (many_rows, REAL),
    "along the other extent": (
        lambda m, x: m.rnn(x.unsqueeze(1).transpose(1, 2).reshape(-1, 1, 4))[0].view(
            x.shape[0], x.shape[1], 4
        ),
        REAL,
    ),
    "embedding of a class": (lambda m, x: m.table(m.rnn(x)[0].argmax(-1)), REAL),
}


@pytest.mark.parametrize("name", CASES)
def test_against_torch_fx_and_onnx(name: str) -> None:
    function, example = CASES[name]
    torch.manual_seed(1)
    module = Model(function).eval()
    program = mohaq.load(module, (example,))
    graph = program.to_fx()
    session = onnxruntime.InferenceSession(program.to_onnx().SerializeToString())
    for shape in ((2, 6), (1, 9), (3, 30)):
        x = torch.randn(*shape, 4) if example.is_floating_point() else torch.randint(0, 9, shape)
        with torch.no_grad():
            wanted = module(x).numpy()
            others = [graph(x).numpy(), *session.run(None, {
                session.get_inputs()[0].name: x.numpy()})]  # fmt: skip
        for found in (*run_float(program, [x.numpy()]), *others):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_states_in_a_tuple() -> None:
    module = nn.LSTM(3, 4, 2, batch_first=True).eval()
    x, h, c = torch.randn(2, 5, 3), torch.randn(2, 2, 4), torch.randn(2, 2, 4)
    program = mohaq.load(module, (x, (h, c)))
    for steps, batch in ((5, 2), (1, 1), (33, 3)):
        given = torch.randn(batch, steps, 3), torch.randn(2, batch, 4), torch.randn(2, batch, 4)
        with torch.no_grad():
            y, states = module(given[0], given[1:])
        for found, wanted in zip(
            run_float(program, [g.numpy() for g in given]), (y, *states), strict=True
        ):
            np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_arguments_that_are_no_tensors_are_fixed() -> None:
    def function(m: Any, x: Tensor, h: Any, turned: bool, scale: float) -> Tensor:
        y: Tensor = m.rnn(x, h)[0] * scale
        return -y if turned else y

    module = Model(function).eval()
    x = torch.randn(2, 5, 4)
    program = mohaq.load(module, (x, None, True, 2.0))
    (found,) = run_float(program, [x.numpy()])
    with torch.no_grad():
        np.testing.assert_allclose(found, module(x, None, True, 2.0).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((object(),), "input 0.*\n?.*it is a object"),
        ((torch.zeros(2, 0, 4),), "no elements"),
        ((3, None), "none of the example inputs is a tensor"),
    ],
)
def test_examples_that_are_no_inputs(given: Any, words: str) -> None:
    with pytest.raises(mohaq.MohaqError, match=words):
        mohaq.load(Model(lambda _, x: F.relu(x)), given)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m, x: m.rnn(x)[0].argmax(), "whole tensor"),
        (lambda _, x: x.to(torch.int64) & 3, "no truth values"),
        (lambda _, x: torch.where(x > 0)[0], "data"),
    ],
)
def test_what_is_refused_says_why(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(mohaq.MohaqError, match=words):
        mohaq.load(Model(function), (REAL,))
