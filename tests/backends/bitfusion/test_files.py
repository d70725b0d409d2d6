"""Target files, options, emitted folders: what is wrong is refused, what is written is stable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mohaq.backends.base import Options, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.machine import FOLDER, load_target
from mohaq.backends.registry import find_target
from mohaq.compiler.diagnostics import MohaqError

from .programs import Built, Spec, build, check_run, qnn_program, random_inputs

TARGET = load_target("bitfusion-e")
GOLDEN = Path(__file__).parents[2] / "data" / "bitfusion" / "listing.bfasm"


def small(folder: Path) -> Built:
    return build(qnn_program(4, [Spec("sru", 3, 4, 16)], 0), TARGET, folder)


@pytest.mark.parametrize("name", BACKEND.targets())
def test_every_target_runs(name: str, tmp_path: Path) -> None:
    backend, target = find_target(name)
    assert backend is BACKEND
    program = qnn_program(9, [Spec("sru", 5, 4, 8, "bidirectional")], 0)
    built = build(program, target, tmp_path)
    check_run(built, target, random_inputs(program, 9, 2, 0), Workload(9, 2))


def test_every_constant_says_where_it_comes_from() -> None:
    for name in BACKEND.targets():
        for constant in BACKEND.load_target(name).constants.values():
            assert constant.mark in {"verified", "remembered", "assumed"}
            assert constant.source
            assert constant.unit


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('backend = "bitfusion"', 'backend = "x"', "not a Bit Fusion target"),
        ('name = "bitfusion-e"', "name = 3", "must be texts"),
        ("value = 16\n", 'value = "16"\n', "must be a number"),
        ("value = 16\n", "value = 16.5\n", "must be whole"),
        ("value = 16\n", "value = 0\n", "must be positive"),
        ("value = 8\n", "value = 16\n", "'unit_bits' must be 8"),
        ('mark = "verified"', 'mark = "sure"', "mark of 'array_rows' must be one of"),
        ("[constants.array_rows]", "[constants.array_row]", "unknown constant 'array_row'"),
        ("[constants.clock]", "[constants.", "cannot read this target file"),
        ('unit = "unit"\n', "", "exactly value, unit, source and mark"),
    ],
)
def test_malformed_targets_are_refused(old: str, new: str, what: str, tmp_path: Path) -> None:
    text = (FOLDER / "bitfusion-e.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(MohaqError, match=what):
        BACKEND.load_target(str(path))


def test_a_users_target_works_like_a_shipped_one(tmp_path: Path) -> None:
    text = (FOLDER / "bitfusion-e.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("value = 32\n", "value = 64\n", 1))
    assert find_target(str(path))[1].whole("array_columns") == 64


def test_unknown_targets_and_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no Bit Fusion target 'bitfusion-x'"):
        BACKEND.load_target("bitfusion-x")
    built = small(tmp_path)
    for options in (Options(timing="compat"), Options(numerics="paper"), Options(prefer="x")):  # type: ignore[arg-type]
        with pytest.raises(MohaqError, match="does not know"):
            BACKEND.lower(built.legal, TARGET, options)
        with pytest.raises(MohaqError, match="does not know"):
            BACKEND.estimate(built.lowered, TARGET, Workload(1), options)
        with pytest.raises(MohaqError, match="does not know"):
            BACKEND.simulate(tmp_path, [np.zeros((1, 1, 4), dtype=np.int64)], options)


def test_emission_is_deterministic_and_runs_alone(tmp_path: Path) -> None:
    built = small(tmp_path / "a")
    small(tmp_path / "b")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    code = ["manifest.json", "memory.bin", "program.bfasm", "program.bin"]
    assert names == sorted([*code, "report.json", "roofline.svg", "timeline.json"])
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert str(tmp_path).encode() not in (tmp_path / "a" / name).read_bytes()
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    (tmp_path / "c" / "program.bfasm").unlink()
    inputs = random_inputs(built.legal, 5, 1, 0)
    one, two = (BACKEND.simulate(tmp_path / f, inputs, Options()) for f in "ac")
    np.testing.assert_array_equal(one.outputs[0], two.outputs[0])
    assert one.measured == two.measured


def test_the_listing_is_the_agreed_one(tmp_path: Path) -> None:
    small(tmp_path)
    assert (tmp_path / "program.bfasm").read_text() == GOLDEN.read_text()


@pytest.mark.parametrize("name", ["program.bin", "memory.bin", "manifest.json"])
@pytest.mark.parametrize("how", ["missing", "short", "flipped", "empty"])
def test_damaged_files_are_refused(name: str, how: str, tmp_path: Path) -> None:
    built = small(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        middle = len(data) // 2
        changed = bytes([data[middle] ^ 0x80])
        flipped = data[:middle] + changed + data[middle + 1 :]
        path.write_bytes({"short": data[:-3], "flipped": flipped, "empty": b""}[how])
    with pytest.raises(MohaqError):
        BACKEND.simulate(tmp_path, random_inputs(built.legal, 5, 1, 0), Options())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "other"),
        ("max_rows", 10),
        ("max_rows", True),
        ("layers", []),
        ("layers", ["l0", "l0"]),
        ("regions", []),
        ("inputs", [{}]),
        ("constants", {}),
        ("program", {"file": "../x", "bytes": 1, "sha256": ""}),
    ],
)
def test_wrong_manifests_are_refused(key: str, value: Any, tmp_path: Path) -> None:
    built = small(tmp_path)
    path = tmp_path / "manifest.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, key: value}))
    with pytest.raises(MohaqError):
        BACKEND.simulate(tmp_path, random_inputs(built.legal, 5, 1, 0), Options())


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    small(tmp_path)
    good = np.zeros((3, 1, 4), dtype=np.int64)
    bad: list[list[Any]] = [
        [],
        [good, good],
        [good.astype(float)],
        [good[..., :3]],
        [good[:0]],
        [good + 32768],
        [np.zeros((4097, 1, 4), dtype=np.int64)],
    ]
    for inputs in bad:
        with pytest.raises(MohaqError):
            BACKEND.simulate(tmp_path, inputs, Options())


def test_names_from_a_model_are_made_safe(tmp_path: Path) -> None:
    program = qnn_program(4, [Spec("fc", 3, 8, 8)], 0)
    text = program.text().replace("@l0.bias.q", '@"../<b>;l0.bias.q"')
    arrays = {
        n.replace("l0.bias.q", "../<b>;l0.bias.q"): program.parameters[n]
        for n in program.parameters
    }
    from .programs import from_text

    built = build(from_text(text, **arrays), TARGET, tmp_path)
    for name in ("program.bfasm", "manifest.json"):
        assert "<b>" not in (tmp_path / name).read_text()
    check_run(built, TARGET, random_inputs(program, 3, 1, 0), Workload(3))
