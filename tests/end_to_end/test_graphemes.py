"""A pre-trained grapheme-to-phoneme network (GRU encoder, GRU decoder) as torch modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float

ALPHABET = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
START, STOP = 2, 3
"""Phonemes that begin and end a word."""

Arrays = dict[str, np.ndarray[Any, Any]]


def checkpoint() -> Arrays:
    """The weights; arrays only, the package is not imported."""
    found = importlib.util.find_spec("g2p_en")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package g2p_en is not installed (tests/pretrained.txt)")
    path = Path(found.submodule_search_locations[0]) / "checkpoint20.npz"
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


class Encoder(nn.Module):
    """Letters [T, B] to the last state [1, B, 256]."""

    def __init__(self, w: Arrays) -> None:
        super().__init__()
        self.table = nn.Embedding(29, 256, _weight=torch.from_numpy(w["enc_emb"]))
        self.gru = nn.GRU(256, 256)
        fill(self.gru, w, "enc", "_l0")

    def forward(self, letters: Tensor) -> Tensor:
        h: Tensor = self.gru(self.table(letters))[1]
        return h


class Decoder(nn.Module):
    """One phoneme [B] and the state [B, 256] to the next scores and state."""

    def __init__(self, w: Arrays) -> None:
        super().__init__()
        self.table = nn.Embedding(74, 256, _weight=torch.from_numpy(w["dec_emb"]))
        self.cell = nn.GRUCell(256, 256)
        fill(self.cell, w, "dec", "")
        self.out = nn.Linear(256, 74)
        with torch.no_grad():
            self.out.weight.copy_(torch.from_numpy(w["fc_w"]))
            self.out.bias.copy_(torch.from_numpy(w["fc_b"]))

    def forward(self, phoneme: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.cell(self.table(phoneme), h)
        return self.out(h), h


def fill(module: nn.Module, w: Arrays, part: str, suffix: str) -> None:
    with torch.no_grad():
        for ours, theirs in (("weight", "w"), ("bias", "b")):
            for side in ("ih", "hh"):
                target = getattr(module, f"{ours}_{side}{suffix}")
                target.copy_(torch.from_numpy(w[f"{part}_{theirs}_{side}"]))


def cell(w: Arrays, part: str, x: np.ndarray[Any, Any], h: np.ndarray[Any, Any]) -> Any:
    """The package's GRU cell, as its documentation of the equations has it."""
    given = x @ w[f"{part}_w_ih"].T + w[f"{part}_b_ih"]
    fed = h @ w[f"{part}_w_hh"].T + w[f"{part}_b_hh"]
    r, z = np.split(1 / (1 + np.exp(-(given + fed)[:, :512])), 2, axis=1)
    n = np.tanh(given[:, 512:] + r * fed[:, 512:])
    return (1 - z) * n + z * h


@pytest.mark.parametrize("word", ["hello", "recurrent", "a", "quantization"])
def test_words_become_the_same_phonemes(word: str) -> None:
    w = checkpoint()
    encoder = mohaq.load(Encoder(w), (torch.zeros(5, 2, dtype=torch.int64),))
    decoder = mohaq.load(Decoder(w), (torch.zeros(2, dtype=torch.int64), torch.zeros(2, 256)))
    letters = np.array([[ALPHABET.index(c)] for c in word] + [[ALPHABET.index("</s>")]])
    (state,) = run_float(encoder, [letters])
    expected = np.zeros((1, 256), dtype=np.float32)
    for letter in letters[:, 0]:
        expected = cell(w, "enc", w["enc_emb"][[letter]], expected)
    np.testing.assert_allclose(state[0], expected, rtol=1e-5, atol=2e-6)
    h, theirs = state[0], expected
    phoneme, said = START, []
    for _ in range(20):
        scores, h = run_float(decoder, [np.array([phoneme]), h])
        theirs = cell(w, "dec", w["dec_emb"][[phoneme]], theirs)
        wanted = theirs @ w["fc_w"].T + w["fc_b"]
        np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-4)
        phoneme = int(scores.argmax())
        assert phoneme == int(wanted.argmax())
        if phoneme == STOP:
            break
        said.append(phoneme)
    assert said
    assert phoneme == STOP
