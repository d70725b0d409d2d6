"""LiGRU and QRNN: the operators, their gradients, and their import."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.modules import QRNN, LiGRU
from mohaq.compiler.modules.ligru import ligru
from mohaq.compiler.modules.qrnn import qrnn

DIRECTIONS = ("forward", "reverse", "bidirectional")
SIZES = ((1, 1), (7, 3), (300, 2))


class Layer(nn.Module):
    """A layer with states in and out, or not."""

    def __init__(self, layer: Any, given: bool, used: bool) -> None:
        super().__init__()
        self.layer, self.given, self.used = layer, given, used

    def forward(self, x: Tensor, *states: Tensor) -> Any:
        y, *finals = self.layer(x, *states) if self.given else self.layer(x)
        return (y, *finals) if self.used else y


@st.composite
def own_layers(draw: st.DrawFn) -> tuple[Layer, Any]:
    torch.manual_seed(draw(st.integers(0, 2**16)))
    features, hidden = draw(st.integers(1, 5)), draw(st.integers(2, 5))
    direction = draw(st.sampled_from(DIRECTIONS))
    layer: Any
    if draw(st.booleans()):
        layer = LiGRU(features, hidden, direction=direction, normalize=draw(st.booleans()))
        if layer.bias is None:
            for tensor in (layer.gamma, layer.beta, layer.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
        else:
            nn.init.normal_(layer.bias)
        with torch.no_grad():
            layer.recurrent.mul_(0.5)
        sizes = [hidden]
    else:
        layer = QRNN(
            features,
            hidden,
            direction=direction,
            pooling=draw(st.sampled_from(("f", "fo", "ifo"))),
            window=draw(st.integers(1, 2)),
            bias=draw(st.booleans()),
        )
        if layer.bias is not None:
            nn.init.normal_(layer.bias)
        sizes = [hidden, features]
    module = Layer(layer, draw(st.booleans()), draw(st.booleans()))

    def inputs(steps: int, batch: int) -> tuple[Tensor, ...]:
        states = [torch.randn(layer.directions, batch, n) for n in sizes]
        return (torch.randn(steps, batch, features), *(states if module.given else ()))

    return module, inputs


@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=own_layers())
def test_every_own_layer_from_one_import(drawn: tuple[Layer, Any]) -> None:
    module, inputs = drawn
    program = mohaq.load(module, inputs(5, 4))
    assert [op.label for op in program.layers()] == ["layer"]
    for steps, batch in SIZES:
        given = inputs(steps, batch)
        with torch.no_grad():
            made = module.eval()(*given)
        theirs = made if isinstance(made, tuple) else (made,)
        ours = run_float(program, [i.numpy() for i in given])
        for a, b in zip(ours, theirs, strict=True):
            scale = max(float(b.abs().max()), 1e-3)
            assert float(np.abs(a - b.numpy()).max()) <= 1e-5 * scale


def ligru_arguments(direction: str, normed: bool) -> list[Any]:
    torch.manual_seed(0)
    count = 2 if direction == "bidirectional" else 1
    made: list[Any] = [
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((4, 2, 3), (count, 2, 2), (count, 2, 2, 3), (count, 2, 2, 2), (count, 2, 2))
    ]
    norm = torch.rand(count, 2, 4, 2, dtype=torch.float64) + 0.5
    return [*made, norm.requires_grad_() if normed else None]


def qrnn_arguments(direction: str, pooling: str, window: int) -> list[Any]:
    torch.manual_seed(0)
    count, gates = (2 if direction == "bidirectional" else 1), {"f": 2, "fo": 3, "ifo": 4}[pooling]
    shapes = (
        (4, 2, 3), (count, 2, 2), (count, 2, 3), (count, gates, 2, window, 3), (count, gates, 2)
    )  # fmt: skip
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("normed", [False, True])
def test_ligru_gradients_are_derivatives(direction: str, normed: bool) -> None:
    *tensors, norm = ligru_arguments(direction, normed)
    given = [*tensors, norm] if normed else tensors

    def run(*t: Tensor) -> Any:
        return ligru(*t, *(() if normed else (None,)), 1e-5, direction)

    assert torch.autograd.gradcheck(run, given)


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
@pytest.mark.parametrize("window", [1, 2])
def test_qrnn_gradients_are_derivatives(pooling: str, window: int) -> None:
    tensors = qrnn_arguments("bidirectional", pooling, window)
    assert torch.autograd.gradcheck(lambda *t: qrnn(*t, "bidirectional", pooling), tensors)


def test_operator_registrations_are_complete() -> None:
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    given = (*ligru_arguments("bidirectional", True), 1e-5, "bidirectional")
    torch.library.opcheck(ligru, given, test_utils=checks)
    given = (*qrnn_arguments("reverse", "ifo", 2), "reverse", "ifo")
    torch.library.opcheck(qrnn, given, test_utils=checks)


def test_ligru_trains_with_the_statistics_of_the_batch() -> None:
    torch.manual_seed(0)
    layer = LiGRU(3, 4, direction="bidirectional", momentum=1.0)
    x = torch.randn(6, 5, 3)
    y, _ = layer.train()(x)
    y.square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.abs().sum() > 0)
    u = torch.einsum("tbi,dghi->tbdgh", x, layer.weight)
    torch.testing.assert_close(layer.running_mean, u.mean((0, 1)))
    torch.testing.assert_close(layer.running_var, u.var((0, 1)))


@pytest.mark.parametrize("window", [1, 2])
def test_chunks_with_carried_state_equal_the_whole(window: int) -> None:
    torch.manual_seed(0)
    layer = QRNN(3, 4, window=window, pooling="ifo")
    x = torch.randn(9, 2, 3)
    whole, last, _ = layer(x)
    first, c, before = layer(x[:4])
    second, end, seen = layer(x[4:], c, before)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)
    torch.testing.assert_close(seen[0], x[-1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LiGRU(3, 4, direction="up"), "direction 'up'"),
        (lambda: QRNN(3, 4, direction="up"), "direction 'up'"),
        (lambda: QRNN(3, 4, pooling="oif"), "pooling 'oif'"),
        (lambda: QRNN(3, 4, window=3), "window is 1 or 2"),
        (lambda: LiGRU(3, 4)(torch.zeros(5, 2, 3), torch.zeros(2, 2, 4)), "h0 should be"),
        (lambda: LiGRU(3, 4).eval()(torch.zeros(5, 2, 7)), "weight should be"),
        (lambda: QRNN(3, 4)(torch.zeros(5, 2, 3), torch.zeros(2, 2, 4)), "c0 should be"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_equations_by_hand() -> None:
    x, h0 = torch.tensor([[[2.0]]]), torch.tensor([[[0.7]]])
    weight, recurrent = torch.tensor([[[[0.2]], [[0.5]]]]), torch.tensor([[[[0.1]], [[-0.3]]]])
    norm = torch.tensor([[[[1.5], [0.1], [0.3], [4.0]], [[0.5], [0.2], [-0.1], [1.0]]]])
    z = torch.sigmoid(torch.tensor((0.4 - 0.3) / 2.0 * 1.5 + 0.1 + 0.07))
    a = (1.0 + 0.1) * 0.5 + 0.2 - 0.21
    y, _ = ligru(x, h0, weight, recurrent, None, norm, 0.0, "forward")
    torch.testing.assert_close(y.squeeze(), z * 0.7 + (1 - z) * a)
    w = torch.tensor([[[[[0.1], [0.5]]], [[[0.3], [0.2]]], [[[-0.2], [0.4]]]]])
    made, c, _ = qrnn(x, h0, torch.tensor([[[1.0]]]), w, None, "forward", "fo")
    candidate = torch.tanh(torch.tensor(1.1))
    f, o = torch.sigmoid(torch.tensor(0.7)), torch.sigmoid(torch.tensor(0.6))
    torch.testing.assert_close(c.squeeze(), f * 0.7 + (1 - f) * candidate)
    torch.testing.assert_close(made.squeeze(), o * (f * 0.7 + (1 - f) * candidate))
