"""Pictures agree with the numbers they are drawn from."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from epiphany_emitted import emit_cell
from hypothesis import given
from hypothesis import strategies as st

from mohaq.backends.epiphany.counters import Counts
from mohaq.backends.epiphany.machine import Machine, machine_of
from mohaq.backends.epiphany.pictures import link_bytes, mesh_map, timeline
from mohaq.backends.registry import get_backend

SVG = "{http://www.w3.org/2000/svg}"


def machine(rows: int = 4, cols: int = 4) -> Machine:
    held = machine_of(get_backend("epiphany").load_target("epiphany-e16"))
    return Machine({**held.constants, "rows": rows, "columns": cols})


@given(st.integers(1, 5), st.sampled_from([1, 2, 4, 8]), st.data(), st.integers(0, 1000))
def test_bytes_over_links_are_the_counted_byte_hops(
    rows: int, cols: int, data: st.DataObject, seed: int
) -> None:
    cores = rows * cols
    active = data.draw(st.integers(1, cores))
    counts = Counts(cores)
    each = np.random.default_rng(seed).integers(0, 50, cores)
    at = np.arange(cores)
    counts.push_bytes = each * (active - (at < active))
    hops = 0
    for source in range(cores):
        for target in range(active):
            far = abs(source // cols - target // cols) + abs(source % cols - target % cols)
            hops += int(each[source]) * far
    if active == 1:
        counts.push_bytes[0] = 0
    horizontal, vertical = link_bytes(counts, active, machine(rows, cols))
    assert horizontal.shape == (rows, cols - 1)
    assert vertical.shape == (rows - 1, cols)
    assert int(horizontal.sum() + vertical.sum()) == hops


def test_a_neighbour_pushes_over_one_link() -> None:
    counts = Counts(16)
    counts.push_bytes[1] = 8
    horizontal, vertical = link_bytes(counts, 1, machine())
    assert horizontal.tolist() == [[8, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert not vertical.any()
    drawn = ET.fromstring(mesh_map({"l0": counts}, {"l0": 1}, machine()))
    titles = [t.text for t in drawn.iter(f"{SVG}title")]
    assert "core (0, 0): 8 bytes received" in titles
    assert titles.count("8 bytes") == 1


def test_a_core_with_less_to_do_waits() -> None:
    counts = Counts(16)
    counts.kernels[("mv8_w8", 64)] = np.array([3, *[0] * 15])
    counts.elements["lookup"] += 10
    trace = timeline({"l0": counts}, machine(), lambda _name, columns: 2 * columns)
    blocks = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    first = {e["name"]: e["args"]["cycles"] for e in blocks if e["pid"] == 0}
    other = {e["name"]: e["args"]["cycles"] for e in blocks if e["pid"] == 7}
    lookups = 10 * machine().whole("lookup_cycles")
    assert first == {"products": 384, "elementwise": lookups}
    assert other == {"elementwise": lookups, "waiting": 384}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    emit_cell(place, "epiphany-e16", "lstm", 8, frames=2, batch=1)
    return place


def test_a_project_has_its_pictures(folder: Path) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    trace = json.loads((folder / "timeline.json").read_text())
    assert {e["pid"] for e in trace["traceEvents"]} == set(range(16))
    ends: dict[int, float] = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X" and event["tid"] == 0:
            assert event["ts"] >= ends.get(event["pid"], 0) - 1e-3
            ends[event["pid"]] = event["ts"] + event["dur"]
    assert len({round(e, 2) for e in ends.values()}) == 1
    drawn = ET.parse(folder / "memory.svg").getroot()
    titles = [t.text or "" for t in drawn.iter(f"{SVG}title")]
    for row in plan["memory"]:
        for stage in row["layers"]:
            for name, size in stage["fields"].items():
                assert f"{name}: {size} bytes" in titles
    assert ET.parse(folder / "mesh.svg").getroot().tag == f"{SVG}svg"
