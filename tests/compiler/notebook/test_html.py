"""How programs, compiled programs and fronts show themselves: well-formed, escaped, complete."""

from __future__ import annotations

import dataclasses
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import calibrated, speech_like

from mohaq.backends.base import Costs, Estimate, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.driver import Compiled, CompiledFolder, compile_program
from mohaq.compiler.network import Network
from mohaq.compiler.notebook.html import ROWS, Axis, Dot, block, line, plot, table
from mohaq.compiler.program import Program
from mohaq.compiler.search.front import Generation, Point, SearchResult
from mohaq.compiler.search.objectives import Objective
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.lower_to_qnn import lower_to_qnn

NASTY = "<script>alert('&\"')</script>"
SVG = "{http://www.w3.org/2000/svg}"


def cells(html: str) -> list[list[str]]:
    """Text of the table's cells, row by row; the HTML is well-formed and runs nothing."""
    root = ET.fromstring(html)
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    return [[c.text or "" for c in row] for row in root.iter("tr")]


def texts(html: str) -> list[str]:
    return ["".join(e.itertext()) for e in ET.fromstring(html).iter("p")]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF), max_size=30))
def test_every_text_comes_back(text: str) -> None:
    dots = [Dot(1.0, 2.0, text), Dot(3.0, 1.0, text, front=False)]
    html = block(text, line(text), table((text, text), [(text, 3)]), plot(
        dots, Axis(text, text, text), Axis(text, text, text)
    ))  # fmt: skip
    assert cells(html) == [[text, text], [text, "3"]]
    assert texts(html) == [text, text]
    svg = ET.fromstring(html).find(f"{SVG}svg")
    assert svg is not None
    assert [e.text or "" for e in svg.iter(f"{SVG}text")] == [text] * 6
    assert [e.text or "" for e in svg.iter(f"{SVG}title")] == [text] * 2


def test_long_tables_are_cut_and_say_so() -> None:
    html = block("t", table(("n",), [(i,) for i in range(ROWS + 5)]))
    assert len(cells(html)) == ROWS + 1
    assert texts(html)[-1] == "and 5 more rows"


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=6))
def test_dots_lie_within_the_axes(points: list[tuple[float, float]]) -> None:
    shown = [p for p in points if all(map(math.isfinite, p))]
    svg = plot([Dot(x, y, "") for x, y in points], Axis("x", "", ""), Axis("y", "", ""))
    if not shown:
        assert svg == ""
        return
    root = ET.fromstring(svg)
    dots = list(root.iter(f"{SVG}circle"))
    assert len(dots) == len(shown)
    for dot in dots:
        assert 70 <= float(dot.get("cx", "")) <= 408
        assert 12 <= float(dot.get("cy", "")) <= 200


def test_program_at_every_stage() -> None:
    bare = speech_like()
    (header, *rows) = cells(bare._repr_html_())
    assert header == ["layer", "operation", "result", "parameters"]
    assert [row[0] for row in rows] == [layer.label for layer in bare.layers()]
    total = sum(bare.parameters[n].size for n in bare.parameters)
    assert sum(int(row[-1].replace(",", "")) for row in rows) == total
    assert "not calibrated" in bare._repr_html_()
    assert rows[0][1] == "sru"
    assert rows[0][2].startswith("? x ? x ")

    program = calibrated()
    assert texts(program._repr_html_())[0].endswith("parameters, calibrated")
    slots = [Slot(op.label, s) for op in program.layers() for s in op.SEARCHED_SLOTS]
    apply_assignment(program, Assignment.uniform(4).complete(slots))
    (header, first, *_) = cells(program._repr_html_())
    assert header[2] == "bits"
    assert first[2] == "weight 4, input 4"

    lowered = lower_to_qnn(program)
    counted = {row[0]: int(row[1]) for row in cells(lowered._repr_html_())[1:]}
    names = [op.name for op in lowered.module.walk() if op.name != "param.declare"]
    assert counted == {n: names.count(n) for n in set(names)}


def test_names_of_layers_are_escaped() -> None:
    net = Network()
    x = net.sequence(2)
    y = net.linear(NASTY, x, np.ones((3, 2), np.float32))
    html = net.finish([y])._repr_html_()
    assert cells(html)[1][0] == NASTY


