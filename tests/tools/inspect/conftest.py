"""Folders that `mohaq inspect` is tried on."""

from __future__ import annotations

from pathlib import Path

import pytest
from inspected import TARGETS
from programs import calibrated
from searches import labelled

import mohaq
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.search.search import search


@pytest.fixture(scope="session")
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
