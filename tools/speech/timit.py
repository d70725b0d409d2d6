"""TIMIT (LDC93S1) from a folder of the user's, with the splits and phones that the field uses.

Training: all speakers of `train` without the two dialect sentences (sa1, sa2), 3,696 utterances.
Validation: 50 speakers of `test` (400 utterances). Test: the core test set of 24 others (192).
Nothing of TIMIT is part of this project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mohaq.compiler.data import Dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.files import dump_json, replacing_folder, write_text
from mohaq.compiler.metrics.timit import PHONES, phone_class
from mohaq.tools.speech.fbank import FbankOptions, fbank, frame_centres
from mohaq.tools.speech.recipe import FEATURE_SCALE
from mohaq.tools.speech.sphere import read_audio

RATE = 16000
FBANK = FbankOptions(rate=RATE)

CORE_TEST = frozenset(
    [
        "mdab0",
        "mwbt0",
        "felc0",
        "mtas1",
        "mwew0",
        "fpas0",
        "mjmp0",
        "mlnt0",
        "fpkt0",
        "mlll0",
        "mtls0",
        "fjlm0",
        "mbpm0",
        "mklt0",
        "fnlp0",
        "mcmj0",
        "mjdh0",
        "fmgd0",
        "mgrt0",
        "mnjm0",
        "fdhc0",
        "mjln0",
        "mpam0",
        "fmld0",
    ]
)
"""Two men and a woman of each dialect region (TIMIT's documentation)."""

DEVELOPMENT = frozenset(
    [
        "faks0",
        "fdac1",
        "fjem0",
        "mgwt0",
        "mjar0",
        "mmdb1",
        "mmdm2",
        "mpdf0",
        "fcmh0",
        "fkms0",
        "mbdg0",
        "mbwm0",
        "mcsh0",
        "fadg0",
        "fdms0",
        "fedw0",
        "mgjf0",
        "mglb0",
        "mrtk0",
        "mtaa0",
        "mtdt0",
        "mthc0",
        "mwjg0",
        "fnmr0",
        "frew0",
        "fsem0",
        "mbns0",
        "mmjr0",
        "mdls0",
        "mdlf0",
        "mdvc0",
        "mers0",
        "fmah0",
        "fdrw0",
        "mrcs0",
        "mrjm4",
        "fcal1",
        "mmwh0",
        "fjsj0",
        "majc0",
        "mjsw0",
        "mreb0",
        "fgjd0",
        "fjmg0",
        "mroa0",
        "mteb0",
        "mjfc0",
        "mrjr0",
        "fmml0",
        "mrws1",
    ]
)
"""The validation speakers of the usual recipes."""

STANDARD = {"train": 3696, "validation": 400, "test": 192}
"""Utterances of a complete copy."""

CALIBRATION = 80
"""Training utterances, spread evenly, that clips are taken on."""


@dataclass(frozen=True)
class Utterance:
    """One recording and its labels' file."""

    split: str
    speaker: str
    name: str
    audio: Path
    labels: Path


def find_utterances(folder: Path) -> list[Utterance]:
    """All utterances of the three splits, sorted; names in any case.

    Args:
        folder: that holds `train` and `test`, or a folder `timit` with them.

    Raises:
        MohaqError: no such folders, a recording without labels, or an empty split.
    """
    found = []
    for half in ("train", "test"):
        for audio in _recordings(_half(Path(folder), half)):
            speaker, sentence = audio.parent.name.lower(), audio.stem.lower().split(".")[0]
            split = _split(half, speaker)
            if split is None or sentence in ("sa1", "sa2"):
                continue
            labels = [
                p for s in (".phn", ".PHN") if (p := audio.with_name(_stem(audio) + s)).exists()
            ]
            if not labels:
                raise MohaqError("a recording has no labels", where=str(audio), why="no .phn")
            found.append(Utterance(split, speaker, f"{speaker}-{sentence}", audio, labels[0]))
    for split in STANDARD:
        if not any(u.split == split for u in found):
            raise MohaqError(f"no utterance for the {split} split", where=str(folder))
    return sorted(found, key=lambda u: (u.split, u.name))


def _split(half: str, speaker: str) -> str | None:
    if half == "train":
        return "train"
    return "validation" if speaker in DEVELOPMENT else "test" if speaker in CORE_TEST else None


def _half(folder: Path, name: str) -> Path:
    """The folder `train` or `test`, whatever its case, here or in a folder `timit`."""
    if not folder.is_dir():
        raise MohaqError("no such folder", where=str(folder))
    places = [folder, *(p for p in sorted(folder.iterdir()) if p.name.lower() == "timit")]
    for place in places:
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.is_dir() and path.name.lower() == name:
                return path
    raise MohaqError(
        f"this folder is no TIMIT: it has no folder '{name}'",
        where=str(folder),
        hint="name the folder that holds TRAIN and TEST (LDC93S1)",
    )


def _recordings(half: Path) -> Iterator[Path]:
    """DRn/SPEAKER/SENTENCE.WAV, once each (some copies have .WAV and .WAV.wav side by side)."""
    seen: set[tuple[Path, str]] = set()
    for path in sorted(half.glob("*/*/*")):
        if path.suffix.lower() == ".wav" and (key := (path.parent, _stem(path))) not in seen:
            seen.add(key)
            yield path


def _stem(audio: Path) -> str:
    return audio.name.split(".")[0]


def read_labels(path: Path) -> list[tuple[int, int, int]]:
    """(start, end, class) of each phone, in samples.

    Raises:
        MohaqError: a line that is no phone, an unknown phone, or times that run backwards.
    """
    rows: list[tuple[int, int, int]] = []
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MohaqError("cannot read these labels", where=str(path), why=str(error)) from None
    for number, line in enumerate(lines, 1):
        match line.split():
            case [start, end, phone] if start.isdecimal() and end.isdecimal():
                found = phone_class(phone.lower())
                if found is None:
                    raise MohaqError(
                        f"unknown phone '{phone}'",
                        where=f"{path}:{number}",
                        hint=did_you_mean(phone, PHONES),
                    )
                if int(end) <= int(start) or (rows and int(start) < rows[-1][1]):
                    raise MohaqError("the times run backwards", where=f"{path}:{number}")
                rows.append((int(start), int(end), found))
            case []:
                pass
            case _:
                raise MohaqError("a line is START END PHONE", where=f"{path}:{number}")
    if not rows:
        raise MohaqError("there are no labels", where=str(path))
    return rows


def frame_labels(rows: list[tuple[int, int, int]], frames: int) -> npt.NDArray[np.int64]:
    """[frames] class of the phone that holds each frame's centre; silence outside."""
    labels = np.zeros(frames, np.int64)
    centres = frame_centres(frames, FBANK)
    for start, end, phone in rows:
        labels[(centres >= start) & (centres < end)] = phone
    return labels


def load_timit(folder: Path) -> dict[str, Dataset]:
    """The splits `train`, `calibration` (a part of it), `validation` and `test`.

    Features are those of the default corpus: 23 log mel bands, the utterance's mean removed.

    Raises:
        MohaqError: what `find_utterances`, `read_audio` and `read_labels` refuse, or another rate.
    """
    utterances = find_utterances(folder)
    sets: dict[str, Dataset] = {}
    for split in STANDARD:
        mine = [u for u in utterances if u.split == split]
        inputs, labels = [], []
        for one in mine:
            samples, rate = read_audio(one.audio)
            if rate != RATE:
                raise MohaqError(f"TIMIT has {RATE} Hz, got {rate}", where=str(one.audio))
            energies = fbank(samples, FBANK)
            inputs.append((energies - energies.mean(axis=0)) * np.float32(FEATURE_SCALE))
            labels.append(frame_labels(read_labels(one.labels), len(energies)))
        sets[split] = Dataset(
            inputs=tuple(inputs),
            labels=tuple(labels),
            names=tuple(u.name for u in mine),
            label_kind="frame",
            meta={
                "corpus": "TIMIT (LDC93S1)",
                "split": split,
                "speakers": sorted({u.speaker for u in mine}),
                "classes": list(PHONES),
                "silence": 0,
            },
        )
    train = sets["train"]
    return {**sets, "calibration": train.subset(min(CALIBRATION, len(train)))}


def build_timit(folder: Path, out: Path) -> dict[str, Dataset]:
    """Write the splits as `<split>.safetensors` and give them back.

    Raises:
        MohaqError: what `load_timit` refuses, or `out` holds something else.
    """
    sets = load_timit(folder)
    with replacing_folder(Path(out), marker="corpus.json") as work:
        for name, data in sets.items():
            save_dataset(data, work / f"{name}.safetensors")
        sizes = {name: len(data) for name, data in sets.items()}
        write_text(work / "corpus.json", dump_json({"folder": Path(out).name, "utterances": sizes}))
    return sets
