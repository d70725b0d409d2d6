"""torch.nn's recurrent layers: one import each, equal to torch at any T and B."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mohaq
from mohaq.compiler.dialects.nn import RecurrentOp
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import Program

KINDS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
SIZES = ((1, 1), (7, 3), (300, 2))


def agree(program: Program, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Our float interpreter and torch within 1e-5 relative."""
    with torch.no_grad():
        made = module.eval()(*inputs)
    theirs = made if isinstance(made, tuple) else (made,)
    ours = run_float(program, [i.numpy() for i in inputs])
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == tuple(b.shape)
        scale = max(float(b.abs().max()), 1e-3)
        assert float(np.abs(a - b.numpy()).max()) <= 1e-5 * scale


class Layer(nn.Module):
    """A torch layer with its state in and out, or not."""

    def __init__(self, layer: Any, given: bool, used: bool) -> None:
        super().__init__()
        self.layer = layer
        self.given, self.used = given, used

    def forward(self, x: Tensor, *states: Tensor) -> Any:
        hx: Any = None
        if self.given:
            hx = states[0] if len(states) == 1 else tuple(states)
        y, final = self.layer(x, hx)
        if not self.used:
            return y
        return (y, *final) if isinstance(final, tuple) else (y, final)


@st.composite
def torch_layers(draw: st.DrawFn) -> tuple[Layer, Any]:
    """Any torch recurrent layer and a maker of inputs for (T, B)."""
    torch.manual_seed(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(KINDS))
    features, hidden = draw(st.integers(1, 5)), draw(st.integers(2, 5))
    layers, bidirectional = draw(st.integers(1, 3)), draw(st.booleans())
    options: dict[str, Any] = {
        "num_layers": layers,
        "bidirectional": bidirectional,
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "dropout": 0.3 if layers > 1 else 0.0,
    }
    projection = draw(st.integers(1, hidden - 1)) if kind == "lstm" and draw(st.booleans()) else 0
    if kind == "lstm":
        layer: Any = nn.LSTM(features, hidden, proj_size=projection, **options)
    elif kind == "gru":
        layer = nn.GRU(features, hidden, **options)
    else:
        layer = nn.RNN(features, hidden, nonlinearity=kind.removeprefix("rnn_"), **options)
    given, used = draw(st.booleans()), draw(st.booleans())
    rows = layers * (2 if bidirectional else 1)

    def inputs(steps: int, batch: int) -> tuple[Tensor, ...]:
        x = (
            torch.randn(batch, steps, features)
            if options["batch_first"]
            else torch.randn(steps, batch, features)
        )
        states = [torch.randn(rows, batch, projection or hidden)]
        if kind == "lstm":
            states.append(torch.randn(rows, batch, hidden))
        return (x, *states) if given else (x,)

    return Layer(layer, given, used), inputs


@settings(max_examples=14, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=torch_layers())
def test_every_torch_layer_from_one_import(drawn: tuple[Layer, Any]) -> None:
    module, inputs = drawn
    program = mohaq.load(module, inputs(5, 4))
    found = [op for op in program.layers() if isinstance(op, RecurrentOp)]
    assert len(found) == module.layer.num_layers
    for steps, batch in SIZES:
        agree(program, module, inputs(steps, batch))


class Tagger(nn.Module):
    """Tokens, embedding, stacked BiLSTM, two linear layers, log-softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 4)
        self.encoder = nn.LSTM(4, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Sequential(nn.Linear(10, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))

    def forward(self, tokens: Tensor) -> Tensor:
        y, _ = self.encoder(self.table(tokens))
        return torch.log_softmax(self.head(y), dim=-1)


class Speech(nn.Module):
    """Convolution over time with batch norm, BiGRU, the mean of both directions, classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 8, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm1d(8)
        self.gru = nn.GRU(8, 5, bidirectional=True)
        self.after = nn.LayerNorm(5)
        self.out = nn.Linear(5, 4)
        self.norm.running_mean = torch.randn(8)
        self.norm.running_var = torch.rand(8) + 0.5

    def forward(self, x: Tensor) -> Tensor:
        h = torch.nn.functional.hardtanh(self.norm(self.conv(x)), 0.0, 20.0)
        y, _ = self.gru(h.permute(2, 0, 1))
        forward, backward = y.chunk(2, dim=-1)
        made: Tensor = self.out(self.after((forward + backward) * 0.5))
        return made.transpose(0, 1)


class Classifier(nn.Module):
    """The last step of a GRU, and the final state of an RNN with zeros of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.rnn = nn.RNN(4, 5, batch_first=True)
        self.out = nn.Linear(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.gru(x)
        start = torch.zeros(1, x.size(0), 5)
        _, h = self.rnn(y, start)
        made: Tensor = self.out(torch.cat([y[:, -1, :], h[0]], dim=1))
        return made.softmax(-1)


class Step(nn.Module):
    """One step of a decoder: cells that are called once."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTMCell(3, 4), nn.GRUCell(4, 5)

    def forward(self, x: Tensor, h: Tensor, c: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        h, c = self.lstm(x, (h, c))
        g = self.gru(h, g)
        return g, h, c


def test_a_tagger() -> None:
    torch.manual_seed(0)
    module = Tagger()
    program = mohaq.load(module, (torch.zeros(2, 5, dtype=torch.int64),))
    for steps, batch in SIZES:
        agree(program, module, (torch.randint(0, 11, (batch, steps)),))


def test_a_speech_network_with_convolution() -> None:
    torch.manual_seed(0)
    module = Speech()
    program = mohaq.load(module, (torch.zeros(2, 6, 20),))
    for steps, batch in SIZES:
        agree(program, module, (torch.randn(batch, 6, steps),))


def test_a_classifier_of_sequences() -> None:
    torch.manual_seed(0)
    module = Classifier()
    program = mohaq.load(module, (torch.zeros(2, 5, 3),))
    for steps, batch in SIZES:
        agree(program, module, (torch.randn(batch, steps, 3),))


def test_cells_that_are_called_once() -> None:
    torch.manual_seed(0)
    module = Step()

    def inputs(batch: int) -> tuple[Tensor, ...]:
        return tuple(torch.randn(batch, n) for n in (3, 4, 4, 5))

    program = mohaq.load(module, inputs(2))
    for batch in (1, 3):
        agree(program, module, inputs(batch))


def test_what_depends_on_the_length_is_refused() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.out(x)
            return made * x.shape[0]

    with pytest.raises(mohaq.MohaqError, match=r"depends on the sizes|cannot import"):
        mohaq.load(Positions(), (torch.zeros(5, 2, 3),))
