"""Somebody else's model and data, from a torch module to a program that runs.

A forward SRU with carried state learns which of two tones it hears, on data from a folder of
`.npz`; the searcher trades widths; what it chooses compiles and runs bit for bit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import mohaq
from mohaq.compiler.data import Dataset
from mohaq.compiler.driver import CompiledFolder
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.modules import SRU


class Tones(torch.nn.Module):
    """Per-frame logits of two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.ear = SRU(2, 8)
        self.answer = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, _ = self.ear(x)
        y: torch.Tensor = self.answer(h)
        return y


def tones(seed: int, count: int) -> tuple[list[np.ndarray], list[int]]:
    rng = np.random.default_rng(seed)
    inputs, labels = [], []
    for _ in range(count):
        label = int(rng.integers(2))
        t = np.arange(int(rng.integers(12, 30)))
        wave = np.sin(t * (0.4 if label else 1.3) + rng.uniform(0, 6))
        noisy = np.stack([wave, np.roll(wave, 1)], axis=1) + rng.normal(0, 0.2, (len(t), 2))
        inputs.append(noisy.astype(np.float32))
        labels.append(label)
    return inputs, labels


def save(folder: Path, seed: int, count: int) -> Dataset:
    inputs, labels = tones(seed, count)
    folder.mkdir()
    np.savez(
        folder / "set.npz",
        inputs=np.concatenate(inputs),
        lengths=[len(x) for x in inputs],
        labels=labels,
    )
    return mohaq.load_dataset(folder)


@pytest.fixture(scope="module")
def model() -> Tones:
    torch.manual_seed(0)
    made = Tones()
    optimizer = torch.optim.Adam(made.parameters(), 0.02)
    inputs, labels = tones(0, 120)
    for _ in range(4):
        for x, label in zip(inputs, labels, strict=True):
            logits = made(torch.from_numpy(x)[:, None]).mean(dim=0)
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor([label]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return made


@pytest.mark.parametrize("target", ["reference", "bitfusion-e"])
def test_from_module_to_running_program(tmp_path: Path, model: Tones, target: str) -> None:
    validation = save(tmp_path / "validation", 1, 40)
    test = save(tmp_path / "test", 2, 12)
    program = mohaq.load(model, (torch.zeros(8, 2, 2),))
    mohaq.calibrate(program, tones(3, 20)[0])
    found = mohaq.search(
        program,
        target=target,
        data=validation,
        metric="accuracy",
        objectives=("error", "energy", "size"),
        generations=3,
        population=8,
        offspring=4,
        out=tmp_path / "run",
    )
    best = min(range(len(found.front)), key=lambda i: found.front[i].objectives["error"])
    assert found.front[best].objectives["error"] < 0.2
    mohaq.compile(program, target, found.assignment(best), tmp_path / "out")
    opened = CompiledFolder(tmp_path / "out")
    metric, wrong = get_metric("accuracy"), 0.0
    for x, label in zip(test.inputs, test.labels, strict=True):
        run = opened.run(x, check=True)
        assert run.equal
        wrong += metric.score(run.outputs, label, test.label_kind)[0]
    assert wrong / len(test) < 0.35
