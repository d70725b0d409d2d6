"""Generate the phone corpus: one data set file for each split.

The speech is synthetic. What an utterance is, is written in recipe.py; here is only the work of
making many of them at once and of writing them down.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mohaq.compiler.data import Dataset, load_dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.tools.speech.phones import PHONES
from mohaq.tools.speech.recipe import FBANK, FEATURE_SCALE, SPLITS, Spoken, make_utterance

Progress = Callable[[str, int, int], None]
"""Called with (split, utterances done, utterances in the split)."""


@dataclass(frozen=True)
class SplitSizes:
    """Utterances in each split."""

    train: int = 6000
    calibration: int = 80
    validation: int = 120
    test: int = 300


PRESETS: dict[str, SplitSizes] = {
    "default": SplitSizes(),
    "small": SplitSizes(train=600, calibration=20, validation=40, test=60),
    "tiny": SplitSizes(train=8, calibration=2, validation=2, test=2),
}


@dataclass(frozen=True)
class CorpusSummary:
    """What was written.

    Attributes:
        folder: where the `<split>.safetensors` files are.
        seed: of the corpus.
        utterances: number in each split.
        frames: number of 10 ms frames in each split.
        hashes: content hash of each split's data set.
    """

    folder: Path
    seed: int
    utterances: dict[str, int]
    frames: dict[str, int]
    hashes: dict[str, str]


def _make(seed: int, split: str, index: int) -> Spoken:
    return make_utterance(seed, split, index)


def _one_thread() -> None:
    # Workers share the machine already; nested BLAS threads only get in the way.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"


def make_split(
    split: str, count: int, seed: int, workers: int, progress: Progress | None = None
) -> Dataset:
    """Generate one split in memory.

    Args:
        split: one of `SPLITS`.
        count: utterances.
        seed: of the corpus.
        workers: processes; the result does not depend on it.
        progress: told after each utterance.

    Raises:
        MohaqError: unknown split, no utterances, or the synthesizer refuses.
    """
    if split not in SPLITS:
        raise MohaqError(f"unknown split '{split}'", hint=did_you_mean(split, SPLITS))
    if count < 1:
        raise MohaqError(f"split '{split}' needs at least one utterance", why=f"got {count}")
    spoken: list[Spoken] = []
    # Spawned, not forked: the synthesizer forks again and wants no threads beside it.
    context = multiprocessing.get_context("spawn")
    with context.Pool(max(1, workers), initializer=_one_thread) as pool:
        stream: Iterator[Spoken] = pool.imap(
            partial(_make, seed, split), range(count), chunksize=max(1, min(16, count // 8))
        )
        for done, utterance in enumerate(stream, 1):
            spoken.append(utterance)
            if progress is not None:
                progress(split, done, count)
    meta = {
        "corpus": "mohaq synthetic phones",
        "split": split,
        "seed": seed,
        "classes": list(PHONES),
        "silence": 0,
        "features": {**asdict(FBANK), "scale": FEATURE_SCALE, "mean": "of the utterance removed"},
        "texts": [u.text for u in spoken],
        "voices": [u.voice for u in spoken],
    }
    return Dataset(
        inputs=tuple(u.features for u in spoken),
        labels=tuple(u.labels.astype(np.int64) for u in spoken),
        names=tuple(u.name for u in spoken),
        label_kind="frame",
        meta=meta,
    )


def build_corpus(
    out: Path,
    preset: str | SplitSizes = "default",
    seed: int = 1,
    workers: int = 2,
    progress: Progress | None = None,
) -> CorpusSummary:
    """Generate all splits into a new folder.

    Args:
        out: folder to make; it appears only when everything is written.
        preset: a name in `PRESETS`, or sizes.
        seed: of the corpus.
        workers: processes.
        progress: told after each utterance.

    Returns:
        Sizes and content hashes, also written to `corpus.json`.

    Raises:
        MohaqError: the folder exists, an unknown preset, or the synthesizer is missing.
    """
    if isinstance(preset, str) and preset not in PRESETS:
        raise MohaqError(f"unknown preset '{preset}'", hint=did_you_mean(preset, PRESETS))
    sizes = PRESETS[preset] if isinstance(preset, str) else preset
    out = Path(out)
    if out.exists():
        raise MohaqError("the folder exists already", where=str(out), hint="name a new one")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        frames: dict[str, int] = {}
        hashes: dict[str, str] = {}
        counts = {k: v for k, v in asdict(sizes).items() if v}
        for split, count in counts.items():
            data = make_split(split, count, seed, workers, progress)
            path = work / f"{split}.safetensors"
            save_dataset(data, path, int8=True)
            frames[split] = data.frames
            hashes[split] = load_dataset(path).content_hash()  # of what training will see
        summary = CorpusSummary(out, seed, counts, frames, hashes)
        record = {**asdict(summary), "folder": out.name}
        (work / "corpus.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        work.chmod(0o755)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return summary
