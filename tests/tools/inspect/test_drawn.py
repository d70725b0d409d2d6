"""Drawings, ONNX models and pages of `mohaq inspect`."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import onnx
import pytest
from inspected import shown
from programs import sequences, tensor

import mohaq
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import calibrate


def test_files(place: Path, tmp_path: Path) -> None:
    names = {"--dot": "g.dot", "--svg": "g.svg", "--netron": "g.onnx", "--html": "g.html"}
    words = [w for key, name in names.items() for w in (key, tmp_path / name)]
    text = shown(place / "silago-mohaq", *words)
    assert text.count("wrote ") == 4
    dot = (tmp_path / "g.dot").read_text()
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", dot)
    assert '"' not in bare
    assert bare.count("{") == bare.count("}") == 1
    assert [dot.count(f'[label="{n}') for n in ("l0", "pr1", "l1", "fc")] == [1] * 4
    drawn = ET.parse(tmp_path / "g.svg").getroot()
    said = ["".join(t.itertext()) for t in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"l0", "pr1", "l1", "fc"} <= set(said)
    assert any("weight 4 bits, input 4 bits" in line for line in said)
    model = onnx.load(tmp_path / "g.onnx")
    onnx.checker.check_model(model)
    facts = [{p.key: p.value for p in node.metadata_props} for node in model.graph.node]
    fc = next(f for f in facts if f.get("mohaq.layer") == "fc")
    estimate = json.loads((place / "silago-mohaq/estimate.json").read_text())
    assert fc["mohaq.bits"] == "8 x 8"
    assert fc["mohaq.macs_per_frame"] == "36"
    assert fc["mohaq.cycles"] == str(estimate["layers"]["fc"]["cycles"])


@pytest.mark.parametrize("stage", ["2-qnn", "3-legalized", "4-silago"])
def test_loops_stand_inside_their_frames(place: Path, tmp_path: Path, stage: str) -> None:
    """No two boxes of a level overlap, and everything lies on the drawing."""
    from mohaq.tools.inspect.graph import program_graph
    from mohaq.tools.inspect.layout import Placed
    from mohaq.tools.inspect.layout import place as placed
    from mohaq.tools.pipelines import full_context

    shown(place / "silago-mohaq", "--stage", stage, "--svg", tmp_path / "g.svg")
    ET.parse(tmp_path / "g.svg")
    made = placed(program_graph(Program.load(place / "silago-mohaq" / stage, full_context())))

    def check(level: Placed, left: float, top: float, right: float, bottom: float) -> int:
        boxes = list(level.boxes.values())
        for n, a in enumerate(boxes):
            assert a.x >= left
            assert a.y >= top
            assert a.x + a.width <= right
            assert a.y + a.height <= bottom
            for b in boxes[n + 1 :]:
                apart = a.x + a.width <= b.x or b.x + b.width <= a.x
                assert apart or a.y + a.height <= b.y or b.y + b.height <= a.y
        inner = [b for b in boxes if b.inside is not None]
        return len(inner) + sum(
            check(b.inside, b.x, b.y, b.x + b.width, b.y + b.height) for b in inner if b.inside
        )

    assert check(made, 0, 0, made.width, made.height) == 4  # two bidirectional layers


def test_the_page_is_alone_and_escaped(tmp_path: Path) -> None:
    name = 'a<script>alert("1")</script>&[red]'
    net = Network()
    y = net.linear(name, net.sequence(3), tensor(np.random.default_rng(0), 2, 3))
    program = net.finish([y])
    calibrate(program, sequences(1, features=3))
    mohaq.compile(program, "bitfusion-e", Assignment.uniform(8), tmp_path / "out")
    words = (
        "--html",
        tmp_path / "p.html",
        "--svg",
        tmp_path / "p.svg",
        "--dot",
        tmp_path / "p.dot",
    )
    shown(tmp_path / "out", *words)
    page = (tmp_path / "p.html").read_text()
    assert "<script" not in page
    assert "a&lt;script&gt;alert(" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<details>" in page
    assert "setup kind=0 a_bits=8 w_bits=8" in page
    ET.parse(tmp_path / "p.svg")
    assert '\\"1\\"' in (tmp_path / "p.dot").read_text()
    assert name in shown(tmp_path / "out")
    assert "[red]" in shown(tmp_path / "out", "--op", name)


@pytest.mark.parametrize("subject", ["run", "net", "epiphany-e16", "mixed.json"])
def test_pages_of_all_kinds(place: Path, tmp_path: Path, subject: str) -> None:
    shown(place / subject, "--html", tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert page.count("<table>") == page.count("</table>") > 0
    assert ("<svg" in page) == (subject != "mixed.json")


def test_a_page_of_a_comparison(place: Path, tmp_path: Path) -> None:
    shown(place / "reference", place / "narrow", "--html", tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text()
    assert '<td class="less">4</td>' in page
    assert "<svg" not in page


def test_the_same_bytes_in_another_place(place: Path, tmp_path: Path) -> None:
    """Neither the folder nor the day is in what is written."""
    made = []
    for where in ("here", "elsewhere/deep"):
        folder = tmp_path / where
        shutil.copytree(place / "bitfusion-mohaq", folder / "c")
        words = [w for n in ("dot", "svg", "html") for w in (f"--{n}", folder / f"x.{n}")]
        shown(folder / "c", *words, "--netron", folder / "x.onnx")
        made.append([(folder / f"x.{n}").read_bytes() for n in ("dot", "svg", "html", "onnx")])
        assert str(tmp_path).encode() not in b"".join(made[-1])
    assert made[0] == made[1]
