"""Digit strings from a folder of Free Spoken Digit Dataset recordings.

The recordings (github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0) are not part of this
project; the user names a folder of files called `<digit>_<speaker>_<number>.wav`.
"""

from __future__ import annotations

import re
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mohaq.compiler.data import Dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.files import dump_json, replacing_folder, write_text
from mohaq.tools.speech.fbank import FbankOptions, fbank, frame_centres
from mohaq.tools.speech.recipe import FEATURE_SCALE

RATE = 8000
FBANK = FbankOptions(rate=RATE, high_hz=4000.0)
CLASSES = ("pause", *"zero one two three four five six seven eight nine".split())  # noqa: SIM905
"""Class 0 is the pause, digit d is class d + 1."""

_NAME = re.compile(r"(\d)_([A-Za-z0-9]+)_(\d+)\.wav")
_SPLITS = ("train", "calibration", "validation", "test")


@dataclass(frozen=True)
class Recording:
    """One spoken digit: samples [N] float32 in 16-bit units."""

    digit: int
    speaker: str
    number: int
    samples: npt.NDArray[np.float32]


@dataclass(frozen=True)
class FsddOptions:
    """How strings are made.

    Attributes:
        held_out: the speaker of the test split; None takes the last by name.
        train: strings in the training split; likewise the others.
        calibration: strings.
        validation: strings.
        test: strings.
        seed: of everything drawn.
    """

    held_out: str | None = None
    train: int = 2000
    calibration: int = 60
    validation: int = 100
    test: int = 300
    seed: int = 1


def read_wav(path: Path) -> npt.NDArray[np.float32]:
    """[N] samples of an 8 kHz mono 16-bit file, in 16-bit units.

    Raises:
        MohaqError: damaged, truncated, empty, or of another format.
    """
    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            count = file.getnframes()
            data = file.readframes(count)
    except (wave.Error, EOFError, OSError) as error:
        raise MohaqError(
            "cannot read this wav file", where=str(path), why=str(error) or "it is truncated"
        ) from None
    if form != (RATE, 1, 2):
        raise MohaqError(
            "a recording is 8000 Hz, mono, 16 bit",
            where=str(path),
            why=f"got {form[0]} Hz, {form[1]} channels, {8 * form[2]} bit",
        )
    if count == 0 or len(data) != 2 * count:
        raise MohaqError(
            "the wav file is truncated", where=str(path), why=f"{len(data)} of {2 * count} bytes"
        )
    return np.frombuffer(data, "<i2").astype(np.float32)


