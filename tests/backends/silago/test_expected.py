"""The sidecar of expected results: it holds, and what is changed is found."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import calibrated, one_cell, one_sru, sequences, sru, tensor
from typer.testing import CliRunner

import mohaq
from mohaq.backends.reference import BACKEND as REFERENCE
from mohaq.backends.silago import BACKEND
from mohaq.backends.silago.isa.instructions import Dpu, Mode
from mohaq.backends.silago.isa.words import decode_all
from mohaq.backends.silago.simulator.check_words import check_words, digest
from mohaq.backends.silago.simulator.expected import check_expected
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.network import Network
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import calibrate
from mohaq.tools.cli import app


def built(folder: Path, program: Program, target: str, bits: int) -> Path:
    mohaq.compile(program, target, mohaq.Assignment.uniform(bits), folder)
    return folder / "emitted"


@cache
def compiled() -> Path:
    """One small compiled folder for all tests; they change copies."""
    program = one_sru(inputs=5, hidden=5, activation="tanh")
    calibrate(program, sequences(features=5))
    return built(Path(tempfile.mkdtemp()) / "out", program, "silago-mohaq", 8).parent


def small(folder: Path) -> Path:
    return Path(shutil.copytree(compiled(), folder, dirs_exist_ok=True)) / "emitted"


def found(folder: Path) -> tuple[str, ...]:
    try:
        return BACKEND.check_expected(folder).differences
    except MohaqError as error:
        return (error.message(),)


@pytest.mark.parametrize(
    ("target", "bits"), [("silago-mohaq", 4), ("silago1-nn", 16), ("silago1-rtl", 16)]
)
def test_both_engines_give_what_is_expected(target: str, bits: int, tmp_path: Path) -> None:
    """Places come from the words, results from integer rules: nothing is compared with itself."""
    folder = built(tmp_path, calibrated(), target, bits)
    data = json.loads((folder / "expected.json").read_text())
    made = BACKEND.check_expected(folder)
    assert made.checked == sum(map(len, list(data.values())[1:])) > 10
    assert not made.differences
    lists = [row for row in data["programs"] if "register_file" in row]
    assert lists
    for row in lists:
        assert len(row["register_file"]) == sum(c["writes"] for c in row["cells"].values())


def test_the_plain_engine_agrees(tmp_path: Path) -> None:
    assert not check_expected(small(tmp_path), engine="cycle").differences


def test_recurrent_products_are_phases_too(tmp_path: Path) -> None:
    program = one_cell("lstm", hidden=6)
    calibrate(program, sequences(features=4))
    assert not found(built(tmp_path, program, "silago-mohaq", 8))


def test_words_of_the_check() -> None:
    """The formula of docs/file-formats.md."""
    for sequence, bits in ((0, 16), (3, 8), (17, 4)):
        for i, word in enumerate(check_words(200, sequence, bits)):
            high = (2654435761 * (i + 1 + 104729 * sequence)) % (1 << 32) >> (32 - bits)
            assert word == high - (high >> (bits - 1) << bits)
    assert digest(np.array([1, -1])) == digest(np.array([[1], [-1]], dtype=np.int16))


def test_changed_words_are_found(tmp_path: Path) -> None:
    """In every class of instruction; some bits say nothing (test_compiled.py)."""
    folder = small(tmp_path)
    path = folder / "manifest.json"
    text = path.read_text()
    rng = np.random.default_rng(0)
    places: dict[str, list[tuple[int, str, int]]] = {}
    for number, program in enumerate(json.loads(text)["programs"]):
        for row, words in program.items():
            for pc, item in decode_all([int(w, 16) for w in words]):
                places.setdefault(item.NAME, []).append((number, row, pc))
    for known in places.values():
        number, row, at = known[rng.integers(len(known))]
        data: dict[str, Any] = json.loads(text)
        words = data["programs"][number][row]
        words[at] = f"{int(words[at], 16) ^ 1 << int(rng.integers(27)):07x}"
        path.write_text(json.dumps(data))
        # The text files hold the words too, so even a bit that says nothing is found.
        assert any(f"program {number}:" in line for line in found(folder))
    path.write_text(text)
    assert not found(folder)


def test_values_are_compared(tmp_path: Path) -> None:
    """A shift changes no edge: values alone tell, of the program and of its phase."""
    folder = small(tmp_path)
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    number, words, at = next(
        (number, words, pc)
        for number, program in enumerate(data["programs"])
        for words in program.values()
        for pc, i in decode_all([int(w, 16) for w in words])
        if isinstance(i, Dpu) and i.mode == Mode.MULT
    )
    words[at] = f"{int(words[at], 16) ^ 1 << 10:07x}"
    text = folder / "programs" / f"{number:03d}.txt"
    lines = text.read_text().splitlines()
    for n, line in enumerate(lines):
        if line.startswith("CELL"):
            lines[n + 1 + at] = f"1 {int(words[at], 16):027b}"
    text.write_text("\n".join(lines) + "\n")
    path.write_text(json.dumps(data))
    differences = found(folder)
    assert any(line.startswith(f"program {number}: cell") for line in differences)
    assert any(line.startswith("phase ") for line in differences)


def test_changed_weights_are_found(tmp_path: Path) -> None:
    folder = small(tmp_path)
    path = folder / "images.safetensors"
    images = ParameterStore.load(path)
    name = next(iter(images))
    held = np.array(images[name])
    at = tuple(int(n) for n in np.argwhere(held)[0])
    held[at] ^= 0x40
    ParameterStore({**{n: images[n] for n in images}, name: held}).save(path, dict.fromkeys(images))
    assert "images: 'image0' holds other words" in found(folder)


def steps(data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Phases of a kind, those of loops too."""
    found: list[dict[str, Any]] = []
    for op in data["ops"]:
        found += [op] if op["op"] == kind else []
        found += steps({"ops": op["body"]}, kind) if op["op"] == "scan" else []
    return found


