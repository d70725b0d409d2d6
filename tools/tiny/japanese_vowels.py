"""Who says it? Nine speakers, two Japanese vowels, 12 LPC cepstra a frame (UCI, real speech)."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from mohaq.compiler.data import Dataset, load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json
from mohaq.compiler.modules import SRU, SRUOptions
from mohaq.tools.speech.checkpoint import load_weights

SPEAKERS = 9
TRAIN = 270
"""Utterances of the training split; the test split's 370 follow in the file."""

_DATA = files("mohaq.tools") / "tiny" / "data"


class VowelSRU(nn.Module):
    """A bidirectional SRU layer (12 -> 16 each way) and a linear output a frame.

    The class of an utterance is the largest mean over time of the outputs (metric `accuracy`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.l0 = SRU(12, 16, SRUOptions(direction="bidirectional"))
        self.fc = nn.Linear(32, SPEAKERS)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[T, B, 9] scores of frames x [T, B, 12]; `lengths` [B] in training only."""
        y, _ = self.l0(x, None, lengths)
        logits: Tensor = self.fc(y)
        return logits


def load_vowels(split: str) -> Dataset:
    """The split `train` (270 utterances) or `test` (370), speaker 0 to 8 as label.

    Raises:
        MohaqError: another split.
    """
    if split not in ("train", "test"):
        raise MohaqError(f"no split '{split}'", hint="known: train, test")
    with as_file(_DATA / "japanese_vowels.safetensors") as path:
        both = load_dataset(path)
    return both[:TRAIN] if split == "train" else both[TRAIN:]


def load_vowels_model() -> VowelSRU:
    """The trained classifier, in evaluation mode, without gradients."""
    model = VowelSRU()
    with as_file(_DATA / "vowels_weights.safetensors") as path:
        load_weights(model, path)
    return model.eval().requires_grad_(False)


def load_vowels_record() -> dict[str, Any]:
    """How the shipped classifier was trained, and its errors."""
    with as_file(_DATA / "vowels_record.json") as path:
        record: dict[str, Any] = read_json(path, "training record")
    return record


def read_ts(path: Path) -> tuple[list[Any], list[int]]:
    """Sequences [T, 12] and speakers 0 to 8 of a `.ts` text file, as the aeon project ships it.

    This is how the frozen file was made; nothing else needs it.

    Raises:
        MohaqError: a line that is no sequence of 12 channels.
    """
    inputs: list[Any] = []
    speakers: list[int] = []
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not line or line[0] in "#@":
            continue
        *channels, speaker = line.split(":")
        try:
            inputs.append(np.asarray([c.split(",") for c in channels], np.float32).T)
            speakers.append(int(speaker) - 1)
        except ValueError as error:
            raise MohaqError("bad line", where=f"{path}:{number}", why=str(error)) from None
        if inputs[-1].shape[1] != 12:
            raise MohaqError("12 channels are needed", where=f"{path}:{number}")
    return inputs, speakers
