"""The corpus: disjoint voices, exact repetition, agreement with the frozen files."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mohaq.compiler.data import load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.speech import corpus, espeak
from mohaq.tools.speech.channel import Channel, draw_channel, record
from mohaq.tools.speech.corpus import SplitSizes, build_corpus, make_split
from mohaq.tools.speech.default_task import load_default_split
from mohaq.tools.speech.phones import PHONES, phone_class
from mohaq.tools.speech.recipe import SPLITS, VOICES
from mohaq.tools.speech.words import PATTERNS, WORDS, sentence

needs_synthesizer = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason="espeakng-loader (extra `speech`) has no wheel here",
)


def test_voices_of_the_splits_are_disjoint() -> None:
    for a, b in itertools.combinations(SPLITS, 2):
        assert not set(VOICES[a]) & set(VOICES[b])


@pytest.mark.parametrize("split", ["calibration", "validation", "test"])
def test_frozen_voices_belong_to_their_split(split: str) -> None:
    data = load_default_split(split)
    used = {voice.split("+")[1] for voice in data.meta["voices"]}
    assert used <= set(VOICES[split])
    assert len(used) >= 5


def test_phone_classes() -> None:
    assert len(PHONES) == len(set(PHONES)) == 48
    assert [phone_class(p) for p in PHONES[1:]] == list(range(1, 48))
    assert phone_class("_:") == phone_class("") == 0
    assert phone_class("'aI2") == phone_class(",aI") == PHONES.index("aI")
    with pytest.raises(MohaqError, match="unknown phone 'Q!'"):
        phone_class("Q!")


def test_sentences_follow_the_generator_and_use_every_list() -> None:
    first = [sentence(np.random.default_rng([1, i])) for i in range(50)]
    assert first == [sentence(np.random.default_rng([1, i])) for i in range(50)]
    assert len(set(first)) > 45
    assert not any("{" in text for text in first)
    for pattern in PATTERNS:
        assert pattern.format_map(WORDS)


def test_channel_reaches_its_noise_level_and_colour() -> None:
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(30_000).astype(np.float32)
    clean = Channel(0.0, 0.1, 60.0, 80.0, 0.0)
    noisy = Channel(0.0, 0.1, 60.0, 10.0, 2.0)
    base = record(speech, 22050, clean, np.random.default_rng(1))
    added = record(speech, 22050, noisy, np.random.default_rng(1)) - base
    ratio = 10 * np.log10(np.mean(base**2) / np.mean(added**2))
    assert ratio == pytest.approx(10.0, abs=0.2)
    power = np.abs(np.fft.rfft(added)) ** 2
    assert power[:1000].sum() > 10 * power[5000:].sum()
    assert draw_channel(np.random.default_rng(3)) == draw_channel(np.random.default_rng(3))


@needs_synthesizer
def test_frozen_utterances_can_be_made_again() -> None:
    frozen = load_default_split("validation")
    made = make_split("validation", 6, frozen.meta["seed"], workers=2)
    # The other libraries and processors that this may run on can round differently.
    for i in range(6):
        np.testing.assert_array_equal(made.labels[i], frozen.labels[i])
        difference = np.abs(made.inputs[i] - frozen.inputs[i])
        assert difference.max() < 0.05
    assert made.meta["texts"] == frozen.meta["texts"][:6]


@needs_synthesizer
def test_build_writes_all_splits_whatever_the_number_of_workers(tmp_path: Path) -> None:
    sizes = SplitSizes(train=5, calibration=2, validation=2, test=3)
    calls = []
    first = build_corpus(tmp_path / "a", sizes, 7, 1, lambda *done: calls.append(done))
    second = build_corpus(tmp_path / "b", sizes, 7, 2)
    assert first.hashes == second.hashes
    assert first.utterances == {"train": 5, "calibration": 2, "validation": 2, "test": 3}
    assert calls[-1] == ("test", 3, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    data = load_dataset(tmp_path / "a" / "train.safetensors")
    assert data.content_hash() == first.hashes["train"]
    assert data.frames == first.frames["train"]
    assert json.loads((tmp_path / "a" / "corpus.json").read_text())["seed"] == 7
    with pytest.raises(MohaqError, match="exists already"):
        build_corpus(tmp_path / "a", sizes, 7, 1)


@needs_synthesizer
def test_an_unknown_voice_is_not_silently_another() -> None:
    with pytest.raises(MohaqError, match="unknown voice 'en-gb"):
        espeak.synthesise("hello", "en-gb-nowhere+klatt", espeak.Prosody(), 1)


@needs_synthesizer
def test_an_utterance_does_not_depend_on_those_before() -> None:
    def speak(text: str) -> Any:
        return espeak.synthesise(text, "en-us+f1", espeak.Prosody(), 5)

    alone = speak("seven lamps")
    speak("something else in between")
    again = speak("seven lamps")
    np.testing.assert_array_equal(alone.samples, again.samples)
    assert alone.phones == again.phones
    assert (np.diff(alone.starts) >= 0).all()
    assert len(alone.samples) > 10_000


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise MohaqError("the synthesizer is out")

    monkeypatch.setattr(corpus, "make_split", fail)
    with pytest.raises(MohaqError, match="is out"):
        build_corpus(tmp_path / "c", "tiny")
    assert list(tmp_path.iterdir()) == []


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="unknown preset 'defaul'"):
        build_corpus(tmp_path / "c", "defaul")
    with pytest.raises(MohaqError, match="unknown split"):
        make_split("tests", 1, 1, 1)
    with pytest.raises(MohaqError, match="at least one"):
        make_split("test", 0, 1, 1)
