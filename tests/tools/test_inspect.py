"""`mohaq inspect`: every kind of thing it opens, operations in full, comparison, files, messages."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from programs import calibrated, one_cell, sequences, tensor
from searches import labelled
from typer.testing import CliRunner, Result

import mohaq
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.compiler.search.search import search
from mohaq.passes.calibrate import calibrate
from mohaq.tools.cli import app

TARGETS = ("reference", "silago-mohaq", "bitfusion-mohaq", "epiphany-e16")
Inspect = Callable[..., Result]


def inspected(*words: object) -> Result:
    runner = CliRunner(env={"COLUMNS": "220", "NO_COLOR": "1", "TERM": "dumb"})
    return runner.invoke(app, ["inspect", *map(str, words)])


def shown(*words: object) -> str:
    """Output of a command that works."""
    result = inspected(*words)
    assert result.exit_code == 0, result.output + result.stderr
    return result.output


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


def row(text: str, first: str) -> list[str]:
    """Cells of the table row that starts with a name."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("│┃").split("│")]
        if cells[0] == first:
            return cells
    raise AssertionError(f"no row '{first}' in\n{text}")


def rows(text: str, title: str) -> list[list[str]]:
    """Rows of the table under a title."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    found = []
    for line in lines[start + 4 :]:
        if not line.startswith("│"):
            return found
        found.append([cell.strip() for cell in line.strip("│").split("│")])
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`net` (calibrated), a compiled folder for every target, a run, an assignment."""
    folder = tmp_path_factory.mktemp("inspect")
    program = calibrated()
    program.save(folder / "net")
    mixed = Assignment({Slot("l0", "weight"): 4, Slot("l0", "input"): 4}, 8)
    for target in TARGETS:
        mohaq.compile(program, target, mixed, folder / target)
    mohaq.compile(program, "reference", Assignment.uniform(4), folder / "narrow")
    mixed.save(folder / "mixed.json")
    search(
        program,
        target="reference",
        data=labelled(program, 3),
        out=folder / "run",
        generations=1,
        population=4,
        offspring=2,
    )
    return folder


def test_a_program(place: Path) -> None:
    text = shown(place / "net")
    assert "program net: nn, calibrated" in text
    assert row(text, "%4, %5")[1:3] == ["sru", "l0"]
    # l0: 2 directions x 3 gates x 6 units x 5 features, and 4 vectors of 6 for each direction.
    assert row(text, "l0") == ["l0", "2x sru", "36 x 5", "180", "228"]
    assert row(text, "nn.linear")[1] == "2"
    held = sum(a.size for a in (calibrated().parameters[n] for n in calibrated().parameters))
    assert f"{held:,} elements" in text


def test_a_model_by_name() -> None:
    assert "not calibrated" in shown("vowels")


def test_an_onnx_model(tmp_path: Path) -> None:
    mohaq.export_onnx(one_cell("lstm"), tmp_path / "cell.onnx")
    assert row(shown(tmp_path / "cell.onnx"), "nn.lstm")[1] == "1"


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        ("0-nn", "nn, calibrated"),
        ("1-quantized", "nn with widths"),
        ("2-qnn", "integers (qnn)"),
        ("3-legalized", "integers (qnn), legalized"),
        ("4-silago", "lowered to phase"),
    ],
)
def test_stages(place: Path, stage: str, state: str) -> None:
    folder = place / "silago-mohaq"
    short = shown(folder, "--stage", stage.partition("-")[2]).splitlines()[0]
    assert f"{stage}: {state}, " in short
    assert f": {state}, " in shown(folder / stage / "program.mlir").splitlines()[0]


def test_stages_of_a_folder(place: Path) -> None:
    found = {r[0]: r[1] for r in rows(shown(place / "silago-mohaq"), "Stages")}
    assert found["3-legalized"] == "integers (qnn), legalized"
    assert found["4-silago"] == "lowered to phase"