def read_recordings(folder: Path) -> list[Recording]:
    """All recordings in `folder` (or its subfolder `recordings`), in the order of their names.

    Raises:
        MohaqError: no such folder, no recordings, or a bad file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MohaqError("no such folder", where=str(folder))
    if (folder / "recordings").is_dir():
        folder /= "recordings"
    named = [(_NAME.fullmatch(path.name), path) for path in sorted(folder.iterdir())]
    found = [
        Recording(int(match[1]), match[2], int(match[3]), read_wav(path))
        for match, path in named
        if match
    ]
    if not found:
        raise MohaqError(
            "the folder holds no recordings",
            where=str(folder),
            hint="files are named <digit>_<speaker>_<number>.wav, such as 7_jackson_32.wav",
        )
    return found


def assign_splits(
    recordings: Sequence[Recording], held_out: str | None = None
) -> dict[str, list[Recording]]:
    """Share recordings out: the held-out speaker is the test split, the others' are cut by number.

    Of each other speaker's recordings of a digit, the first tenth (at least one) goes to
    validation, the next to calibration, the rest to training.

    Raises:
        MohaqError: fewer than two speakers, an unknown one, or too few recordings of a digit.
    """
    speakers = sorted({r.speaker for r in recordings})
    if len(speakers) < 2:
        raise MohaqError(
            "one speaker is held out, so at least two are needed", why=f"found {speakers}"
        )
    test = speakers[-1] if held_out is None else held_out
    if test not in speakers:
        raise MohaqError(f"no recordings of speaker '{test}'", hint=did_you_mean(test, speakers))
    splits: dict[str, list[Recording]] = {name: [] for name in _SPLITS}
    splits["test"] = [r for r in recordings if r.speaker == test]
    for speaker in speakers:
        for digit in range(10):
            mine = sorted(
                (r for r in recordings if (r.speaker, r.digit) == (speaker, digit)),
                key=lambda r: r.number,
            )
            if speaker == test or not mine:
                continue
            if len(mine) < 3:
                raise MohaqError(
                    f"speaker '{speaker}' has {len(mine)} recordings of digit {digit}",
                    why="at least 3 are needed",
                )
            share = max(1, len(mine) // 10)
            splits["validation"] += mine[:share]
            splits["calibration"] += mine[share : 2 * share]
            splits["train"] += mine[2 * share :]
    return splits


def _string(
    by_speaker: dict[str, list[Recording]], rng: np.random.Generator
) -> tuple[str, npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """3 to 7 digits of one speaker with pauses and white noise: name, features, labels."""
    speakers = sorted(by_speaker)
    speaker = speakers[int(rng.integers(len(speakers)))]
    pieces: list[npt.NDArray[np.float32]] = []
    classes: list[int] = []
    spoken = ""
    for _ in range(int(rng.integers(3, 8))):
        pool = by_speaker[speaker]
        take = pool[int(rng.integers(len(pool)))]
        level = float(np.sqrt(np.mean(take.samples**2))) or 1.0
        pieces += [np.zeros(int(rng.uniform(0.05, 0.2) * RATE), np.float32)]
        pieces += [take.samples * np.float32(2000.0 / level)]
        classes += [0, take.digit + 1]
        spoken += str(take.digit)
    pieces.append(np.zeros(int(rng.uniform(0.05, 0.2) * RATE), np.float32))
    classes.append(0)
    clean = np.concatenate(pieces)
    noise = 2000.0 * 10.0 ** (-rng.uniform(5.0, 25.0) / 20.0)
    heard = clean + (noise * rng.standard_normal(len(clean))).astype(np.float32)
    energies = fbank(heard, FBANK)
    ends = np.cumsum([len(piece) for piece in pieces])
    centres = np.minimum(frame_centres(len(energies), FBANK), len(clean) - 1)
    labels = np.asarray(classes, np.int64)[np.searchsorted(ends, centres, side="right")]
    features = (energies - energies.mean(axis=0)) * np.float32(FEATURE_SCALE)
    return f"{speaker}-{spoken}", features, labels


def load_fsdd(folder: Path, options: FsddOptions | None = None) -> dict[str, Dataset]:
    """Digit strings for `train`, `calibration`, `validation` and `test`.

    Labels are one class a frame (see `CLASSES`): usable with `fer`, `per` and `wer`.

    Args:
        folder: of the recordings.
        options: sizes, held-out speaker, seed.

    Raises:
        MohaqError: what `read_recordings` and `assign_splits` refuse.
    """
    options = options or FsddOptions()
    splits = assign_splits(read_recordings(folder), options.held_out)
    sets: dict[str, Dataset] = {}
    for number, (name, members) in enumerate(splits.items()):
        by_speaker: dict[str, list[Recording]] = {}
        for recording in members:
            by_speaker.setdefault(recording.speaker, []).append(recording)
        strings = [
            _string(by_speaker, np.random.default_rng([options.seed, number, i]))
            for i in range(getattr(options, name))
        ]
        sets[name] = Dataset(
            inputs=tuple(features for _, features, _ in strings),
            labels=tuple(labels for _, _, labels in strings),
            names=tuple(f"{name}-{i:05d}-{s[0]}" for i, s in enumerate(strings)),
            label_kind="frame",
            meta={
                "corpus": "Free Spoken Digit Dataset, joined digits (CC BY-SA 4.0)",
                "split": name,
                "seed": options.seed,
                "speakers": sorted(by_speaker),
                "classes": list(CLASSES),
                "silence": 0,
            },
        )
    return sets


def build_fsdd(folder: Path, out: Path, options: FsddOptions | None = None) -> dict[str, Dataset]:
    """Write the splits of `load_fsdd` as `<split>.safetensors` and give them back.

    Raises:
        MohaqError: what `load_fsdd` refuses, or `out` holds something else.
    """
    sets = load_fsdd(folder, options)
    with replacing_folder(Path(out), marker="corpus.json") as work:
        for name, data in sets.items():
            save_dataset(data, work / f"{name}.safetensors", int8=True)
        sizes = {name: len(data) for name, data in sets.items()}
        write_text(work / "corpus.json", dump_json({"folder": Path(out).name, "utterances": sizes}))
    return sets
