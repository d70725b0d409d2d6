"""TIMIT: SPHERE and RIFF files, labels, splits and scoring, on a tiny tree made here."""

from __future__ import annotations

import wave
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from timit_tree import SPEAKERS, make_tree, phn, sphere

from mohaq.compiler.data import load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.metrics.timit import FOLD, PHONES, phone_class
from mohaq.tools.speech.sphere import read_audio
from mohaq.tools.speech.timit import (
    CORE_TEST,
    DEVELOPMENT,
    FBANK,
    build_timit,
    find_utterances,
    frame_labels,
    read_labels,
)

LABELS_61 = [
    "aa",
    "ae",
    "ah",
    "ao",
    "aw",
    "ax",
    "ax-h",
    "axr",
    "ay",
    "b",
    "bcl",
    "ch",
    "d",
    "dcl",
    "dh",
    "dx",
    "eh",
    "el",
    "em",
    "en",
    "eng",
    "epi",
    "er",
    "ey",
    "f",
    "g",
    "gcl",
    "h#",
    "hh",
    "hv",
    "ih",
    "ix",
    "iy",
    "jh",
    "k",
    "kcl",
    "l",
    "m",
    "n",
    "ng",
    "nx",
    "ow",
    "oy",
    "p",
    "pau",
    "pcl",
    "q",
    "r",
    "s",
    "sh",
    "t",
    "tcl",
    "th",
    "uh",
    "uw",
    "ux",
    "v",
    "w",
    "y",
    "z",
    "zh",
]


def index(*names: str) -> list[int]:
    return [PHONES.index(n) for n in names]


def test_61_labels_are_48_classes_and_39_phones() -> None:
    assert len(LABELS_61) == 61
    assert len(PHONES) == len(set(PHONES)) == 48
    assert {phone_class(p) for p in LABELS_61} == set(range(48))
    assert len(set(FOLD.tolist())) == 39
    assert phone_class("xx") is None
    assert (len(CORE_TEST), len(DEVELOPMENT)) == (24, 50)
    assert not CORE_TEST & DEVELOPMENT
    # Two men and a woman of each of the eight dialect regions.
    assert sum(s.startswith("f") for s in CORE_TEST) == 8


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50), st.booleans())
def test_sphere_in_both_byte_orders(samples: list[int], big: bool) -> None:
    data = sphere(np.array(samples), order="10" if big else "01")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        path.write_bytes(data)
        found, rate = read_audio(path)
    assert rate == 16000
    assert found.tolist() == samples


