"""A small network and folders as bytes, for tests of stopping, reusing and compiling twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from programs import sequences, sru, tensor

import mohaq
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program

FEATURES = 4


def small(seed: int = 5, *, calibrated: bool = True) -> Program:
    """One direction and a classifier."""
    rng = np.random.default_rng(seed)
    net = Network()
    h, _ = sru(net, rng, "l0", net.sequence(FEATURES), FEATURES, 3, direction="forward")
    made = net.finish([net.linear("fc", h, tensor(rng, 3, 3), tensor(rng, 3))])
    if calibrated:
        mohaq.calibrate(made, sequences(1, features=FEATURES))
    return made


def legal(target: str) -> Assignment:
    """Widths that a target can run."""
    return Assignment.uniform(16 if target.startswith("silago1") else 8)


def contents(folder: Path) -> dict[str, bytes]:
    """{path below the folder: bytes} of all files."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def save_data(path: Path, seed: int = 7, *, labels: bool = False) -> Path:
    """A data set for `small`, optionally with a class a frame."""
    inputs = sequences(seed, features=FEATURES)
    frames = sum(map(len, inputs))
    arrays = {"inputs": np.concatenate(inputs), "lengths": np.array([len(x) for x in inputs])}
    if labels:
        arrays["labels"] = np.random.default_rng(seed).integers(0, 3, frames)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path
