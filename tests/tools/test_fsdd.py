"""Digit strings from a folder of recordings, on a small tree of generated ones."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mohaq.compiler.data import load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics.decode import collapse
from mohaq.tools.speech.fsdd import (
    CLASSES,
    FsddOptions,
    assign_splits,
    build_fsdd,
    load_fsdd,
    read_recordings,
    read_wav,
)

SPEAKERS = ("ann", "bob", "cid")
SMALL = FsddOptions(train=12, calibration=3, validation=3, test=5)


def write_wav(path: Path, samples: Any, rate: int = 8000, channels: int = 1, width: int = 2) -> Any:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.astype({1: np.uint8, 2: "<i2"}[width]).tobytes())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("fsdd")
    (folder / "recordings").mkdir()
    rng = np.random.default_rng(0)
    for speaker in SPEAKERS:
        for digit in range(10):
            for number in range(4):
                tone = np.sin(np.arange(int(rng.integers(1500, 3000))) * (0.1 + 0.05 * digit))
                write_wav(folder / "recordings" / f"{digit}_{speaker}_{number}.wav", 3000 * tone)
    (folder / "recordings" / "readme.txt").write_text("not a recording")
    return folder


def test_strings_are_what_their_names_say(tree: Path) -> None:
    sets = load_fsdd(tree, SMALL)
    assert {name: len(data) for name, data in sets.items()} == {
        "train": 12, "calibration": 3, "validation": 3, "test": 5,
    }  # fmt: skip
    for data in sets.values():
        assert data.features == 23
        for name, label in zip(data.names, data.labels, strict=True):
            spoken = [int(digit) + 1 for digit in name.split("-")[-1]]
            assert collapse(label, 0).tolist() == spoken
            assert 3 <= len(spoken) <= 7
            assert label[0] == label[-1] == 0
    assert CLASSES[8] == "seven"


def test_one_speaker_is_held_out_and_no_recording_is_shared(tree: Path) -> None:
    splits = assign_splits(read_recordings(tree), "bob")
    assert {r.speaker for r in splits["test"]} == {"bob"}
    assert "bob" not in {r.speaker for n in ("train", "validation") for r in splits[n]}
    keys = [(r.digit, r.speaker, r.number) for part in splits.values() for r in part]
    assert len(keys) == len(set(keys)) == 120
    assert load_fsdd(tree, SMALL)["test"].meta["speakers"] == ["cid"]


def test_same_seed_same_strings(tree: Path, tmp_path: Path) -> None:
    first = build_fsdd(tree, tmp_path / "out", SMALL)
    again = load_fsdd(tree, SMALL)
    other = load_fsdd(tree, FsddOptions(train=12, calibration=3, validation=3, test=5, seed=2))
    for name, data in first.items():
        assert data.content_hash() == again[name].content_hash()
        assert data.content_hash() != other[name].content_hash()
        stored = load_dataset(tmp_path / "out" / f"{name}.safetensors")
        np.testing.assert_array_equal(stored.labels[0], data.labels[0])
        assert stored.names == data.names


def test_folders_without_recordings(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no such folder"):
        read_recordings(tmp_path / "absent")
    (tmp_path / "song.wav").write_bytes(b"")
    with pytest.raises(MohaqError, match=r"no recordings[\s\S]*7_jackson_32\.wav"):
        read_recordings(tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 44, 500])
def test_truncated_wavs_are_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "3_ann_0.wav"
    write_wav(path, np.ones(1000))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MohaqError, match=r"3_ann_0\.wav: .*(truncated|cannot read)"):
        read_recordings(tmp_path)


@pytest.mark.parametrize("form", [{"rate": 16000}, {"channels": 2}, {"width": 1}])
def test_other_formats_are_refused(tmp_path: Path, form: dict[str, int]) -> None:
    write_wav(tmp_path / "a.wav", np.ones(1000), **form)
    with pytest.raises(MohaqError, match="8000 Hz, mono, 16 bit"):
        read_wav(tmp_path / "a.wav")


def test_not_audio_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("hello, this is text and no audio")
    with pytest.raises(MohaqError, match="cannot read this wav file"):
        read_wav(tmp_path / "a.wav")


def test_speakers_that_are_missing_or_too_few(tree: Path) -> None:
    recordings = read_recordings(tree)
    with pytest.raises(MohaqError, match="no recordings of speaker 'bobb'"):
        assign_splits(recordings, "bobb")
    with pytest.raises(MohaqError, match="at least two"):
        assign_splits([r for r in recordings if r.speaker == "ann"])
    with pytest.raises(MohaqError, match="at least 3"):
        assign_splits([r for r in recordings if r.number < 2])
