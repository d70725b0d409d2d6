"""The shipped speech task: frozen features, labels and trained weights."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

from mohaq.compiler.data import Dataset, load_dataset
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.files import read_json
from mohaq.compiler.modules import SpeechSRU
from mohaq.tools.speech.checkpoint import load_weights

FROZEN = ("calibration", "validation", "test")
"""Splits in the package; the training split is generated (`mohaq corpus build`)."""

_DATA = files("mohaq.tools") / "speech" / "data"


def load_default_split(name: str) -> Dataset:
    """A frozen split of the default corpus: frame labels, 48 phone classes, 23 features.

    Args:
        name: `calibration`, `validation` or `test`; their voices are disjoint.

    Raises:
        MohaqError: another name.
    """
    if name not in FROZEN:
        raise MohaqError(f"the package holds no split '{name}'", hint=did_you_mean(name, FROZEN))
    with as_file(_DATA / f"{name}.safetensors") as path:
        return load_dataset(path)


def load_default_model() -> SpeechSRU:
    """The trained 230,704-parameter network, in evaluation mode, without gradients."""
    model = SpeechSRU()
    with as_file(_DATA / "weights.safetensors") as path:
        load_weights(model, path)
    return model.eval().requires_grad_(False)


def load_training_record() -> dict[str, Any]:
    """How the shipped weights were trained, and the errors measured."""
    with as_file(_DATA / "training_record.json") as path:
        record = read_json(path, "training record")
    if not isinstance(record, dict):
        raise MohaqError("the training record is damaged")
    return record
