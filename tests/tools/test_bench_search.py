"""The bench of the search: the quality of searches on a known space, and the float loop."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.driver import calibrate
from mohaq.compiler.frontends import load
from mohaq.compiler.modules.sru import SpeechOptions, SpeechSRU
from mohaq.tools.bench.fake_quant import FakeQuantLoop
from mohaq.tools.bench.search_quality import Known, asked, measure_quality


def known_space(folder: Path, genes: int = 5, **settings: str) -> Path:
    """A made-up run over 4^genes assignments."""
    widths = (2, 4, 8, 16)
    rng = np.random.default_rng(0)
    weights = rng.random(genes)
    rows = []
    for genome in itertools.product(range(4), repeat=genes):
        bits = np.array([widths[i] for i in genome])
        error, latency = float((weights / bits).sum()) / genes, float(bits.sum())
        objectives = {"error": error, "latency": latency}
        rows.append({"genome": genome, "objectives": objectives, "violation": 0.0})
    front = {
        "settings": {"algorithm": "exhaustive", **settings},
        "objectives": [{"name": n, "direction": "min"} for n in ("error", "latency")],
        "genes": [
            {"name": f"g{i}", "slots": [f"l{i}.weight"], "choices": [[w] for w in widths]}
            for i in range(genes)
        ],
        "hypervolume_reference": {"error": 1.0, "latency": 16.0 * genes * 1.1},
        "evaluated": rows,
    }
    (folder / "front.json").write_text(json.dumps(front))
    return folder


def test_searches_beat_random_draws_on_a_known_space(tmp_path: Path) -> None:
    run = known_space(tmp_path)
    lines = measure_quality(run, seeds=2)
    last = {line.search: line for line in lines if line.space_share == 0.1}
    assert last["random"].mean < last["mohaq"].mean <= 1.0
    assert last["random"].mean < last["default"].mean <= 1.0
    for kind in last:
        means = [line.mean for line in lines if line.search == kind]
        assert means == sorted(means)
    known = Known(run)
    path = asked(known, "default", 1, 100)
    assert len(set(path)) == len(path) == 100
    assert known.share_of(known.values) == known.whole


def test_other_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="not exhaustive"):
        Known(known_space(tmp_path, algorithm="nsga2"))


def test_the_float_loop_at_16_bits_is_the_float_model() -> None:
    torch.manual_seed(3)
    size = SpeechOptions(inputs=5, hidden=8, projection=6, classes=7)
    model = SpeechSRU(size).eval().requires_grad_(False)
    model.fc.bias.zero_()  # else one class wins everywhere
    rng = np.random.default_rng(0)
    inputs = tuple(rng.normal(size=(t, 5)).astype(np.float32) for t in (9, 4, 12))
    program = load(model, (torch.zeros(8, 2, 5),))
    calibrate(program, list(inputs))
    labels = tuple(model(torch.from_numpy(x)[:, None])[:, 0].argmax(1).numpy() for x in inputs)
    table = calibrated_table(program)
    loop = FakeQuantLoop(model, table, Dataset(inputs, labels, label_kind="frame"), batch=2)
    slots: list[Slot] = table.searched()
    assert loop.error(dict.fromkeys(slots, 16)) < 0.1
    assert loop.error(dict.fromkeys(slots, 2)) > 0.1