def test_integers_say_the_same_as_the_assignment(place: Path) -> None:
    """Bits, products and bytes of `qnn` come from its own types."""
    first = shown(place / "reference")
    integers = shown(place / "reference", "--stage", "2-qnn")
    for layer, bits in (("l0", "4 x 4"), ("pr1", "8 x 8"), ("l1", "8 x 8"), ("fc", "8 x 8")):
        assert row(first, layer)[5] == bits
        assert (
            rows(integers, "Layers")[[r[0] for r in rows(integers, "Layers")].index(layer)][5]
            == bits
        )
    assert row(first, "fc")[6] == f"{12 * 3 + 2 * 3}"  # 8-bit weights, 16-bit biases
    totals = [rows(text, "Layers")[-1] for text in (first, integers)]
    assert totals[0][3] == totals[1][3]


@pytest.mark.parametrize("target", TARGETS)
def test_a_compiled_folder(place: Path, target: str) -> None:
    text = shown(place / target)
    estimate = json.loads((place / target / "estimate.json").read_text())
    assert f"for {target} (" in text.splitlines()[0]
    for layer, costs in estimate["layers"].items():
        assert [f"{costs['cycles']:,}"] == [
            r[1] for r in rows(text, "Estimate for 100 frames") if r[0] == layer
        ]
    for name, value in estimate["total"]["counters"].items():
        assert [name, f"{value:,}"] in rows(text, "Counters")
    files = [r[0] for r in rows(text, "What the target gets")]
    emitted = place / target / "emitted"
    assert files == sorted(
        p.relative_to(place / target).as_posix() for p in emitted.rglob("*") if p.is_file()
    )


@pytest.mark.parametrize("target", TARGETS)
def test_a_layer_in_full(place: Path, target: str) -> None:
    text = shown(place / target, "--op", "pr1", "--instructions", 0)
    quantized = Program.load(place / target / "1-quantized")
    op = next(op for op in quantized.layers() if op.label == "pr1")
    grid = op.grid("weight")
    assert grid is not None
    found = rows(text, "Quantization")[0]
    assert found[:2] == ["weight", "searched"]
    assert [found[3], found[4]] == ["8", f"{grid.step:.9g}"]
    assert found[5] == f"{grid.step * 127:.6g}"
    assert found[6] == "-128 … 127"
    sums = rows(text, "Accumulators")[0]
    assert sums[3:5] == ["4 x 12", "8 x 8"]
    bound = int(sums[6].replace(",", ""))
    assert 0 < bound <= 12 * 128 * 128
    assert int(sums[7]) == bound.bit_length() + 1
    assert int(sums[8]) == int(sums[5]) - int(sums[7])


def test_bit_fusion_instructions_are_those_of_the_listing(place: Path) -> None:
    """They are decoded from the words, the listing was written by the emitter."""
    listing = (place / "bitfusion-mohaq/emitted/program.bfasm").read_text().splitlines()
    seen: list[str] = []
    for layer in ("l0", "pr1", "l1", "fc"):
        text = shown(place / "bitfusion-mohaq", "--op", layer, "--instructions", 0)
        seen += text[text.index(f"Instructions of {layer}\n") :].splitlines()[1:]
    assert seen == [line for line in listing if not line.startswith(";")]


def test_silago_words_are_those_of_the_listing(place: Path) -> None:
    listing = (place / "silago-mohaq/emitted/listing.txt").read_text()
    expected = re.findall(r"^ +\d+  ((?:[0-9A-F]{7} ?)+)", listing, flags=re.MULTILINE)
    seen: list[str] = []
    for layer in ("l0", "pr1", "l1", "fc"):
        text = shown(place / "silago-mohaq", "--op", layer, "--instructions", 0)
        text = text[text.index(f"Stream words of {layer}\n") :]
        seen += re.findall(r"^ +\d+  ((?:[0-9A-F]{7} ?)+)", text, flags=re.MULTILINE)
    assert [s.strip() for s in seen] == [s.strip() for s in expected]


