"""Modules of the PyPI package `sru`, when it is installed: equal after import."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sru  # compiles its kernels
except Exception as error:  # noqa: BLE001  also a failing compiler
    pytest.skip(f"the package sru cannot be imported: {error}", allow_module_level=True)

SIZES = ((1, 1), (7, 3), (40, 2))


class Wrapped(nn.Module):
    """A layer of the package inside of a model."""

    def __init__(self, layer: Any, width: int, given: bool) -> None:
        super().__init__()
        self.encoder, self.given = layer, given
        self.out = nn.Linear(width, 2)

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, Tensor]:
        y, c = self.encoder(x, states[0] if self.given else None)
        return self.out(y), c


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**16),
    features=st.integers(1, 6),
    hidden=st.integers(1, 4),
    layers=st.integers(1, 3),
    given_state=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "bidirectional": st.booleans(),
            "projection_size": st.integers(0, 3),
            "use_tanh": st.booleans(),
            "layer_norm": st.booleans(),
            "normalize_after": st.booleans(),
            "highway_bias": st.sampled_from((0.0, -2.0)),
            "has_skip_term": st.booleans(),
            "rescale": st.booleans(),
            "v1": st.booleans(),
            "nn_rnn_compatible_return": st.booleans(),
            "proj_input_to_hidden_first": st.booleans(),
        }
    ),
)
def test_every_option_of_the_package(
    seed: int, features: int, hidden: int, layers: int, given_state: bool, options: dict[str, Any]
) -> None:
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package calls some of its options old
        layer = sru.SRU(features, hidden, num_layers=layers, **options)
    width = hidden * (2 if options["bidirectional"] else 1)
    for name, parameter in layer.named_parameters():
        if "bias" in name or "layer_norm" in name:
            nn.init.normal_(parameter)
    module = Wrapped(layer, width, given_state)

    def inputs(steps: int, batch: int) -> tuple[Tensor, ...]:
        x = torch.randn(steps, batch, features)
        return (x, torch.randn(layers, batch, width)) if given_state else (x,)

    program = mohaq.load(module, inputs(5, 4))
    assert module.encoder is layer
    assert [o.label for o in program.layers() if o.name == "nn.sru"] == [
        f"encoder.rnn_lst.{n}" for n in range(layers)
    ]
    for steps, batch in SIZES:
        held = inputs(steps, batch)
        with torch.no_grad():
            theirs = module.eval()(*held)
        ours = run_float(program, [i.numpy() for i in held])
        for a, b in zip(ours, theirs, strict=True):
            scale = max(float(b.abs().max()), 1e-3)
            assert float(np.abs(a - b.numpy()).max()) <= 1e-5 * scale


def test_a_cell_alone() -> None:
    torch.manual_seed(0)
    module = sru.SRUCell(4, 4, rescale=True, highway_bias=-1.0)
    program = mohaq.load(module, (torch.zeros(5, 2, 4),))
    x = torch.randn(9, 3, 4)
    with torch.no_grad():
        theirs = module.eval()(x)
    for a, b in zip(run_float(program, [x.numpy()]), theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-5)


def test_a_mask_is_refused() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = sru.SRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.encoder(x, None, torch.zeros(x.shape[:2]))[0]
            return y

    with pytest.raises(mohaq.MohaqError, match="called with a mask"):
        mohaq.load(Masked(), (torch.zeros(5, 2, 3),))


def test_a_module_of_its_own_is_refused() -> None:
    layer = sru.SRU(3, 4, num_layers=1, custom_m=nn.Linear(3, 16))
    with pytest.raises(mohaq.MohaqError, match=r"rnn_lst\.0.*custom_m|module of its own"):
        mohaq.load(layer, (torch.zeros(5, 2, 3),))
