"""The LSTM and GRU speech networks: padding changes nothing, and they train and are refused alike."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import mohaq
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.tools.speech.gated import GatedOptions, SpeechGated
from mohaq.tools.speech.networks import build_network

CELLS = ("lstm", "gru")


def tiny(cell: str, seed: int = 0) -> SpeechGated:
    torch.manual_seed(seed)
    options = GatedOptions(cell, 4, inputs=5, projection=3, classes=3)
    return SpeechGated(options).eval()


@given(
    cell=st.sampled_from(CELLS),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
@settings(max_examples=20, deadline=None)
def test_padding_changes_nothing(cell: str, lengths: list[int], seed: int) -> None:
    model = tiny(cell, seed)
    x = 5.0 * torch.randn(max(lengths), len(lengths), 5)  # padding too is not zero
    with torch.no_grad():
        together = model(x, torch.tensor(lengths))
        for column, length in enumerate(lengths):
            alone = model(x[:length, column : column + 1])[:, 0]
            torch.testing.assert_close(together[:length, column], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_packed_sequences(cell: str) -> None:
    lengths = torch.tensor([3, 7, 1])
    x = torch.randn(7, 3, 5)

    def packed(layer: torch.nn.Module, y: torch.Tensor) -> torch.Tensor:
        found = layer(pack_padded_sequence(y, lengths, enforce_sorted=False))[0]
        return pad_packed_sequence(found, total_length=7)[0]

    real = (torch.arange(7)[:, None] < lengths)[:, :, None]
    one, other = tiny(cell), tiny(cell)
    (one(x, lengths) * real).square().sum().backward()
    y = other.fc(packed(other.l1, other.pr1(packed(other.l0, x))))
    (y * real).square().sum().backward()
    for (name, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert a.grad is not None, name
        assert float(a.grad.abs().max()) > 0, name
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_import_gives_one_operation_a_layer_and_the_same_outputs(cell: str) -> None:
    model = tiny(cell)
    program = mohaq.load(model, (torch.zeros(7, 2, 5),))
    assert [(op.label, op.name) for op in program.layers()] == [
        ("l0", f"nn.{cell}"),
        ("pr1", "nn.linear"),
        ("l1", f"nn.{cell}"),
        ("fc", "nn.linear"),
    ]
    x = torch.randn(11, 3, 5)
    found = run_float(program, [x.numpy()])[0]
    torch.testing.assert_close(torch.from_numpy(found), model(x).detach(), rtol=1e-5, atol=1e-5)


def test_networks_have_similar_sizes_and_forget_gates_start_open() -> None:
    sizes = {n: sum(p.numel() for p in build_network(n).parameters()) for n in ("default", *CELLS)}
    assert sizes == {"default": 230_704, "lstm": 238_896, "gru": 236_816}
    lstm = build_network("lstm")
    assert isinstance(lstm, SpeechGated)
    assert (lstm.l0.bias_ih_l0 + lstm.l0.bias_hh_l0)[96:192].tolist() == [1.0] * 96


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = SpeechGated(GatedOptions("gru", 4, inputs=5, projection=3, classes=3), dropout=0.5)
    x = torch.randn(6, 2, 5)
    model.train()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_unknown_network() -> None:
    with pytest.raises(MohaqError, match="unknown model 'lsmt'") as error:
        build_network("lsmt")
    assert "lstm" in str(error.value)
