"""What is shipped: frozen splits and trained weights that keep their promise."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import evaluate, get_metric
from mohaq.compiler.metrics.per import PhoneErrorRate
from mohaq.tools.speech.batches import run_model
from mohaq.tools.speech.default_task import (
    FROZEN,
    TRAINED,
    load_default_model,
    load_default_split,
    load_training_record,
)
from mohaq.tools.speech.phones import PHONES

DATA = files("mohaq.tools") / "speech" / "data"


@pytest.mark.parametrize(
    ("name", "count"), [("calibration", 60), ("validation", 100), ("test", 300)]
)
def test_splits(name: str, count: int) -> None:
    data = load_default_split(name)
    assert len(data) >= count
    assert data.features == 23
    assert data.label_kind == "frame"
    assert data.meta["classes"] == list(PHONES)
    assert data.meta["split"] == name
    labels = np.concatenate(data.labels)
    assert labels.min() == 0
    assert labels.max() == 47
    assert np.abs(np.concatenate(data.inputs)).max() < 8
    assert all(abs(float(x.mean())) < 0.02 for x in data.inputs)


def test_splits_share_no_utterance() -> None:
    texts = [
        {(t, v) for t, v in zip(d.meta["texts"], d.meta["voices"], strict=True)}
        for d in map(load_default_split, FROZEN)
    ]
    assert not texts[0] & texts[1]
    assert not texts[1] & texts[2]
    assert not texts[0] & texts[2]


def test_everything_shipped_is_small() -> None:
    assert sum(len(f.read_bytes()) for f in DATA.iterdir()) <= 6_000_000


def test_unknown_split() -> None:
    with pytest.raises(MohaqError, match="no split 'tests'"):
        load_default_split("tests")


@pytest.mark.parametrize("network", ["weights", "LSTM", ""])
def test_unknown_network(network: str) -> None:
    with pytest.raises(MohaqError, match=f"no trained network '{network}'"):
        load_default_model(network)
    with pytest.raises(MohaqError, match=f"no trained network '{network}'"):
        load_training_record(network)


SIZES = {"default": 230_704, "lstm": 238_896, "gru": 236_816}


@pytest.mark.parametrize("network", TRAINED)
def test_the_model_reaches_the_errors_of_its_record(network: str) -> None:
    model, record = load_default_model(network), load_training_record(network)
    data = load_default_split("test")
    assert not any(p.requires_grad for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == record["parameters"] == SIZES[network]
    outputs = run_model(model, data)
    per = evaluate(PhoneErrorRate(penalty=record["penalty"]), outputs, data)
    fer = evaluate(get_metric("fer"), outputs, data)
    assert per.value == pytest.approx(record["test"]["per"], abs=0.002)
    assert fer.value == pytest.approx(record["test"]["fer"], abs=0.001)
    assert per.value <= 0.155
    assert record["recipe"]["model"] == network
    if network == "default":
        assert PhoneErrorRate().penalty == record["penalty"]


@pytest.mark.parametrize("network", TRAINED)
def test_the_penalty_and_the_epoch_were_chosen_on_validation(network: str) -> None:
    record = load_training_record(network)
    tried = {float(k): v for k, v in record["validation_per_by_penalty"].items()}
    assert min(tried, key=lambda p: tried[p]) == record["penalty"]
    best = min(record["curve"], key=lambda e: e["validation"])
    assert best["epoch"] == record["best_epoch"]
