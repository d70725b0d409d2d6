"""Models as people write them, and what is said about those that cannot be imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mohaq
from mohaq.compiler.frontends.pytorch import supported
from mohaq.compiler.interpreters.float_nn import run_float

SHAPE = (5, 4, 3)
OTHERS = ((1, 1, 3), (7, 3, 3), (60, 2, 3))
Function = Callable[..., Any]


class Model(nn.Module):
    """A function with the layers that it uses."""

    def __init__(self, function: Function, **layers: Any) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)


def test_an_input_called_as_a_function_of_python_is() -> None:
    class Named(nn.Module):
        def forward(self, input: Tensor, max: Tensor) -> Tensor:  # noqa: A002
            return torch.relu(input) + max

    check(Named(), (torch.randn(5, 3), torch.randn(5, 3)), [])


def check(module: nn.Module, inputs: tuple[Tensor, ...], others: list[tuple[Tensor, ...]]) -> None:
    program = mohaq.load(module, inputs)
    for given in (inputs, *others):
        with torch.no_grad():
            made = module.eval()(*given)
        theirs = made if isinstance(made, tuple) else (made,)
        ours = run_float(program, [i.numpy() for i in given])
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == tuple(b.shape)
            scale = max(float(b.abs().max()), 1e-3)
            assert float(np.abs(a - b.numpy()).max()) <= 1e-5 * scale


def lstm(**options: Any) -> nn.LSTM:
    return nn.LSTM(3, 4, **options)


def rows_and_back(m: Any, x: Tensor) -> Tensor:
    h = m.norm(torch.relu(m.fc(m.rnn(x)[0].reshape(-1, 4))) * 0.5)
    made: Tensor = F.log_softmax(h, dim=1).view(x.size(0), x.size(1), -1)
    return made


def two_views(m: Any, x: Tensor) -> Tensor:
    y = m.rnn(x)[0].contiguous().view(-1, 4)
    gate = torch.sigmoid(m.gate(y))
    made: Tensor = (gate * m.fc(y)).view(x.shape[0], x.shape[1], 2)
    return made


def decoder(m: Any, x: Tensor) -> Tensor:
    h, c = (state[0] for state in m.rnn(x)[1])
    y = torch.zeros(x.size(1), 2)
    made = []
    for _ in range(3):
        h, c = m.cell(y, (h, c))
        y = m.fc(h)
        made.append(y)
    return torch.stack(made)


def norm_on_rows(m: Any, x: Tensor) -> Tensor:
    y = m.rnn(x)[0]
    y = y.view(y.size(0), y.size(1), 2, -1).sum(2).view(y.size(0), y.size(1), -1)
    steps, batch = y.size(0), y.size(1)
    made: Tensor = m.norm(y.view(steps * batch, -1)).view(steps, batch, -1)
    return made


MODELS: dict[str, Function] = {
    "rows and back": lambda: Model(
        rows_and_back, rnn=lstm(), fc=nn.Linear(4, 2), norm=nn.LayerNorm(2)
    ),
    "gate on rows": lambda: Model(two_views, rnn=lstm(), fc=nn.Linear(4, 2), gate=nn.Linear(4, 1)),
    "rows that stay": lambda: Model(
        lambda m, x: F.log_softmax(m.fc(m.rnn(x)[0].view(-1, 4)), 1),
        rnn=lstm(),
        fc=nn.Linear(4, 2),
    ),
    "last states of both ways": lambda: Model(
        lambda m, x: (lambda h: torch.cat([h[-2], h[-1]], 1))(m.rnn(x)[1][0]),
        rnn=lstm(bidirectional=True, num_layers=2),
    ),
    "sum of both ways": lambda: Model(
        lambda m, x: m.rnn(x)[0].view(x.size(0), x.size(1), 2, 4).sum(2),
        rnn=lstm(bidirectional=True),
    ),
    "states by layer and direction": lambda: Model(
        lambda m, x: m.rnn(x)[1][0].view(2, 2, x.size(1), 4)[-1].sum(0),
        rnn=lstm(bidirectional=True, num_layers=2),
    ),
    "learned start, repeated": lambda: Model(
        lambda m, x: m.rnn(x, m.start.repeat(1, x.size(1), 1))[0],
        rnn=nn.GRU(3, 4),
        start=nn.Parameter(torch.randn(1, 1, 4)),
    ),
    "maximum over time": lambda: Model(lambda m, x: m.rnn(x)[0].max(dim=0)[0], rnn=lstm()),
    "attention over time": lambda: Model(
        lambda m, x: (lambda y: (torch.softmax(m.a(y), 0) * y).sum(0))(m.rnn(x)[0]),
        rnn=lstm(),
        a=nn.Linear(4, 1),
    ),
    "every second step": lambda: Model(lambda m, x: m.rnn(x[::2])[0], rnn=lstm()),
    "one layer twice": lambda: Model(lambda m, x: m.rnn(m.rnn(x)[0])[0], rnn=nn.GRU(3, 3)),
    "normalized input": lambda: Model(
        lambda m, x: m.rnn(x / (x.norm(dim=-1, keepdim=True) + 1.0))[0], rnn=lstm()
    ),
    "activations": lambda: Model(
        lambda m, x: F.selu(x) + F.mish(x) + F.logsigmoid(x) + F.celu(x) + m.p(x), p=nn.PReLU()
    ),
    "one vector at every step": lambda: Model(
        lambda m, x: m.rnn(torch.cat([x, x.mean(0).unsqueeze(0).repeat(x.size(0), 1, 1)], 2))[0],
        rnn=nn.GRU(6, 4),
    ),
    "a decoder that begins at zero": lambda: Model(
        decoder, rnn=lstm(), cell=nn.LSTMCell(2, 4), fc=nn.Linear(4, 2)
    ),
    "norm on rows of both ways": lambda: Model(
        norm_on_rows, rnn=nn.GRU(3, 4, bidirectional=True), norm=nn.BatchNorm1d(4)
    ),
    "slopes of channels": lambda: Model(lambda m, x: m.p(x.permute(1, 2, 0)).mT, p=nn.PReLU(3)),
    "norm by channels": lambda: Model(
        lambda m, x: m.g(m.n(F.pad(x, (0, 0, 0, 0, 1, 1)).permute(1, 2, 0))),
        n=nn.InstanceNorm1d(3, affine=True),
        g=nn.GroupNorm(1, 3),
    ),
    "norm without a mean": lambda: Model(
        lambda m, x: m.n(m.rnn(x)[0]), rnn=lstm(), n=nn.RMSNorm(4)
    ),
    "copies": lambda: Model(lambda m, x: m.rnn(x.repeat(1, 1, 2))[0], rnn=nn.GRU(6, 4)),
    "double precision": lambda: Model(
        lambda m, x: m.rnn(x.double())[0].float(), rnn=lstm()
    ).double(),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_as_people_write_them(name: str) -> None:
    torch.manual_seed(0)
    check(MODELS[name](), (torch.randn(*SHAPE),), [(torch.randn(*s),) for s in OTHERS])


def test_two_steps_side_by_side() -> None:
    """The length must be even; the example's is, and every other even one works."""
    torch.manual_seed(0)
    module = Model(
        lambda m, x: m.rnn(x.view(x.size(0), x.size(1) // 2, -1))[0],
        rnn=nn.LSTM(6, 4, batch_first=True),
    )
    sizes = ((1, 2), (3, 6), (2, 60))
    check(module, (torch.randn(2, 4, 3),), [(torch.randn(b, t, 3),) for b, t in sizes])


def test_unbatched_layers() -> None:
    torch.manual_seed(0)
    module = Model(lambda m, x: m.rnn(x)[0], rnn=lstm(bidirectional=True, num_layers=2))
    check(module, (torch.randn(5, 3),), [(torch.randn(n, 3),) for n in (1, 7, 60)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_are_kept_exactly(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2).to(dtype)
    program = mohaq.load(module, (torch.zeros(5, 2, 3, dtype=dtype),))
    x = torch.randn(7, 3, 3).to(dtype).float()
    (ours,) = run_float(program, [x.numpy()])
    np.testing.assert_allclose(ours, module.float()(x).detach().numpy(), rtol=1e-6, atol=1e-6)


class Checked(nn.Module):
    """An assertion on data, which torch.export takes for control flow."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = lstm(bidirectional=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        assert x.abs().max() < 100.0, "too loud"
        y, _ = self.rnn(x)
        made: Tensor = self.fc(y)
        return made


def test_torch_fx_takes_what_torch_export_refuses() -> None:
    torch.manual_seed(0)
    x = torch.randn(*SHAPE)
    with pytest.raises(Exception, match="data-dependent"):
        torch.export.export(Checked().eval(), (x,))
    check(Checked(), (x,), [(torch.randn(*s),) for s in OTHERS])
    assert [op.label for op in mohaq.load(Checked(), (x,)).layers()] == ["rnn", "fc"]


def branch(_: Any, x: Tensor) -> Tensor:
    y = x * 2
    if y.sum() > 0:
        return y
    return -y


def packed(m: Any, x: Tensor) -> Tensor:
    lengths = torch.full((x.size(1),), x.size(0))
    y, _ = m.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths))
    made: Tensor = nn.utils.rnn.pad_packed_sequence(y)[0]
    return made


REFUSED: dict[str, tuple[Function, str]] = {
    "branch": (lambda: Model(branch), r"test_models\.py:\d+.*control flow must not"),
    "packed": (lambda: Model(packed, rnn=lstm()), r"'rnn'.*LSTM on packed sequences.*padded"),
    "length": (lambda: Model(lambda _, x: x / x.size(0)), "uses the size of the input as a number"),
    "places": (lambda: Model(lambda _, x: x.max(0)[1] * 1.0), "places of a maximum"),
    "sort": (lambda: Model(lambda _, x: x.sort(0)[0]), r"aten\.sort.*support"),
    "nothing": (lambda: Model(lambda *_: None), "returns nothing"),
    "width": (lambda: nn.Linear(4, 2), "does not run on the example inputs"),
    "random": (lambda: Model(lambda _, x: x + torch.randn(3)), r"aten\.randn"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(mohaq.MohaqError) as caught:
        mohaq.load(make(), (torch.zeros(*SHAPE),))
    text = " ".join(str(caught.value).split())
    assert re.search(message, text), text


def test_empty_inputs_and_weights_are_refused() -> None:
    with pytest.raises(mohaq.MohaqError, match="no elements"):
        mohaq.load(nn.Linear(3, 2), (torch.zeros(0, 2, 3),))
    with pytest.raises(mohaq.MohaqError, match=r"no elements.*|has no"):
        mohaq.load(nn.Linear(3, 0), (torch.zeros(5, 2, 3),))


def test_the_list_of_what_is_supported() -> None:
    known = supported()
    assert known["torch.nn.LSTM"] == known["aten.lstm"] == "nn.lstm"
    assert {"mohaq.ligru", "mohaq.qrnn", "mohaq.sru", "sru.SRU"} <= known.keys()
    assert all(name and becomes for name, becomes in known.items())