@cache
def varied() -> Path:
    """Halves that take turns, pairs of vectors, and rows that stay in the tiles."""
    rng = np.random.default_rng(0)
    net = Network()
    y = net.linear("fc", net.sequence(1000), tensor(rng, 40, 1000))
    h, _ = sru(net, rng, "sru", y, 40, 20)
    program = net.finish([h])
    calibrate(program, sequences(features=1000, lengths=(3,)))
    return built(Path(tempfile.mkdtemp()) / "out", program, "silago-mohaq", 8).parent


def turned(data: dict[str, Any], vectors: str) -> None:
    phase = steps(data, "matrix")[0]
    phase["turns"][vectors] = [edge + 60 for edge in phase["turns"][vectors]]


def stayed(data: dict[str, Any]) -> dict[str, Any]:
    """A segment with rows that stay, and others."""
    segments = [s for op in steps(data, "vector") for s in op["segments"]]
    return next(s for s in segments if 0 < s["fixed"] < s["rows"])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (dict.copy, ""),
        (lambda d: turned(d, "1"), "of layer 'fc': it gives other results"),
        (lambda d: turned(d, "2"), "of layer 'fc': it gives other results"),
        (lambda d: steps(d, "matrix")[0].update(late=[1, 1]), "of layer 'fc'"),
        (lambda d: steps(d, "matrix")[0].update(turn=0), "damaged"),
        (lambda d: steps(d, "matrix")[1].update(columns=1), "damaged"),
        (lambda d: steps(d, "matrix")[1]["programs"].pop("1"), "damaged"),
        (lambda d: steps(d, "matrix")[1]["out_rows"].update({"2": 0}), "damaged"),
        (lambda d: stayed(d).update(fixed=stayed(d)["rows"]), "of layer 'sru'"),
        (lambda d: stayed(d).update(base=stayed(d)["base"] + 1), "of layer 'sru'"),
        (lambda d: stayed(d).update(width=stayed(d)["width"] * 2), "damaged"),
    ],
)
def test_what_the_host_does_is_checked(
    harm: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    """Keys of the manifest beside the programs: pairs, turns, rows that stay."""
    folder = Path(shutil.copytree(varied(), tmp_path, dirs_exist_ok=True)) / "emitted"
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    harm(data)
    path.write_text(json.dumps(data))
    differences = found(folder)
    assert any(message in line for line in differences) if message else not differences


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda d: d["programs"][0].update(cycles=7), "program 0: it ends at edge"),
        (lambda d: d["programs"][0]["cells"]["0 0"].update(places="0" * 16), "edges or addresses"),
        (lambda d: d["programs"][0]["cells"]["0 0"].update(values="0" * 16), "other values"),
        (lambda d: d["programs"][1].update(memory_writes="0" * 16), "program 1: memory rows"),
        (lambda d: d["programs"][0]["register_file"].pop(), "list 'register_file'"),
        (lambda d: d["phases"][0]["results"][0].update(digest="0" * 16), "phase 0"),
        (lambda d: d["phases"][0]["results"][0]["values"].append(1), "phase 0"),
        (lambda d: d["phases"][0].update(layer="other"), "another phase"),
        (lambda d: d["phases"].pop(), "phases"),
        (lambda d: d["images"].popitem(), "other images"),
        (lambda d: d["integers"].update(dict.fromkeys(d["integers"], "0")), "holds other words"),
        (lambda d: d["programs"].pop(), "programs"),
        (lambda d: d.update(schema="x"), "no expected results"),
        (lambda d: d.pop("phases"), "damaged"),
    ],
)
def test_a_changed_sidecar_is_found(
    harm: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    folder = small(tmp_path)
    path = folder / "expected.json"
    data = json.loads(path.read_text())
    harm(data)
    path.write_text(json.dumps(data))
    assert any(message in line for line in found(folder))


def test_a_missing_program_text_is_one_clear_error(tmp_path: Path) -> None:
    folder = small(tmp_path)
    (folder / "programs/000.txt").unlink()
    with pytest.raises(MohaqError, match="damaged"):
        BACKEND.check_expected(folder)


def test_the_command(tmp_path: Path) -> None:
    small(tmp_path / "out")
    command = ["run", str(tmp_path / "out"), "--check-expected"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "expected results agree" in done.output
    path = tmp_path / "out/emitted/expected.json"
    text = path.read_text()
    path.write_text(text.replace('"cycles": ', '"cycles": 9'))
    assert CliRunner().invoke(app, command).exit_code == 1
    path.unlink()
    assert CliRunner().invoke(app, command).exit_code == 2
    assert CliRunner().invoke(app, ["run", str(tmp_path / "out")]).exit_code == 2


def test_backends_without_expected_results_say_so(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="writes no expected results"):
        REFERENCE.check_expected(tmp_path)