def test_epiphany_plan_and_kernels(place: Path) -> None:
    plan = json.loads((place / "epiphany-e16/emitted/plan.json").read_text())
    text = shown(place / "epiphany-e16", "--op", "fc", "--instructions", 0)
    stage = next(s for s in plan["stages"] if s["layer"] == "fc")
    product = stage["products"][0]
    assert rows(text, "Schedule")[0][:3] == [stage["name"], product["weights"], product["kernel"]]
    source = (place / f"epiphany-e16/emitted/device/{stage['name']}.c").read_text()
    assert source in text
    assert f"SYM(mohaq_{product['kernel']}):" in text


def test_reference_operations(place: Path) -> None:
    text = shown(place / "reference", "--op", "fc", "--instructions", 0)
    assert re.search(r"= matmul %\d+ %\d+  bits=8 bound=\d+", text)
    program = json.loads((place / "reference/emitted/program.json").read_text())
    count = sum(1 + len(op.get("body", ())) for op in program["ops"])
    assert rows(shown(place / "reference"), "Instructions")[-1][1] == f"{count:,}"


def test_listings_end_with_how_many_more(place: Path) -> None:
    whole = shown(place / "bitfusion-mohaq", "--op", "fc", "--instructions", 0)
    cut = shown(place / "bitfusion-mohaq", "--op", "fc", "--instructions", 3)
    lines = whole[whole.index("Instructions of fc\n") :].splitlines()[1:]
    assert cut.splitlines()[-1] == (f"… {len(lines) - 3:,} more lines (--instructions 0 shows all)")
    assert cut.splitlines()[-4:-1] == lines[:3]


def test_a_value_and_a_parameter(place: Path) -> None:
    text = shown(place / "reference", "--stage", "2-qnn", "--op", "%1")
    assert "qnn.requantize %1, of layer 'l0'" in text
    assert ">>" in rows(text, "Rescalings")[0][1]
    assert shown(place / "reference", "--stage", "2-qnn", "--op", "1") == text
    data = calibrated().parameters["fc.weight"]
    text = shown(place / "net", "--op", "@fc.weight")
    assert row(text, "smallest, largest")[1] == f"{data.min():.6g}, {data.max():.6g}"
    assert row(text, "read by")[1] == "fc"
    assert "argument 0 of the program" in shown(place / "net", "--op", "%0")


def test_bounds_of_a_program_with_widths(place: Path) -> None:
    """An annotated program has bounds before any target."""
    text = shown(place / "reference/1-quantized", "--op", "fc")
    assert "in integers, before any target" in text
    assert rows(text, "Accumulators")[0][5] == "64"
    assert "bounds of sums follow from widths" in shown(place / "net", "--op", "fc")


def test_steps_of_rows(tmp_path: Path) -> None:
    program = calibrated()
    calibrate(program, sequences(1))
    mohaq.compile(program, "bitfusion-e", Assignment.uniform(8), tmp_path / "out")
    text = shown(tmp_path / "out/1-quantized", "--op", "fc")
    assert rows(text, "Quantization")[0][2] in {"one", "one of 3 rows"}


def test_a_run(place: Path) -> None:
    front = json.loads((place / "run/front.json").read_text())["front"]
    text = shown(place / "run")
    assert [r[0] for r in rows(text, "Front")][-len(front) :] == [p["id"] for p in front]
    assert shown(place / "run/front.json").splitlines()[1:] == text.splitlines()[1:]
    point = shown(place / "run", "--op", front[0]["id"])
    for slot, bits in front[0]["widths"].items():
        layer, _, name = slot.rpartition(".")
        held = next(r for r in rows(point, "Bits") if r[0] == layer)
        assert held[1 if name == "weight" else 2] == str(bits)
    across = rows(shown(place / "run", "--op", "fc"), "Bits of fc on the front")
    assert [r[0] for r in across] == [p["id"] for p in front]


def test_an_assignment(place: Path) -> None:
    text = shown(place / "mixed.json")
    assert row(text, "l0") == ["l0", "4", "4"]
    assert "every other slot: 8 bits" in text
    assert row(shown(place / "mixed.json", "--op", "l0"), "l0.weight")[1] == "4"


