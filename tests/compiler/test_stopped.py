"""Stopping after a stage and going on gives the bytes of one run."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from programs import sequences, sru, tensor
from restarts import contents, legal, small

import mohaq
from mohaq.backends.base import Options, Workload
from mohaq.backends.registry import usable_backends
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.driver import (
    CompiledFolder,
    find_start,
    finish,
    reopen,
    stage_named,
    stages,
    start,
    stop,
)
from mohaq.compiler.driver.figures import estimate_json
from mohaq.compiler.files import dump_json
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.tools.opt import main as opt
from mohaq.tools.pipelines import full_context

TARGETS = {
    target: backend.name
    for backend in usable_backends()[0].values()
    for target in backend.targets()
}
MIDDLE = ("quantize", "lower-to-qnn", "legalize", "lower")


@cache
def program() -> Program:
    return small()


@pytest.mark.parametrize("target", TARGETS)
def test_every_stage_of_every_target(tmp_path: Path, target: str) -> None:
    whole = tmp_path / "whole"
    mohaq.compile(program(), target, legal(target), whole, name="net")
    expected = contents(whole)
    work = start(program(), target, legal(target), name="net")
    before: Path | None = None
    for name in MIDDLE:
        stage = stage_named(name, TARGETS[target])
        folder = tmp_path / name
        stop(work, folder, stage)
        one = Program.load(folder / stage.folder, full_context())  # prints, parses and verifies
        assert one.text() == (folder / stage.folder / "program.mlir").read_text()
        if before is not None:  # from one stop to the next; so from any to the end
            stop(reopen(find_start(before)), tmp_path / "again", stage)
            assert contents(tmp_path / "again") == contents(folder)
        before = folder
    assert before is not None
    finish(reopen(find_start(before)), tmp_path / "out")
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("folder", ["", "0-nn", "1-quantized", "2-qnn", "3-legalized"])
def test_a_compiled_folder_starts_too(tmp_path: Path, folder: str) -> None:
    mohaq.compile(program(), "reference", legal("reference"), tmp_path / "whole", name="net")
    finish(reopen(find_start(tmp_path / "whole" / folder)), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def hosted() -> Program:
    """The host runs a function before and after the target; a state goes straight to it."""
    rng = np.random.default_rng(3)
    net = Network()
    x, state = net.sequence(4), net.state(1, 5)
    h, end = sru(
        net, rng, "l0", net.add(nn.UnaryOp("exp", x)), 4, 5, direction="forward",
        initial_state=state,
    )  # fmt: skip
    y = net.add(nn.SoftmaxOp(net.linear("fc", h, tensor(rng, 3, 5))))
    made = net.finish([y, end])
    mohaq.calibrate(made, sequences(2, features=4))
    return made


def test_parts_on_the_host_stay_where_they_are(tmp_path: Path) -> None:
    made = hosted()
    mohaq.compile(made, "reference", Assignment.uniform(4), tmp_path / "whole")
    assert (tmp_path / "whole/host-before").is_dir()
    assert (tmp_path / "whole/host-after").is_dir()
    stop(start(made, "reference", Assignment.uniform(4)), tmp_path / "s", stage_named("2-qnn"))
    finish(reopen(find_start(tmp_path / "s")), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    shutil.rmtree(tmp_path / "s/host-before")
    with pytest.raises(MohaqError, match="no program here"):
        reopen(find_start(tmp_path / "s"))


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    stop(start(program(), "reference", legal("reference")), tmp_path / "s", stage_named("2-qnn"))
    return tmp_path / "s"


def test_the_folder_stays_for_what_it_was_made_for(stopped: Path, tmp_path: Path) -> None:
    held = find_start(stopped)
    for target in ("reference", str(stopped / "target.toml")):
        reopen(held, target=target, assignment=legal("reference"))
    with pytest.raises(MohaqError, match="for target 'reference', not for 'bitfusion-e'"):
        reopen(held, target="bitfusion-e")
    text = (stopped / "target.toml").read_text()
    (tmp_path / "mine.toml").write_text(re.sub(r"value = \d", "value = 3", text, count=1))
    with pytest.raises(MohaqError, match="with other constants"):
        reopen(held, target=str(tmp_path / "mine.toml"))
    other = Assignment({Slot("fc", "weight"): 4, Slot("fc", "input"): 4}, 8)
    with pytest.raises(MohaqError, match=r"has 8 bits for 'fc.(weight|input)', the assignment 4"):
        reopen(held, assignment=other)
    with pytest.raises(MohaqError, match="no slot 'gone"):
        reopen(held, assignment=Assignment({Slot("gone", "weight"): 8}, 8))
    # From the program both may change.
    program_of = find_start(stopped / "0-nn")
    work = reopen(program_of, target="bitfusion-e", assignment=Assignment.uniform(4))
    assert (work.machine.name, set(work.widths.values())) == ("bitfusion-e", {4})


def test_what_does_not_depend_on_the_stage_may_change(stopped: Path, tmp_path: Path) -> None:
    work = reopen(find_start(stopped), workload=Workload(7), options=Options(prefer="energy"))
    made = finish(work, tmp_path / "out")
    assert made.estimate.workload.frames == 7
    whole = mohaq.compile(
        program(), "reference", legal("reference"), tmp_path / "whole",
        workload=Workload(7), options=Options(prefer="energy"),
    )  # fmt: skip
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert dump_json(estimate_json(whole.estimate)) == dump_json(estimate_json(made.estimate))
    with pytest.raises(MohaqError, match="scheduled for energy, not for latency"):
        reopen(find_start(tmp_path / "out"), options=Options(prefer="latency"))


def test_an_edited_stage_counts(stopped: Path, tmp_path: Path) -> None:
    finish(reopen(find_start(stopped)), tmp_path / "before")
    folder = str(stopped / "2-qnn")
    assert opt([folder, "-p", "simplify-integers,cse", "-o", folder]) == 0
    text = Program.load(stopped / "2-qnn").text()
    finish(reopen(find_start(stopped)), tmp_path / "out")
    assert (tmp_path / "out/2-qnn/program.mlir").read_text().count("\n") == text.count("\n")
    data = sequences(4, features=4)
    for sequence in data:
        assert CompiledFolder(tmp_path / "out").run(sequence, check=True).equal


def test_stopping_behind_the_start_is_refused(stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="beyond stage 'quantize'"):
        stop(reopen(find_start(stopped)), tmp_path / "out", stage_named("quantize"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"schema": "mine"}, "not a stopped or compiled folder"),
        ({"stages": ["0-nn", "2-qnn"]}, "manifest is damaged"),
        ({"stages": []}, "manifest is damaged"),
        ({"options": {"colour": "red"}}, "manifest is damaged"),
        ({"workload": {"frames": 0}}, "at least one frame"),
        ({"model": None}, "manifest is damaged"),
        ({"backend": "gone"}, "gone"),
    ],
)
def test_damaged_folders(stopped: Path, damage: dict[str, object], message: str) -> None:
    data = json.loads((stopped / "stopped.json").read_text())
    (stopped / "stopped.json").write_text(json.dumps({**data, **damage}))
    with pytest.raises(MohaqError, match=message):
        reopen(find_start(stopped))


def test_nothing_to_start_from(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="nothing to start from"):
        find_start(tmp_path)


def test_names_of_stages() -> None:
    for backend in set(TARGETS.values()):
        for stage in stages(backend):
            for name in stage.known_as():
                assert stage_named(name, backend).folder == stage.folder
    assert stage_named("0-nn").name == "calibrate"
    with pytest.raises(MohaqError, match="did you mean 'legalize'"):
        stage_named("legalise", "reference")
