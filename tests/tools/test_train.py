"""Training: it learns, stops, resumes exactly, and refuses what does not fit."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from mohaq.compiler.data import Dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.modules import PRESETS, SpeechOptions, SpeechSRU
from mohaq.tools.speech.augment import Augment
from mohaq.tools.speech.batches import batches, run_model
from mohaq.tools.speech.checkpoint import load_weights, save_weights
from mohaq.tools.speech.gated import GATED, GatedOptions, SpeechGated
from mohaq.tools.speech.progress import corpus_progress, train_progress
from mohaq.tools.speech.recipe import FBANK
from mohaq.tools.speech.train import TrainOptions, fit, train

OPTIONS = TrainOptions(epochs=4, batch=4, rate=0.02, warmup=1, dropout=0.2, plain_epochs=2)
SIZE = SpeechOptions(5, 6, 4, 3)


def task(count: int = 16, features: int = 5, seed: int = 0) -> Any:
    """The label of a frame says which of the first three features was largest one frame ago."""
    rng = np.random.default_rng(seed)
    inputs = [rng.standard_normal((int(rng.integers(5, 20)), features)) for _ in range(count)]
    labels = tuple(np.roll(x[:, :3].argmax(axis=1), 1) for x in inputs)
    return Dataset(tuple(x.astype(np.float32) for x in inputs), labels, label_kind="frame")


def model(seed: int = 3) -> Any:
    torch.manual_seed(seed)
    return SpeechSRU(SIZE, dropout=0.2)


def run(folder: Path, options: TrainOptions = OPTIONS, **kwargs: Any) -> Any:
    network = model()
    state = fit(network, task(), task(8, seed=1), get_metric("fer"), options, folder, **kwargs)
    return network, state


class Stop(Exception):
    pass


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, state = run(tmp_path / "whole")

    def stop(epoch: int, *_: Any) -> Any:
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "cut", report=stop)
    resumed, again = run(tmp_path / "cut")
    assert again.curve == state.curve
    assert again.best == state.best
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_loss_falls_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    network, state = run(tmp_path, replace(OPTIONS, epochs=12, plain_epochs=12))
    assert state.curve[-1]["loss"] < 0.9 * state.curve[0]["loss"]
    assert state.curve[state.best - 1]["validation"] == min(e["validation"] for e in state.curve)
    kept = model(9)
    load_weights(kept, tmp_path / "best.safetensors")
    for a, b in zip(network.parameters(), kept.parameters(), strict=True):
        assert torch.equal(a, b)


def test_early_stop(tmp_path: Path) -> None:
    still = replace(OPTIONS, rate=0.0, epochs=50, patience=3)
    _, state = run(tmp_path, still)
    assert state.epoch == 4  # the first epoch is the best, three more bring nothing


def test_another_recipe_does_not_continue(tmp_path: Path) -> None:
    run(tmp_path, replace(OPTIONS, epochs=1))
    with pytest.raises(MohaqError, match="another recipe"):
        run(tmp_path, replace(OPTIONS, epochs=1, seed=2))


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    run(tmp_path, replace(OPTIONS, epochs=1))
    (found,) = tmp_path.glob("state-*.safetensors")
    found.write_bytes(found.read_bytes()[:100])
    with pytest.raises(MohaqError, match="damaged"):
        run(tmp_path, replace(OPTIONS, epochs=1))


def test_divergence_is_reported(tmp_path: Path) -> None:
    network = model()
    with torch.no_grad():
        network.fc.bias[0] = float("nan")
    with pytest.raises(MohaqError, match="diverged"):
        fit(network, task(), task(), get_metric("fer"), OPTIONS, tmp_path)


def test_batches_hold_each_utterance_once_and_outputs_keep_their_order() -> None:
    data = task(11)
    seen = [members for members, *_ in batches(data, 4, np.random.default_rng(0))]
    assert sorted(np.concatenate(seen).tolist()) == list(range(11))
    network = model().eval()
    for size in (1, 4, 11):
        for x, output in zip(data.inputs, run_model(network, data, size), strict=True):
            alone = network(torch.from_numpy(x)[:, None])[:, 0].detach().numpy()
            np.testing.assert_allclose(output, alone, atol=1e-6)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_weights(model(), tmp_path / "w.safetensors")
    with pytest.raises(MohaqError, match="do not fit"):
        load_weights(SpeechSRU(SpeechOptions(5, 7, 4, 3)), tmp_path / "w.safetensors")
    with pytest.raises(MohaqError, match="no such weights"):
        load_weights(model(), tmp_path / "absent.safetensors")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(PRESETS, "nano", SIZE)
    monkeypatch.setitem(GATED, "nano-gru", GatedOptions("gru", 6, 5, 4, 3))
    folder = tmp_path / "corpus"
    folder.mkdir()
    for seed, name in enumerate(("train", "validation", "test")):
        save_dataset(task(8, seed=seed), folder / f"{name}.safetensors", int8=True)
    return folder


def test_train_writes_weights_and_record(corpus: Path, tmp_path: Path) -> None:
    steps = []
    options = replace(OPTIONS, model="nano", epochs=2)
    result = train(corpus, tmp_path / "out", options, step=lambda *s: steps.append(s))
    record = json.loads((tmp_path / "out" / "training_record.json").read_text())
    assert record == json.loads(json.dumps(result.record))
    assert record["parameters"] == sum(p.numel() for p in result.model.parameters())
    assert 0 <= record["test"]["fer"] <= 1
    assert len(record["curve"]) == record["epochs"] == 2
    assert steps[-1] == (2, 1.0)
    stored = SpeechSRU(SIZE)
    load_weights(stored, result.weights)
    x = torch.randn(4, 1, 5)
    assert torch.equal(stored.eval()(x), result.model(x))


def test_a_gated_network_trains_by_the_same_recipe(corpus: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, model="nano-gru", epochs=16, plain_epochs=16, patience=16)
    result = train(corpus, tmp_path / "out", options)
    assert isinstance(result.model, SpeechGated)
    assert result.record["recipe"]["model"] == "nano-gru"
    assert result.record["curve"][-1]["loss"] < 0.9 * result.record["curve"][0]["loss"]
    stored = SpeechGated("nano-gru")
    load_weights(stored, result.weights)
    x = torch.randn(4, 1, 5)
    assert torch.equal(stored.eval()(x), result.model(x))


def test_train_refuses_what_does_not_fit(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="unknown model"):
        train(corpus, tmp_path / "out", replace(OPTIONS, model="nanoo"))
    for name in ("default", "lstm"):
        with pytest.raises(MohaqError, match=f"does not fit model '{name}'"):
            train(corpus, tmp_path / "out", replace(OPTIONS, model=name))
    (corpus / "test.safetensors").unlink()
    with pytest.raises(MohaqError, match="no such data set"):
        train(corpus, tmp_path / "out", replace(OPTIONS, model="nano"))


def test_progress_shows_epochs_and_splits() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    with train_progress(4, console) as (report, step):
        step(1, 0.5)
        report(1, 4, {"loss": 1.5, "validation": 0.25, "seconds": 3.0})
    with corpus_progress(console) as show:
        show("test", 1, 2)
        show("test", 2, 2)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "epoch   1  loss 1.5000  validation error 25.00 %" in text
    assert "test" in text


def test_bent_features_keep_their_shape_and_a_neutral_bend_keeps_them() -> None:
    x = np.random.default_rng(0).standard_normal((9, 23)).astype(np.float32)
    neutral = Augment(warp=0.0, scale=0.0, mask=0, noise=0.0)
    same = neutral.apply(x, np.random.default_rng(1), FBANK)
    np.testing.assert_allclose(same, x, atol=1e-5)
    bent = Augment().apply(x, np.random.default_rng(1), FBANK)
    assert bent.shape == x.shape
    assert not np.allclose(bent, x)
    up = Augment(warp=0.16, scale=0.0, mask=0, noise=0.0)
    ramp = np.tile(np.arange(23, dtype=np.float32), (2, 1))
    moved = np.stack([up.apply(ramp, np.random.default_rng(s), FBANK)[0] for s in range(20)])
    assert (np.diff(moved, axis=1) >= -1e-4).all()  # bands keep their order
    assert 0.5 < np.abs(moved - ramp[0]).max() < 2.0