def test_two_assignments(place: Path, tmp_path: Path) -> None:
    other = Assignment({Slot("l0", "weight"): 2, Slot("l0", "input"): 4, Slot("fc", "weight"): 8})
    other.save(tmp_path / "other.json")
    text = shown(place / "mixed.json", tmp_path / "other.json")
    assert row(text, "l0") == ["l0", "4", "2", "4", "4"]
    assert row(text, "fc") == ["fc", "8", "8", "", ""]
    assert "1 of 3 widths differ" in text
    assert shown(place / "mixed.json", "--diff", tmp_path / "other.json") == text
    assert "all 2 widths are the same" in shown(place / "mixed.json", place / "mixed.json")


def test_two_compiled_folders(place: Path) -> None:
    text = shown(place / "reference", place / "narrow")
    assert rows(text, "Bits")[1] == ["pr1", "8", "4", "8", "4"]
    assert "6 of 8 widths differ" in text
    one, other = (
        json.loads((place / n / "estimate.json").read_text())["total"]["cycles"]
        for n in ("reference", "narrow")
    )
    assert rows(text, "Estimates")[-1][1:3] == [f"{one:,}", f"{other:,}"]
    assert "emitted/" not in text
    assert "program.json" in [r[0] for r in rows(text, "Emitted files that differ")]
    same = shown(place / "reference", place / "reference")
    assert "the operations are the same" in same
    assert "emitted files are the same" in same
    assert "parameters are the same" in same
    assert "Emitted files" not in shown(place / "reference", place / "silago-mohaq")


