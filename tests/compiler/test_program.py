"""Programs on disk: hashes, damaged files, folders that are not ours, names that bite."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import calibrated, speech_like

from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.files import replacing_folder, safe_name, write_text
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import MODULE_FILE, PARAMETER_FILE, Program


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    calibrated().save(tmp_path / "p")
    return tmp_path / "p"


def test_a_saved_program_is_the_same(folder: Path) -> None:
    again = Program.load(folder)
    again.save(folder.parent / "q")
    for name in (MODULE_FILE, PARAMETER_FILE):
        assert (folder / name).read_bytes() == (folder.parent / "q" / name).read_bytes()
    assert again.content_hash() == calibrated().content_hash()


def test_the_hash_sees_every_weight() -> None:
    one, two = speech_like(0), speech_like(0)
    assert one.content_hash() == two.content_hash()
    changed = two.parameters["fc.bias"].copy()
    changed[0] = np.nextafter(changed[0], np.float32(9))
    two.parameters["fc.bias"] = changed
    assert one.content_hash() != two.content_hash()


def test_stored_arrays_cannot_be_changed_behind_the_hash() -> None:
    source = np.zeros(3, dtype=np.float32)
    store = ParameterStore({"a": source})
    source[0] = 1
    assert store["a"][0] == 0
    with pytest.raises(ValueError, match="read-only"):
        store["a"][0] = 1


def test_changed_data_are_noticed(folder: Path) -> None:
    store = ParameterStore.load(folder / PARAMETER_FILE)
    store["fc.bias"] = store["fc.bias"] + np.float32(1)
    store.save(folder / PARAMETER_FILE)
    with pytest.raises(MohaqError, match="not what this program was saved with"):
        Program.load(folder)


@pytest.mark.parametrize("keep", [0, 4, 100])
def test_truncated_parameters(folder: Path, keep: int) -> None:
    data = (folder / PARAMETER_FILE).read_bytes()
    (folder / PARAMETER_FILE).write_bytes(data[:keep])
    with pytest.raises(MohaqError, match="cannot read this parameter file"):
        Program.load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot parse"),
        ("param.declare @x : tensor<2xf32>", "has no function"),
        ("func.func @main(%x: tensor<?x?x2xf32>", "cannot parse"),
        ('"nn.nothing"() : () -> ()', "cannot parse"),
        ("func.func @main() attributes {a = #quant.grid<99, 1.0>} { func.return }", "2..16 bits"),
        ("func.func @main() attributes {a = #quant.grid<8, -1.0>} { func.return }", "positive"),
        ("func.func @main() attributes {a = #quant.clips<8>} { func.return }", "cannot parse"),
        ("\x00\x01", "cannot parse"),
        ("param.declare @a : tensor<2xf32> func.func @main() { func.return }", "has no data"),
    ],
)
def test_damaged_text(folder: Path, text: str, message: str) -> None:
    (folder / MODULE_FILE).write_text(text)
    with pytest.raises(MohaqError, match=message):
        _ = Program.load(folder).entry


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no program here"):
        Program.load(tmp_path)
    with pytest.raises(MohaqError, match="no such parameter file"):
        ParameterStore.load(tmp_path / "none.safetensors")


def test_two_layers_of_one_name_are_refused() -> None:
    program = speech_like()
    for op in program.layers():
        op.attributes["op_name"] = next(program.layers()).op_name
    with pytest.raises(MohaqError, match="two layers are called 'l0'"):
        program.verify()


# --- files -------------------------------------------------------------------------------


def test_a_failing_writer_leaves_the_old_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with replacing_folder(out, marker="m") as work:
        write_text(work / "m", "one")
    with pytest.raises(NotADirectoryError), replacing_folder(out, marker="m") as work:  # noqa: PT012
        write_text(work / "m", "two")
        (work / "m" / "deeper").touch()
    assert (out / "m").read_text() == "one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(MohaqError, match="not written by mohaq"),
        replacing_folder(tmp_path, marker="m"),
    ):
        pytest.fail("the body must not run")
    assert (tmp_path / "thesis.tex").exists()
    (tmp_path / "file").touch()
    with (
        pytest.raises(MohaqError, match="this is a file"),
        replacing_folder(tmp_path / "file", marker="m"),
    ):
        pytest.fail("the body must not run")


def test_files_get_the_usual_mode(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
        with replacing_folder(tmp_path / "f", marker="m"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o755


@given(st.text())
def test_safe_names_are_identifiers(name: str) -> None:
    made = safe_name(name)
    assert made.isascii()
    assert made.isidentifier()
    assert 1 <= len(made) <= 64


# --- assignments --------------------------------------------------------------------------


widths = st.integers(2, 16)


@given(
    st.dictionaries(
        st.builds(Slot, st.text(min_size=1), st.sampled_from(["weight", "input"])), widths
    ),
    st.none() | widths,
)
def test_assignments_survive_their_file(given_widths: dict[Slot, int], default: int | None) -> None:
    assignment = Assignment(given_widths, default)
    assert Assignment.from_json(assignment.to_json(), "test") == assignment


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "not an assignment file"),
        ({"schema": "mohaq.assignment/9"}, "not an assignment file"),
        ({"schema": "mohaq.assignment/1", "slots": {"l0": 8}}, "must map layers"),
        ({"schema": "mohaq.assignment/1", "slots": {"l0": {"weight": 1}}}, "whole number of 2..16"),
        ({"schema": "mohaq.assignment/1", "slots": {"l0": {"weight": 8.0}}}, "whole number"),
        ({"schema": "mohaq.assignment/1", "default": True}, "whole number"),
        ({"schema": "mohaq.assignment/1", "bits": 8}, "unknown key 'bits'"),
    ],
)
def test_bad_assignments(data: object, message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        Assignment.from_json(data, "f.json")


def test_assignment_must_fit_the_program(tmp_path: Path) -> None:
    slots = [Slot("l0", "weight"), Slot("l0", "input")]
    with pytest.raises(MohaqError, match=r"no slot 'l0\.wieght'") as error:
        Assignment({Slot("l0", "wieght"): 8}, 8).complete(slots)
    assert "l0.weight" in str(error.value)
    with pytest.raises(MohaqError, match=r"gives no width for 'l0\.input'"):
        Assignment({Slot("l0", "weight"): 8}).complete(slots)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(MohaqError, match="is not JSON"):
        Assignment.load(tmp_path / "a.json")


def test_suggestions() -> None:
    assert did_you_mean("calibrat", ["calibrate", "uniform"]) == "did you mean 'calibrate'?"
    assert did_you_mean("zzz", ["b", "a", "b"]) == "known: a, b"  # each name once