def test_compiled_shows_its_estimate(tmp_path: Path) -> None:
    done = compile_program(
        calibrated(), "bitfusion-e", Assignment.uniform(8), tmp_path / "out", name="net"
    )
    (header, *rows) = cells(done._repr_html_())
    assert header == ["layer", "cycles", "of all", "latency", "energy"]
    assert [row[0] for row in rows] == [*done.estimate.layers, "all"]
    assert rows[-1][1:3] == [f"{done.estimate.total.cycles:,}", "100.0 %"]
    assert texts(done._repr_html_())[0] == "Compiled for bitfusion-e"
    opened = CompiledFolder(tmp_path / "out")
    assert repr(opened) == f"CompiledFolder({tmp_path / 'out'}, net for bitfusion-e)"


def test_target_without_a_clock() -> None:
    costs = Costs(12, None, 1e-9)
    done = Compiled(Path(NASTY), "t", Estimate(Workload(3, batch=2), costs, {NASTY: costs}, 2048))
    rows = cells(done._repr_html_())
    assert rows[1] == [NASTY, "12", "100.0 %", "no clock", "1 nJ"]
    assert "2.0 KiB on the target; estimate for 3 frames, 2 at once" in texts(done._repr_html_())
    assert f"in {NASTY}" in texts(done._repr_html_())


def searched(axes: tuple[str, ...]) -> SearchResult:
    units = {"error": "", "energy": "J", "latency": "s"}
    points = []
    for number, bits in enumerate((2, 4, 8, 16)):
        values = {"error": 0.4 / bits, "energy": bits * 1e-6, "latency": bits * 1e-3}
        points.append(
            Point((number,), {Slot(NASTY, "weight"): bits, Slot(NASTY, "input"): 8},
                  {a: values[a] for a in axes}, 0.0, 1)
        )  # fmt: skip
    unknown = dataclasses.replace(points[0], genome=(9,), objectives={}, failure="lost")
    return SearchResult(
        {},
        tuple(Objective(a, units[a], None) for a in axes),
        [{"name": "float", "objectives": {"error": 0.01}}],
        (Generation(0, 5, 0.5),),
        (*points, unknown),
        tuple(points[:3]),
        Path("run"),
    )


def test_front_as_table_and_plot() -> None:
    found = searched(("error", "energy", "latency"))
    html = found._repr_html_()
    (header, reference, first, *_) = rows = cells(html)
    assert header == ["point", "weight x input bits", "error", "energy", "latency"]
    assert reference == ["float", "", "1.00 %", "", ""]
    assert first == ["s00", "2x8", "20.00 %", "2 µJ", "2 ms"]
    assert len(rows) == 5
    assert texts(html)[0] == "Search: 3 points on the front of 5 candidates"
    assert f"layers: {NASTY}" in texts(html)
    dots = [e.text for e in ET.fromstring(html).iter(f"{SVG}title")]
    assert dots == [
        "2.50 % error, 16 µJ energy",  # behind the front, and under it
        "s00: 20.00 % error, 2 µJ energy",
        "s01: 10.00 % error, 4 µJ energy",
        "s02: 5.00 % error, 8 µJ energy",
    ]


def test_front_of_one_objective_or_of_nothing() -> None:
    one = searched(("error",))
    assert "<svg" not in one._repr_html_()
    nothing = dataclasses.replace(one, front=(), unmet=("error is 0.3 over",))
    assert "not met: error is 0.3 over" in texts(nothing._repr_html_())
    assert [row[0] for row in cells(nothing._repr_html_())] == ["point", "float"]


@pytest.mark.parametrize("target", ["reference", "silago-mohaq"])
def test_lowered_programs_have_a_table(target: str) -> None:
    from mohaq.compiler.analysis.storage import calibrated_table
    from mohaq.compiler.driver import lower_for_target

    backend, machine = find_target(target)
    program = calibrated()
    widths = Assignment.uniform(16).complete(calibrated_table(program).searched())
    made: Program = lower_for_target(program, backend, machine, widths).legalized
    assert len(cells(made._repr_html_())) > 3