def test_two_programs(place: Path) -> None:
    text = shown(place / "reference/2-qnn", place / "narrow/2-qnn")
    left = [r[0] for r in rows(text, "Operations") if r[0] != r[1]]
    assert any(cell.startswith("qnn.matmul  pr1") for cell in left)
    assert not any(cell.startswith("qnn.slice") for cell in left)
    assert "parameters differ" in text
    by_stage = shown(place / "reference", place / "narrow", "--stage", "2-qnn")
    assert rows(by_stage, "Operations of 2-qnn") == rows(text, "Operations")
    mixed = shown(place / "mixed.json", place / "reference/1-quantized")
    assert "all 8 widths are the same" in mixed


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrower is green, wider red; text that looks like markup stays text."""
    from rich.console import Console

    from mohaq.tools.inspect import terminal
    from mohaq.tools.inspect.blocks import Cell, Table

    made = Console(width=80, force_terminal=True, color_system="standard", record=True, file=None)
    monkeypatch.setattr(terminal, "console", lambda: made)
    with made.capture() as captured:
        terminal.print_blocks(
            [
                Table(
                    "Bits",
                    ("a", "b"),
                    [(Cell("[red]4", ""), Cell("2", "less")), ("", Cell("8", "more"))],
                )
            ],
            0,
        )
    text = captured.get()
    assert "[red]4" in text
    assert "\x1b[32m2\x1b[0m" in text
    assert "\x1b[31m8\x1b[0m" in text


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{place}",), ("not a folder of mohaq", "front.json")),
        (("{place}/reference/emitted",), ("emitted part", "reference")),
        (("{place}/reference/emitted/integers.safetensors",), ("nothing that can be inspected",)),
        (("{place}/reference/manifest.json",), ("not an assignment file",)),
        (("vowls",), ("'vowels'",)),
        (("{place}/net", "--op", "lO"), ("'l0'",)),
        (("{place}/net", "--op", "@fc.wieght"), ("'@fc.weight'",)),
        (("{place}/reference", "--op", "pr2"), ("'pr1'",)),
        (("{place}/reference", "--op", "%999", "--stage", "2"), ("%999",)),
        (("{place}/mixed.json", "--op", "l0.wieght"), ("'l0.weight'",)),
        (("{place}/run", "--op", "s99x"), ("s99x",)),
        (("{place}/reference", "--stage", "4-silago"), ("4-reference",)),
        (("{place}/net", "--stage", "2"), ("--stage", "compiled folder")),
        (("{place}/run", "{place}/run"), ("assignments/s00.json",)),
        (("{place}/mixed.json", "{place}/net"), ("nothing in common",)),
        (("{place}/mixed.json", "--svg", "{out}"), ("no program",)),
        (("{place}/bitfusion-mohaq", "--stage", "4", "--svg", "{out}"), ("3-legalized",)),
        (("{place}/bitfusion-mohaq", "--stage", "4", "--netron", "{out}.onnx"), ()),
        (("{place}/net", "--svg", "{place}"), ("this is a folder",)),
        (("{place}/net", "--svg", "{place}/mixed.json/x.svg"), ("no folder",)),
        (("{place}/net", "--svg", "{out}", "--dot", "{out}"), ("the same name",)),
        (("{place}/net", "--netron", "{out}.txt"), (".onnx",)),
        (("{place}/net", "--instructions", "-1"), ("--instructions",)),
        (("{place}/net", "{place}/net", "--op", "l0"), ("exclude",)),
        (("{place}/net", "{place}/net", "--diff", "{place}/net"), ("--diff",)),
        (("{place}/net", "{place}/net", "--svg", "{out}"), ("--html",)),
        (("{place}/net", "--errors", "--bits", "4", "--svg", "{out}"), ("--svg", "--errors")),
    ],
)
def test_one_message(
    place: Path, tmp_path: Path, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    refused(inspected(*(w.format(place=place, out=out) for w in words)), *said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "file", "change", "words"),
    [
        ("bitfusion-mohaq", "emitted/program.bin", lambda b: b[:-4], ()),
        ("bitfusion-mohaq", "emitted/program.bin", lambda b: b[:-2], ()),
        ("bitfusion-mohaq", "emitted/program.bin", lambda b: b[:8] + b"\xff" * (len(b) - 8), ()),
        ("bitfusion-mohaq", "emitted/report.json", lambda _: b'{\n  "blocks": [\n    3\n  ]\n}', ("--op", "fc")),
        ("bitfusion-mohaq", "emitted/manifest.json", lambda _: b"[]", ()),
        ("silago-mohaq", "emitted/manifest.json", lambda b: b[: len(b) // 2], ()),
        ("silago-mohaq", "emitted/manifest.json", lambda b: b.replace(b'"op"', b'"po"'), ()),
        ("silago-mohaq", "emitted/manifest.json", lambda b: b.replace(b'"2c22000"', b'"f"'), ("--op", "l0")),
        ("epiphany-e16", "emitted/plan.json", lambda b: b.replace(b'"kernel"', b'"k"'), ()),
        ("epiphany-e16", "emitted/plan.json", lambda b: b.replace(b'"layer_0', b'"/../0'), ("--op", "fc")),
        ("reference", "emitted/program.json", lambda b: b.replace(b'"in"', b'"ni"'), ()),
        ("reference", "estimate.json", lambda b: b.replace(b'"cycles": ', b'"cycles": "x", "y": '), ()),
        ("reference", "manifest.json", lambda b: b.replace(b'"1-quantized"', b'"1"'), ()),
        ("reference", "2-qnn/program.mlir", lambda b: b[: len(b) // 2], ()),
    ],
)  # fmt: skip
def test_damaged_files(
    place: Path, tmp_path: Path, target: str, file: str, change: Callable[[bytes], bytes], words: tuple[str, ...],
) -> None:  # fmt: skip
    shutil.copytree(place / target, tmp_path / "c")
    path = tmp_path / "c" / file
    held = change(path.read_bytes())
    assert held != path.read_bytes()
    path.write_bytes(held)
    refused(inspected(tmp_path / "c", *words))


@pytest.mark.parametrize("file", ["emitted/program.bin", "estimate.json", "2-qnn/program.mlir"])
def test_missing_files(place: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(place / "bitfusion-mohaq", tmp_path / "c")
    (tmp_path / "c" / file).unlink()
    refused(inspected(tmp_path / "c"), Path(file).name)
