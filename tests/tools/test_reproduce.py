"""The paper's experiments: its counts, our figures for its claims, TIMIT from beginning to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import calibrated, one_cell
from searches import labelled
from timit_tree import make_tree
from typer.testing import CliRunner

from mohaq.backends.base import Target, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.layers import LayerTable, layer_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.front import Point
from mohaq.compiler.search.objectives import Priced, find_objective, objective_names
from mohaq.compiler.search.search import search
from mohaq.compiler.search.settings import Constraints
from mohaq.tools.bench.silago import paper_table
from mohaq.tools.cli import app
from mohaq.tools.reproduce.experiments import EXPERIMENTS, MIB, PAPER_SIXTEEN
from mohaq.tools.reproduce.figures import (
    beacon_figures,
    share_figures,
    size_figures,
    speed_figures,
    won_by_beacons,
)


def priced(table: LayerTable, target: str, bits: int) -> Priced:
    machine: Target = find_target(target)[1]
    widths = {Slot(x.name, s): np.array([bits]) for x in table for s in ("weight", "input")}
    return Priced(widths, {"size": np.ones(1)}, {}, table, machine, Workload(1))


def value(name: str, target: str, bits: int) -> float:
    return float(find_objective(name).price(priced(paper_table(), target, bits))[0])


@pytest.mark.parametrize(
    ("bits", "mebibytes", "speedup", "microjoules"),
    [(16, 10.60, 0.984, 16.36), (8, 5.31, 1.969, 6.57), (4, 2.66, 3.938, 2.64)],
)
def test_the_papers_counts(bits: int, mebibytes: float, speedup: float, microjoules: float) -> None:
    """What the published search code gives for its four-layer SRU."""
    target = "silago-mohaq"
    assert round(value("paper_size", target, bits) / MIB, 2) == mebibytes
    assert round(value("paper_speedup", target, bits), 3) == speedup
    assert round(value("paper_energy", target, bits) * 1e6, 2) == microjoules


def test_the_papers_divisor_and_sizes() -> None:
    assert value("paper_size", "bitfusion-mohaq", 16) == PAPER_SIXTEEN
    assert value("paper_speedup", "bitfusion-mohaq", 2) == 64 * 5_549_500 / 5_637_500
    assert round(value("paper_size", "bitfusion-mohaq", 2) / MIB, 2) == 1.34
    limits = {n: e.limit for n, e in EXPERIMENTS.items()}
    assert limits["silago"] == pytest.approx(6 * MIB / PAPER_SIXTEEN)
    assert limits["beacon"] == limits["bitfusion"] == pytest.approx(2 * MIB / PAPER_SIXTEEN)
    assert limits["size"] is None


def test_what_the_paper_did_not_count() -> None:
    with pytest.raises(MohaqError, match="no energies for targets of 'bitfusion'"):
        value("paper_energy", "bitfusion-mohaq", 8)
    with pytest.raises(MohaqError, match="no speed-up for targets of 'reference'"):
        value("paper_speedup", "reference", 8)
    table = layer_table(one_cell("lstm"))
    with pytest.raises(MohaqError, match="knows SRU and linear layers"):
        find_objective("paper_size").price(priced(table, "silago-mohaq", 8))
    assert {"paper_size", "paper_speedup", "paper_energy"} <= set(objective_names())


def test_a_limit_on_an_objective_that_is_not_searched(tmp_path: Path) -> None:
    program = calibrated(7)
    data = labelled(program)
    facts: dict[str, Any] = {"generations": 2, "population": 8, "offspring": 4}
    found = search(
        program, target="reference", data=data, out=tmp_path, objectives=("error", "energy"),
        constraints=Constraints(more=(("paper_size", 300.0),)), **facts,
    )  # fmt: skip
    sizes = [p.objectives["paper_size"] for p in found.evaluated]
    assert min(sizes) <= 300 < max(sizes)
    for point in found.evaluated:
        assert point.feasible == (point.objectives["paper_size"] <= 300)
        assert ("error" in point.objectives) == point.feasible
    with pytest.raises(MohaqError, match="no largest 'speedup'"):
        Constraints(more=(("speedup", 2.0),))
    with pytest.raises(MohaqError, match="no objective 'sizes'"):
        Constraints(more=(("sizes", 2.0),))


def point(number: int, **objectives: float) -> Point:
    return Point((number,), {}, objectives, 0.0, 1)


def test_figures_of_compression() -> None:
    front = [point(0, error=0.101, size=20.0), point(1, error=0.112, size=10.0),
             point(2, error=0.2, size=8.0)]  # fmt: skip
    eight, twelve = size_figures(front, 0.1, "size", 100.0)
    assert eight.text == "+1.2 points at 8x; within +0.5: 5.0x"
    assert eight.point is front[0]
    assert twelve.text == "+10.0 points at 12x; within +1.5: 10.0x"
    assert size_figures(front[:1], 0.05, "size", 100.0)[0].text == "not reached; within +0.5: none"


def test_figures_of_shares() -> None:
    front = [point(0, error=0.1, speedup=2.0, energy=6.0), point(1, error=0.11, speedup=3.0, energy=3.0)]  # fmt: skip
    widest, narrowest = {"energy": 10.0, "speedup": 1.0}, {"energy": 2.0, "speedup": 4.0}
    speed, energy = share_figures(front, 0.1, "speedup", "energy", widest, narrowest)
    assert speed.text == "50 % within +0.5; 75 % within +1.5"
    assert energy.text == "50 % within +0.5; 88 % within +1.5"
    assert speed.point is front[0]
    assert [f.text for f in speed_figures(front, 0.1, "speedup")] == [
        "within +0.5: 2.0x, +0.0 points", "within +1.5: 3.0x, +1.0 points",
        "largest of all: 3.0x, +1.0 points",
    ]  # fmt: skip


def test_figures_of_beacons() -> None:
    plain = [point(0, error=0.1, speedup=10.0), point(1, error=0.2, speedup=20.0)]
    better = [plain[0], replace(point(1, error=0.15, speedup=21.0), beacon="b"),
              point(2, error=0.3, speedup=30.0)]  # fmt: skip
    won, a, b = won_by_beacons(plain, better, "speedup")
    assert won == pytest.approx(0.05)
    assert a is plain[1]
    assert b is better[1]
    (figure,) = beacon_figures(plain, better, "speedup")
    assert figure.text == "up to 5.0 points at 20.0x; largest speed-up 20.0x without, 30.0x with"
    (none,) = beacon_figures(plain, plain, "speedup")
    assert none.text.startswith("nothing won")


def invoke(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["reproduce", *args])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("sizes",), "no experiment 'sizes'"),
        (("size", "--accounting", "ours"), "no accounting 'ours'"),
        (("size", "--network", "paper"), "go with --timit only"),
        (("size", "--network", "huge", "--timit", "x"), "unknown model 'huge'"),
        (("size", "--timit", "x", "--corpus", "y"), "exclude each other"),
        (("size", "--timit", "/nowhere at all"), "no such folder"),
        (("size", "--engine", "spark"), "no engine 'spark'"),
        (("size", "--timeout", "0"), "a time limit is positive"),
        (("size", "--memory", "lots"), "--memory takes a size, got 'lots'"),
    ],
)
def test_bad_arguments(args: tuple[str, ...], message: str, tmp_path: Path) -> None:
    code, output = invoke(*args, "-o", str(tmp_path))
    assert code == 2
    assert message in output


@pytest.mark.slow
def test_timit_from_beginning_to_end(tmp_path: Path) -> None:
    """On a tiny tree: read, train, search, measure; again without any work; else refused."""
    make_tree(tmp_path / "tree")
    out = tmp_path / "out"
    args = ("silago", "--timit", str(tmp_path / "tree"), "-o", str(out), "--train-epochs", "1",
            "-g", "1", "-m", "timit-fer")  # fmt: skip
    code, output = invoke(*args)
    assert code == 0, output
    assert "the validation split has 6 utterances, TIMIT's has 400" in output
    assert "arXiv v1" in output
    assert "64 % at +0.5 points" in output
    held = json.loads((out / "silago-paper" / "reproduction.json").read_text())
    assert held["task"].startswith("TIMIT, Bi-SRU of the size 'default', 6 training")
    assert held["metric"] == "timit-fer"
    assert {"timit-per", "timit-fer"} == set(held["test"][0]["errors"])
    assert len(held["figures"]) == len(held["claims"]) == 2
    found = json.loads((out / "silago-paper" / "front.json").read_text())
    assert [o["name"] for o in found["objectives"]] == ["error", "paper_speedup", "paper_energy"]
    assert len(found["genes"]) == 8
    text = (out / "silago-paper" / "front.json").read_bytes()
    code, output = invoke(*args)
    assert code == 0, output
    assert "train the network" not in output
    assert (out / "silago-paper" / "front.json").read_bytes() == text
    code, output = invoke(*args[:-6], "--train-epochs", "2")
    assert code == 2
    assert "epochs was 1, now 2" in output


@pytest.mark.slow
def test_the_beacon_experiment(tmp_path: Path) -> None:
    """On the default corpus, in the true accounting."""
    code, output = invoke(
        "beacon", "--quick", "-g", "3", "-n", "8", "--accounting", "true", "-o", str(tmp_path)
    )
    assert code == 0, output
    assert "4 points, and a higher speed-up" in output
    held = json.loads((tmp_path / "beacon-true" / "reproduction.json").read_text())
    assert held["accounting"] == "true"
