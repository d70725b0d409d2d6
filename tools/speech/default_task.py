"""The shipped speech task: frozen features, labels and trained weights."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

from mohaq.compiler.data import Dataset, load_dataset
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.files import read_json
from mohaq.tools.speech.checkpoint import load_weights
from mohaq.tools.speech.networks import SpeechNetwork, build_network

FROZEN = ("calibration", "validation", "test")
"""Splits in the package; the training split is generated (`mohaq corpus build`)."""

TRAINED = ("default", "lstm", "gru")
"""Networks whose weights are in the package."""

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


def load_default_model(network: str = "default") -> SpeechNetwork:
    """A trained network, in evaluation mode, without gradients.

    Args:
        network: `default` (SRU, 230,704 parameters), `lstm` (238,896) or `gru` (236,816).

    Raises:
        MohaqError: another name.
    """
    with as_file(_DATA / _file(network, "weights", "safetensors")) as path:
        model = build_network(network)
        load_weights(model, path)
    return model.eval().requires_grad_(False)


def load_training_record(network: str = "default") -> dict[str, Any]:
    """How the shipped weights of a network were trained, and the errors measured.

    Raises:
        MohaqError: the package has no such network.
    """
    with as_file(_DATA / _file(network, "training_record", "json")) as path:
        record = read_json(path, "training record")
    if not isinstance(record, dict):
        raise MohaqError("the training record is damaged")
    return record


def _file(network: str, kind: str, ending: str) -> str:
    if network not in TRAINED:
        raise MohaqError(
            f"the package holds no trained network '{network}'", hint=did_you_mean(network, TRAINED)
        )
    return f"{kind}.{ending}" if network == "default" else f"{kind}_{network}.{ending}"
