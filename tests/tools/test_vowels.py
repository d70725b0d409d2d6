"""The second task: shipped data, shipped classifier, training again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import evaluate, get_metric
from mohaq.tools.speech.batches import run_model
from mohaq.tools.tiny.japanese_vowels import (
    load_vowels,
    load_vowels_model,
    load_vowels_record,
    read_ts,
)
from mohaq.tools.tiny.train import VowelOptions, train_vowels


def test_the_splits_are_those_of_the_archive() -> None:
    train, test = load_vowels("train"), load_vowels("test")
    assert (len(train), len(test), train.frames + test.frames) == (270, 370, 9961)
    assert train.features == 12
    assert train.label_kind == "utterance"
    assert np.bincount([int(s) for s in train.labels]).tolist() == [30] * 9
    assert np.bincount([int(s) for s in test.labels]).tolist() == [
        31, 35, 88, 44, 29, 24, 40, 50, 29,
    ]  # fmt: skip
    assert 7 <= min(train.lengths) <= max(test.lengths) <= 29
    with pytest.raises(MohaqError, match="no split 'valid'"):
        load_vowels("valid")


def test_the_shipped_classifier_keeps_its_record() -> None:
    data, record = load_vowels("test"), load_vowels_record()
    error = evaluate(get_metric("accuracy"), run_model(load_vowels_model(), data), data)
    assert 1 - error.value == pytest.approx(record["test_accuracy"], abs=0.003)
    assert 1 - error.value >= 0.95


def test_the_classifier_runs_unpadded() -> None:
    x = torch.from_numpy(load_vowels("test").inputs[0])[:, None]
    assert load_vowels_model()(x).shape == (len(x), 1, 9)


def test_training_again_learns_and_repeats(tmp_path: Path) -> None:
    short = VowelOptions(epochs=8)
    model, record = train_vowels(short, tmp_path)
    again, _ = train_vowels(short)
    assert record["test_accuracy"] > 0.7
    assert (tmp_path / "vowels_weights.safetensors").exists()
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_text_files(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    channels = ":".join(["1.5,2.5"] * 12)
    path.write_text(f"# note\n@data\n{channels}:3\n")
    inputs, speakers = read_ts(path)
    assert inputs[0].shape == (2, 12)
    assert speakers == [2]
    path.write_text("1,2:3\n")
    with pytest.raises(MohaqError, match=r"a\.ts:1: 12 channels"):
        read_ts(path)
    path.write_text("1,x:3\n")
    with pytest.raises(MohaqError, match="bad line"):
        read_ts(path)