def test_sphere_and_riff_hold_the_same(tmp_path: Path) -> None:
    samples = np.arange(-40, 40)
    (tmp_path / "a.wav").write_bytes(sphere(samples))
    with wave.open(str(tmp_path / "b.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 80, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    for name in ("a.wav", "b.wav"):
        found, rate = read_audio(tmp_path / name)
        assert (found.tolist(), rate) == (samples.tolist(), 16000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (sphere(np.arange(9), coding="pcm,embedded-shorten-v2.00"), "pcm,embedded-shorten-v2.00"),
        (sphere(np.arange(9), coding="ulaw"), "'ulaw' cannot be read"),
        (sphere(np.arange(9))[:-1], "truncated"),
        (sphere(np.arange(9))[:600], "header is damaged"),
        (sphere(np.arange(9)).replace(b"end_head", b"end_hxxx"), "header is damaged"),
        (sphere(np.arange(9)).replace(b"sample_rate", b"sample_xxxx"), "header is damaged"),
        (sphere(np.arange(9)).replace(b"channel_count -i 1", b"channel_count -i 2"), "2 channels"),
        (b"NIST_1A\nno number here", "header is damaged"),
        (b"RIFF\0\0", "cannot read this wav file"),
        (b"ID3 something", "neither NIST SPHERE nor RIFF"),
        (b"", "neither NIST SPHERE nor RIFF"),
    ],
)
def test_bad_recordings_have_one_message(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.wav").write_bytes(data)
    with pytest.raises(MohaqError, match=message):
        read_audio(tmp_path / "x.wav")


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("riff", [False, True])
def test_the_splits(tmp_path: Path, upper: bool, riff: bool) -> None:
    make_tree(tmp_path / "tree", upper=upper, riff=riff, nested=upper)
    found = find_utterances(tmp_path / "tree")
    speakers = {split: {u.speaker for u in found if u.split == split} for split in SPEAKERS}
    assert speakers == {split: set(names) for split, names in SPEAKERS.items()}
    assert not any(u.name.endswith(("sa1", "sa2")) for u in found)
    sets = build_timit(tmp_path / "tree", tmp_path / "out")
    for name, data in sets.items():
        stored = load_dataset(tmp_path / "out" / f"{name}.safetensors")
        assert stored.content_hash() == data.content_hash()
        assert data.features == 23
        assert all(len(x) == len(y) for x, y in zip(data.inputs, data.labels, strict=True))
        assert all(abs(x.mean()) < 1e-4 for x in data.inputs)
    assert {int(v) for y in sets["train"].labels for v in y} >= set(index("sil", "sh", "iy"))


def test_a_frame_is_labelled_by_its_centre() -> None:
    """Frames are 160 samples apart, centres at 80, 240, 400, ...; outside is silence."""
    assert FBANK.shift == 160
    rows = [(0, 240, index("hh")[0]), (240, 401, index("iy")[0])]
    assert frame_labels(rows, 5).tolist() == index("hh", "iy", "iy", "sil", "sil")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 100 xx\n", "unknown phone 'xx'"),
        ("0 100\n", "START END PHONE"),
        ("100 50 aa\n", "backwards"),
        ("0 100 aa\n50 150 iy\n", "backwards"),
        ("", "no labels"),
    ],
)
def test_bad_labels_name_their_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.phn").write_text(text)
    with pytest.raises(MohaqError, match=message):
        read_labels(tmp_path / "x.phn")


def test_what_is_no_timit(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no such folder"):
        find_utterances(tmp_path / "nowhere")
    with pytest.raises(MohaqError, match="no folder 'train'"):
        find_utterances(tmp_path)
    make_tree(tmp_path / "tree")
    next((tmp_path / "tree").rglob("*.phn")).unlink()
    with pytest.raises(MohaqError, match="has no labels"):
        find_utterances(tmp_path / "tree")
    make_tree(tmp_path / "half")
    for path in sorted((tmp_path / "half" / "test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(MohaqError, match="no utterance for the validation split"):
        find_utterances(tmp_path / "half")


def scores(classes: list[int], count: int = 48) -> npt.NDArray[Any]:
    made = np.full((len(classes), count), -9.0)
    made[np.arange(len(classes)), classes] = 9.0
    return made


def test_scoring_folds_to_39() -> None:
    said = np.array(index("sil", "ix", "ix", "zh", "cl", "aa"))
    heard = scores(index("cl", "ih", "ih", "sh", "sil", "ae"))
    assert get_metric("fer").score(heard, said) == (6.0, 6.0)
    assert get_metric("timit-fer").score(heard, said) == (1.0, 6.0)
    assert get_metric("timit-per").score(heard, said) == (1.0, 3.0)
    wide = scores([47, 50], count=60)
    assert get_metric("timit-fer").score(wide, np.array([47, 47])) == (1.0, 2.0)
    with pytest.raises(ValueError, match="classes"):
        get_metric("timit-fer").score(wide, np.array([48, 0]))


def test_silence_and_the_glottal_stop_count_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.phn").write_text(phn([("h#", 400), ("q", 160), ("iy", 480), ("h#", 320)]))
    labels = frame_labels(read_labels(tmp_path / "x.phn"), 9)
    assert set(labels.tolist()) == set(index("sil", "iy"))
    assert get_metric("timit-per").score(scores(labels.tolist()), labels) == (0.0, 1.0)
