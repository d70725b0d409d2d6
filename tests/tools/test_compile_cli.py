"""`mohaq compile`: stopping, going on, and what it takes from the cache and what not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from programs import sequences
from restarts import FEATURES, contents, save_data, small
from typer.testing import Result

from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.data import Dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program
from mohaq.tools import compiling, reuse, sources
from mohaq.tools.reuse import data_contents, model_contents, sha256_of
from mohaq.tools.sources import model_name

Cli = Callable[..., Result]
TO = ("-t", "reference", "--bits", 8)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A calibrated program folder."""
    small().save(tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """One that needs data."""
    small(calibrated=False).save(tmp_path / "bare")
    return tmp_path / "bare"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return save_data(tmp_path / "data.npz")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOHAQ_CACHE", str(tmp_path / "the-cache"))
    return tmp_path / "the-cache"


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


MADE, REUSED = "made the compiled folder", "reused the compiled folder"


def test_stops_and_goes_on_by_any_name(cli: Cli, bare: Path, data: Path, tmp_path: Path) -> None:
    ok(cli("compile", bare, "-d", data, *TO, "-o", "whole", "--no-cache"))
    expected = contents(tmp_path / "whole")
    steps: list[tuple[str, tuple[object, ...]]] = [
        ("import", ()),
        ("calibrate", ("-d", data, "--bits", 8)),
        ("uniform", TO),
        ("lower-to-qnn", ()),
        ("legalize-for-reference", ()),
        ("4-reference", ()),
    ]
    before: tuple[object, ...] = (bare,)
    for number, (stage, given) in enumerate(steps):
        folder = f"s{number}"
        said = ok(cli("compile", *before, *given, "--stop-after", stage, "-o", folder))
        assert f"wrote {folder}, after stage" in said
        before = ("--start-from", folder)
        rest = [word for _, words in steps[number + 1 :] for word in words]
        ok(cli("compile", *before, *dict.fromkeys(rest), "-o", "out"))
        assert contents(tmp_path / "out") == expected


def test_programs_of_the_first_stages_go_anywhere(cli: Cli, bare: Path, data: Path) -> None:
    ok(cli("compile", bare, "--stop-after", "import", "-o", "imported"))
    ok(cli("compile", "imported", "-d", data, "--stop-after", "calibrate", "-o", "ready"))
    assert "calibrated" in ok(cli("inspect", "ready"))
    ok(cli("compile", "ready", *TO, "-o", "out"))
    ok(cli("export-onnx", "ready", "-o", "out.onnx"))


def test_what_does_not_fit_the_start_is_refused(cli: Cli, net: Path, data: Path) -> None:
    ok(cli("compile", net, *TO, "--stop-after", "2-qnn", "-o", "s"))
    go_on = ("compile", "--start-from", "s", "-o", "out")
    refused(cli(*go_on, "-t", "bitfusion-e"), "'reference', not for 'bitfusion-e'")
    refused(cli(*go_on, "--bits", 4), "8 bits for 'l0.", "assignment 4")
    refused(cli(*go_on, "-d", data), "calibrated and quantized already")
    refused(cli(*go_on, "--stop-after", "quantize"), "beyond")
    refused(cli("run", "s", "-d", data), "stopped before", "--start-from s")
    refused(cli("compile", "--start-from", "gone", "-o", "out"), "nothing to start from")
    refused(cli("compile", "-o", "out", *TO), "model or --start-from")
    refused(cli("compile", net, "--start-from", "s", "-o", "out"), "model or --start-from")
    refused(cli("compile", net, "-t", "reference", "-o", "out"), "--bits")
    refused(cli("compile", net, "--bits", 8, "-o", "out"), "--target")
    refused(cli("compile", "speech", *TO, "--frames", 0, "-o", "out"), "one frame")
    refused(cli("compile", "speech", *TO, "--prefer", "power", "-o", "out"), "'power'")
    refused(cli("compile", net, "-d", data, "--stop-after", "import", "-o", "out"), "no data")
    refused(cli("compile", net, *TO, "--stop-after", "legalise", "-o", "out"), "'legalize'")
    refused(cli("compile", net, *TO, "--stop-after", "legalize-for-silago", "-o", "out"), "stage")
    assert not Path("out").exists()


def test_an_unchanged_rebuild_comes_from_the_cache(
    cli: Cli, bare: Path, data: Path, tmp_path: Path
) -> None:
    words = ("compile", bare, "-d", data, *TO, "-o")
    assert "made the calibrated program and the compiled folder" in ok(cli(*words, "a"))
    said = ok(cli(*words, "b"))
    assert "reused the calibrated program and the compiled folder" in said
    for step in ("calibrate", "lower to", "emit"):
        assert f"  {step}" not in said
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    ok(cli(*words, "c", "--no-cache"))
    assert contents(tmp_path / "a") == contents(tmp_path / "c")
    # Calibration is the same for another width.
    words = ("compile", bare, "-d", data, "-t", "reference", "--bits", 4, "-o")
    assert "reused the calibrated program; made the compiled folder" in ok(cli(*words, "d"))
    ok(cli(*words, "e", "--no-cache"))
    assert contents(tmp_path / "d") == contents(tmp_path / "e")


def test_no_cache_leaves_none(cli: Cli, net: Path, cache: Path) -> None:
    said = ok(cli("compile", net, *TO, "-o", "a", "--no-cache"))
    assert "cache:" not in said
    assert not cache.exists()


@pytest.mark.parametrize(
    "given",
    [
        ("--bits", 4),
        ("--frames", 50),
        ("--prefer", "energy"),
        ("-a", "mixed.json"),
        ("-t", "bitfusion-e"),
        ("-t", "mine.toml"),
    ],
    ids=lambda given: str(given[-1]),
)
def test_whatever_is_asked_for_differently_is_made_anew(
    cli: Cli, net: Path, tmp_path: Path, given: tuple[object, ...]
) -> None:
    ok(cli("compile", net, *TO, "-o", "a"))
    Assignment({Slot("fc", s): 4 for s in ("weight", "input")}, 8).save(tmp_path / "mixed.json")
    text = (tmp_path / "a/target.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("value = 1.0e8", "value = 2.0e8"))
    words: dict[object, object] = {"-t": "reference"}
    if given[0] != "-a":
        words["--bits"] = 8
    words[given[0]] = given[1]
    flat = [one for pair in words.items() for one in pair]
    assert MADE in ok(cli("compile", net, *flat, "-o", "b"))
    ok(cli("compile", net, *flat, "-o", "c", "--no-cache"))
    assert contents(tmp_path / "b") == contents(tmp_path / "c")
    assert contents(tmp_path / "a") != contents(tmp_path / "b")
    assert REUSED in ok(cli("compile", net, *flat, "-o", "b"))
    assert contents(tmp_path / "b") == contents(tmp_path / "c")


def test_a_target_file_is_read_every_time(cli: Cli, net: Path, tmp_path: Path) -> None:
    ok(cli("compile", net, *TO, "-o", "a"))
    text = (tmp_path / "a/target.toml").read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    words = ("compile", net, "-t", "mine.toml", "--bits", 8, "-o", "b")
    assert REUSED in ok(cli(*words))  # the same machine under another name of the file
    mine.write_text(text + "# a note, which the folder holds as well\n")
    assert MADE in ok(cli(*words))
    assert (tmp_path / "b/target.toml").read_bytes() == mine.read_bytes()


@pytest.mark.parametrize("what", ["weight", "clip", "name"])
def test_another_model_is_made_anew(cli: Cli, net: Path, tmp_path: Path, what: str) -> None:
    ok(cli("compile", net, *TO, "-o", "a"))
    program = Program.load(net)
    if what == "weight":
        changed = program.parameters["fc.bias"].copy()
        changed[0] = np.nextafter(changed[0], np.float32(9))
        program.parameters["fc.bias"] = changed
        for op in program.declared().values():
            op.attributes.pop("sha256", None)
        program.save(net)
    elif what == "clip":
        text = (net / "program.mlir").read_text()
        (net / "program.mlir").write_text(text.replace("4 = ", "4 = 1", 1))
        assert Program.load(net).text() != program.text()
    else:
        net.rename(tmp_path / "other")
    source = "other" if what == "name" else net
    assert MADE in ok(cli("compile", source, *TO, "-o", "b"))
    ok(cli("compile", source, *TO, "-o", "c", "--no-cache"))
    assert contents(tmp_path / "b") == contents(tmp_path / "c") != contents(tmp_path / "a")


@pytest.mark.parametrize("how", ["values", "clip", "folder"])
def test_other_data_calibrate_anew(
    cli: Cli, bare: Path, data: Path, tmp_path: Path, how: str
) -> None:
    words = ["compile", bare, "-d", data, *TO]
    ok(cli(*words, "-o", "a"))
    if how == "values":
        save_data(data, 8)
    elif how == "clip":
        words += ["--clip", "minmax"]
    else:
        (tmp_path / "d").mkdir()
        words[3] = tmp_path / "d"
        for seed in (7, 8):
            save_data(tmp_path / "d/x.npz", seed)
            ok(cli(*words, "-o", "folder"))
    said = ok(cli(*words, "-o", "b"))
    if how == "folder":
        assert "reused the calibrated program" in said
    else:
        assert "made the calibrated program and the compiled folder" in said
    ok(cli(*words, "-o", "c", "--no-cache"))
    assert contents(tmp_path / "b") == contents(tmp_path / "c") != contents(tmp_path / "a")


def test_other_code_makes_everything_anew(
    cli: Cli, bare: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("compile", bare, "-d", data, *TO, "-o", "a")
    ok(cli(*words))
    for module in (compiling, reuse):
        monkeypatch.setattr(module, "fingerprint", lambda: "another version")
    assert "made the calibrated program and the compiled folder" in ok(cli(*words))
    assert "reused the calibrated program and the compiled folder" in ok(cli(*words))


def test_what_changes_meanwhile_is_not_kept(
    cli: Cli, bare: Path, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The key is that of the data before; what was made has seen those after."""
    words = ("compile", bare, "-d", data, *TO, "-o")
    make = sources.make_calibrated
    before = data.read_bytes()

    def slow(*given: Any, **more: Any) -> None:
        save_data(data, 8)
        make(*given, **more)

    monkeypatch.setattr(reuse, "make_calibrated", slow)
    ok(cli(*words, "a"))
    monkeypatch.setattr(reuse, "make_calibrated", make)
    data.write_bytes(before)
    assert "made the calibrated program" in ok(cli(*words, "b"))
    assert contents(tmp_path / "a") != contents(tmp_path / "b")


def test_a_damaged_entry_is_made_anew_with_a_message(
    cli: Cli, bare: Path, data: Path, cache: Path, tmp_path: Path
) -> None:
    words = ("compile", bare, "-d", data, *TO, "-o")
    ok(cli(*words, "a"))
    expected = contents(tmp_path / "a")
    for damaged in range(3):
        entries = sorted((cache / "entries").iterdir())
        assert len(entries) == 2
        for n, entry in enumerate(entries):
            if damaged in {n, 2}:
                for path in entry.rglob("*.mlir"):
                    path.write_text(path.read_text() + " ")
        said = ok(cli(*words, "b"))
        assert contents(tmp_path / "b") == expected
        if "is damaged" in said:  # the program alone is not needed when the folder is there
            assert "it is made anew" in said
            assert MADE in said or "and the compiled folder" in said
    assert "reused the calibrated program and the compiled folder" in ok(cli(*words, "b"))
    assert contents(tmp_path / "b") == expected


def test_the_size_of_the_cache(cli: Cli, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOHAQ_CACHE_SIZE", "0")
    assert MADE in ok(cli("compile", net, *TO, "-o", "a"))
    assert MADE in ok(cli("compile", net, *TO, "-o", "a"))
    monkeypatch.setenv("MOHAQ_CACHE_SIZE", "lots")
    refused(cli("compile", net, *TO, "-o", "a"), "MOHAQ_CACHE_SIZE", "512M")


def test_a_hit_destroys_nothing(cli: Cli, net: Path, tmp_path: Path) -> None:
    ok(cli("compile", net, *TO, "-o", "a"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years")
    refused(cli("compile", net, *TO, "-o", "mine"), "not written by mohaq")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_what_models_are_known_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_contents("speech") == {"built-in": "speech"}
    assert model_contents("package:function") is None
    assert model_contents(str(tmp_path)) is None
    Path("a.onnx").write_bytes(b"one")
    one = model_contents("a.onnx")
    Path("a.onnx").write_bytes(b"two")
    assert one is not None
    assert one != model_contents("a.onnx")
    weights = onnx.numpy_helper.from_array(np.zeros(600, np.float32), "w")
    graph = onnx.helper.make_graph([], "g", [], [], [weights])
    model = onnx.helper.make_model(graph)
    onnx.save(model, "b.onnx", save_as_external_data=True, location="b.data", size_threshold=0)
    assert Path("b.data").is_file()
    assert model_contents("b.onnx") is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="cannot read this file"):
        sha256_of(tmp_path)


def test_what_data_are_known_by(tmp_path: Path) -> None:
    path = save_data(tmp_path / "x.npz")
    first = data_contents(str(path))
    assert data_contents("speech:test") == {"built-in": "speech:test"}
    assert first != data_contents(str(save_data(path, 9)))
    other = tmp_path / "y.safetensors"
    save_dataset(Dataset(tuple(sequences(7, features=FEATURES))), other)
    assert data_contents(str(other)) != first


def test_names_in_artefacts_are_the_same_elsewhere(
    cli: Cli, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in (net, "net", "./net/", net / ".." / "net"):
        ok(cli("compile", given, *TO, "--stop-after", "import", "-o", "a"))
        assert json.loads((tmp_path / "a/stopped.json").read_text())["model"]["name"] == "net"
    monkeypatch.chdir(net)
    assert model_name(".") == "net"
    assert model_name("speech") == "speech"
    assert model_name("package:function") == "package:function"


def test_a_folder_called_like_a_built_in_model_has_no_data_of_it(
    cli: Cli, bare: Path, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    bare.rename(tmp_path / "m/speech")
    refused(cli("compile", "m/speech", *TO, "-o", "a"), "not calibrated")
    ok(cli("compile", "m/speech", "--stop-after", "import", "-o", "s"))
    refused(cli("compile", "--start-from", "s", *TO, "-o", "a"), "not calibrated")


def test_built_in_models_keep_their_data(cli: Cli, tmp_path: Path) -> None:
    """Stopped after the import, they still know what to calibrate on."""
    to = ("-t", "reference", "--bits", 8)
    ok(cli("compile", "vowels", *to, "-o", "whole", "--no-cache"))
    ok(cli("compile", "vowels", "--stop-after", "import", "-o", "s"))
    ok(cli("compile", "--start-from", "s", *to, "-o", "out"))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
