"""Timeline, report and roofline of an emitted folder: they add up to the run."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mohaq.backends.base import Options, Workload
from mohaq.backends.bitfusion import BACKEND

from .test_recurrent import small, small_lstm

TARGET = BACKEND.load_target("bitfusion-e")


@pytest.fixture(params=["bitfusion-e", "small"])
def emitted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    program, _ = small_lstm({})
    target = TARGET if request.param == "bitfusion-e" else small()
    lowered = BACKEND.lower(BACKEND.legalize(program, target), target, Options())
    BACKEND.emit(lowered, tmp_path, target)
    estimate = BACKEND.estimate(lowered, target, Workload(100, 1), Options())
    (tmp_path / "cycles").write_text(str(estimate.total.cycles))
    return tmp_path


def test_the_report_has_the_cycles_of_the_run(emitted: Path) -> None:
    data = json.loads((emitted / "report.json").read_text())
    cycles = int((emitted / "cycles").read_text())
    run = BACKEND.simulate(emitted, [np.zeros((100, 1, 3), dtype=np.int64)], Options())
    assert data["cycles"] == cycles == run.measured.total.cycles
    assert data["layers"] == {n: c.cycles for n, c in run.measured.layers.items()}
    for block in data["blocks"]:
        assert sum(block["limited_by_cycles"].values()) == block["cycles"]
        assert block["array_utilisation"] is None or 0 < block["array_utilisation"] <= 1
    assert sum(b["dram_bits"] for b in data["blocks"]) == sum(
        run.measured.total.counters[f"dram_{d}_bits"] for d in ("read", "write")
    )
    assert sum(b["chip_bits"] for b in data["blocks"]) == run.measured.total.counters["chip_bits"]


def test_the_timeline_fills_the_run(emitted: Path) -> None:
    events = json.loads((emitted / "timeline.json").read_text())["traceEvents"]
    blocks = [e for e in events if e["ph"] == "X" and e["tid"] == 4]
    cycles = int((emitted / "cycles").read_text())
    ends = [b["ts"] + b["dur"] for b in blocks]
    assert [b["ts"] for b in blocks] == [0, *ends[:-1]]
    assert ends[-1] == cycles
    # No unit does two things at once.
    for track in range(4):
        mine = sorted((e["ts"], e["dur"]) for e in events if e["ph"] == "X" and e["tid"] == track)
        assert all(a + d <= b for (a, d), (b, _) in pairwise(mine))


def test_the_roofline_shows_every_block_with_products(emitted: Path) -> None:
    data = json.loads((emitted / "report.json").read_text())
    svg = ElementTree.fromstring((emitted / "roofline.svg").read_text())
    texts = [t.text or "" for t in svg.iter("{http://www.w3.org/2000/svg}text")]
    told = [t for t in texts if "of its roof" in t]
    assert len(told) == sum(b["macs"] > 0 for b in data["blocks"])
    shares = [float(t.split(", ")[1].split("%")[0]) for t in told]
    assert all(0 < s <= 100 for s in shares)
