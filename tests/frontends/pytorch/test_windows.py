"""Convolutions and pooling over one and two extents against torch, and their ONNX forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float

SIZES = st.integers(1, 3)


def check(module: nn.Module, *shapes: tuple[int, ...]) -> None:
    """The program, its torch.fx graph and its ONNX model equal the module at every shape."""
    program = mohaq.load(module, (torch.randn(shapes[0]),))
    graph = program.to_fx()
    session = onnxruntime.InferenceSession(program.to_onnx().SerializeToString())
    name = session.get_inputs()[0].name
    for shape in shapes:
        x = torch.randn(shape)
        with torch.no_grad():
            wanted = module.eval()(x).numpy()
            others = [graph(x).numpy(), *session.run(None, {name: x.numpy()})]
        for found in (*run_float(program, [x.numpy()]), *others):
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_convolutions_over_two_extents(data: Any) -> None:
    groups = data.draw(st.sampled_from([1, 2]))
    pair = st.tuples(SIZES, SIZES)
    kernel, stride, dilation = (data.draw(pair) for _ in range(3))
    padding: Any = data.draw(st.sampled_from(["valid", (0, 1), (2, 1), 1]))
    if data.draw(st.booleans()) and stride == (1, 1):
        padding = "same"
    torch.manual_seed(data.draw(st.integers(0, 99)))
    facts = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    conv = nn.Conv2d(2, 4, kernel, bias=data.draw(st.booleans()), **facts)
    check(conv, (1, 2, 12, 13), (3, 2, 9, 17))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_pooling(data: Any) -> None:
    flat = data.draw(st.booleans())
    kernel, stride = data.draw(st.tuples(SIZES, SIZES)), data.draw(st.tuples(SIZES, SIZES))
    padding = tuple(k // 2 if data.draw(st.booleans()) else 0 for k in kernel)
    maximum, include = data.draw(st.booleans()), data.draw(st.booleans())
    facts: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "padding": padding}
    if flat:
        facts = {key: value[0] for key, value in facts.items()}
    kind = (nn.MaxPool1d if flat else nn.MaxPool2d) if maximum else (
        nn.AvgPool1d if flat else nn.AvgPool2d
    )  # fmt: skip
    if not maximum:
        facts["count_include_pad"] = include
    extents = (11,) if flat else (11, 14)
    check(kind(**facts), (1, 2, *extents), (3, 2, *(e + 4 for e in extents)))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.MaxPool2d(2, ceil_mode=True), "cut short"),
        (nn.MaxPool2d(2, dilation=2), "dilated"),
        (nn.AvgPool2d(2, divisor_override=3), "divisor"),
        (nn.AdaptiveAvgPool2d((3, 1)), "more than one place"),
    ],
)
def test_what_is_refused_says_why(layer: nn.Module, words: str) -> None:
    with pytest.raises(mohaq.MohaqError, match=words):
        mohaq.load(layer, (torch.randn(1, 2, 20, 22),))


def test_too_small_an_input_is_one_clear_error() -> None:
    program = mohaq.load(nn.Conv2d(1, 1, 5), (torch.randn(1, 1, 9, 9),))
    with pytest.raises(mohaq.MohaqError, match="smaller than the kernel"):
        run_float(program, [np.zeros((1, 1, 4, 9), np.float32)])


class Picture(nn.Module):
    """Text in a picture: convolutions down to one row, recurrence along it."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(True), nn.MaxPool2d(2, 2),
            nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(True),
            nn.MaxPool2d((2, 2), (2, 1), (0, 1)),
            nn.Conv2d(8, 8, (4, 2)), nn.AdaptiveAvgPool2d((1, None)),
        )  # fmt: skip
        self.rnn = nn.LSTM(8, 6, num_layers=2, bidirectional=True)
        self.out = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(self.front(x).squeeze(2).permute(2, 0, 1))
        steps, batch, size = y.size()
        made: Tensor = self.out(y.view(steps * batch, size)).view(steps, batch, -1)
        return made


def test_a_network_that_reads_pictures() -> None:
    torch.manual_seed(0)
    check(Picture(), (2, 3, 16, 40), (1, 3, 16, 64), (3, 3, 16, 19))
