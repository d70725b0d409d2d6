"""The commands: help, one message for what the user can correct, and nothing destroyed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from programs import calibrated, sequences, speech_like
from typer.testing import Result

import mohaq
from mohaq.tools.opt import main as opt

COMMANDS = (
    "demo",
    "import",
    "search",
    "compile",
    "run",
    "export-onnx",
    "inspect",
    "report",
    "targets",
    "passes",
    "plugins",
    "new-backend",
    "support",
    "train",
    "corpus build",
    "corpus fsdd",
)
HEAVY = ("torch", "numba", "pymoo", "plotly", "onnx", "onnxruntime", "xdsl")
Cli = Callable[..., Result]


def plain(text: str) -> str:
    """Without colours, in one line."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A calibrated program folder."""
    calibrated().save(tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three sequences with a class a frame."""
    inputs = sequences(4)
    frames = sum(map(len, inputs))
    labels = np.random.default_rng(0).integers(0, 3, frames)
    path = tmp_path / "data.npz"
    np.savez(path, inputs=np.concatenate(inputs), lengths=[len(x) for x in inputs], labels=labels)
    return path


def refused(result: Result, *words: str) -> None:
    """Exit code 2 and one message that says all these words."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error: ") == 1
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) <= 5
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(cli: Cli, command: str) -> None:
    result = cli(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"Example: mohaq {command}" in plain(result.output)


def test_help_names_every_command(cli: Cli) -> None:
    text = plain(cli("--help").output)
    for command in COMMANDS:
        assert re.search(rf"\b{command.split()[0]}\b", text)


def test_help_keeps_the_extra(cli: Cli) -> None:
    """Square brackets are markup in help texts."""
    assert "extra 'speech'" in plain(cli("corpus", "build", "--help").output)


def test_version(cli: Cli) -> None:
    result = cli("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, f"mohaq {mohaq.__version__}")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mohaq.tools.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stderr.strip() == "[]"
    assert "mohaq COMMAND --help" in plain(done.stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compile", "{net}", "-t", "bitfusion-x", "--bits", 8, "-o", "out"), "bitfusion-e"),
        (("compile", "{net}", "-t", "mine.toml", "--bits", 8, "-o", "out"), "mine.toml"),
        (("compile", "speach", "-t", "reference", "--bits", 8, "-o", "out"), "'speech'"),
        (("compile", "gone.pt2", "-t", "reference", "--bits", 8, "-o", "out"), "gone.pt2"),
        (("compile", "gone/net", "-t", "reference", "--bits", 8, "-o", "out"), "gone/net"),
        (("compile", "{net}", "-t", "reference", "-o", "out"), "--bits"),
        (
            ("compile", "{net}", "-t", "reference", "--bits", 8, "-a", "a.json", "-o", "out"),
            "--bits or --assignment",
        ),
        (("compile", "{net}", "-t", "reference", "-a", "gone.json", "-o", "out"), "gone.json"),
        (("compile", "{net}", "-t", "reference", "--bits", 33, "-o", "out"), "33"),
        (
            ("compile", "{net}", "-t", "reference", "-b", 8, "--prefer", "speed", "-o", "out"),
            "no preference 'speed'",
        ),
        (("compile", "{net}", "-t", "reference", "--bits", 3, "-o", "out"), "no clips for 3 bits"),
        (("import", "no_such_package:build", "-o", "out"), "no_such_package"),
        (("import", "json:no_such_function", "-o", "out"), "no_such_function"),
        (("import", "{net}", "-o", "out", "-d", "gone.npz"), "gone.npz"),
        (("import", "{net}", "-o", "out", "-d", "speech:tset"), "'speech:test'"),
        (("search", "{net}", "-t", "reference", "-o", "out"), "--data"),
        (("search", "{net}", "-t", "reference", "-d", "{data}", "-m", "prr", "-o", "out"), "'per'"),
        (
            ("search", "{net}", "-t", "reference", "-d", "{data}", "--objectives=power", "-o=out"),
            "'power'",
        ),
        *(
            (("search", "{net}", "-t", "reference", "-d", "{data}", "-o=out", *words), message)
            for words, message in (
                (("--freeze=fc.input",), "SLOT=BITS"),
                (("--freeze=fx.input=8",), "fc.input"),
                (("--tie=fc.weight",), "at least two slots"),
                (("--preset=mohac",), "'mohaq'"),
                (("--algorithm=nsga4",), "'nsga3'"),
                (("--exhaustive", "--algorithm=nsga2"), "exclude each other"),
                (("--exhaustive", "--space-limit=3"), "limit of 3"),
                (("--max-size=1",), "too many"),
            )
        ),
        (("run", "{net}", "-d", "{data}"), "manifest"),
        (("inspect", "gone"), "gone"),
        (("report", "{net}"), "front.json"),
        (("targets", "bitfusion-x"), "bitfusion-e"),
        (("passes", "calibrat"), "'calibrate'"),
        (("train", "gone", "-o", "out"), "gone"),
        (("train", "gone", "-o", "out", "--model", "lsmt"), "'lstm'"),
        (("demo", "-o", "out", "--model", "speech-lsmt"), "'speech-lstm'"),
        (("demo", "-o", "out", "--model", "vowels"), "no model 'vowels'"),
        (("corpus", "build", "--preset", "huge", "-o", "out"), "tiny"),
        (("corpus", "fsdd", "--from", "gone", "-o", "out"), "gone"),
    ],
)
def test_one_message(
    cli: Cli, net: Path, data: Path, tmp_path: Path, words: tuple[object, ...], said: str
) -> None:
    refused(cli(*(str(w).format(net=net, data=data) for w in words)), said)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / "program.mlir").exists()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("program.mlir", b"func.func @main( {", "cannot parse"),
        ("program.mlir", b"\xff\xfe", "cannot read"),
        ("parameters.safetensors", b"garbage", "cannot read this parameter file"),
        ("parameters.safetensors", b"", "cannot read this parameter file"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "compile"])
def test_corrupt_program(
    cli: Cli, net: Path, command: str, file: str, content: bytes, said: str
) -> None:
    (net / file).write_bytes(content)
    more = ("-t", "reference", "--bits", 8, "-o", "out") if command == "compile" else ()
    refused(cli(command, net, *more), file, said)


def test_missing_and_exchanged_parameters(cli: Cli, net: Path) -> None:
    speech_like(7).save(net.parent / "other")
    (net.parent / "other" / "parameters.safetensors").replace(net / "parameters.safetensors")
    refused(cli("inspect", net), "not what this program was saved with")
    (net / "parameters.safetensors").unlink()
    refused(cli("inspect", net), "has no data")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_no_numbers(cli: Cli, net: Path, data: Path, value: float) -> None:
    held = dict(np.load(data))
    held["inputs"][8, 2] = value
    np.savez(data, **held)
    refused(cli("import", net, "-o", "out", "-d", data), "NaN or infinity", "utterance 1", "data")
    refused(cli("search", net, "-t", "reference", "-d", data, "-o", "out"), "NaN or infinity")


@pytest.mark.parametrize("command", ["import", "compile"])
def test_other_peoples_folders_stay(cli: Cli, net: Path, tmp_path: Path, command: str) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    more = ("-t", "reference", "--bits", 8) if command == "compile" else ()
    refused(cli(command, net, *more, "-o", mine), "mine", "not written by mohaq")
    assert [p.name for p in mine.iterdir()] == ["thesis.txt"]
    refused(cli(command, net, *more, "-o", mine / "thesis.txt"), "must be a folder")
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "net"]


def test_a_search_overwrites_nothing(cli: Cli, net: Path, data: Path, tmp_path: Path) -> None:
    """A run folder gets `model/` and `data.safetensors`; here these are the user's."""
    held = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    done = cli("search", net, "-t", "reference", "-d", data, "-m", "fer", "-o", ".", "-g", 1)
    refused(done, "holds no search", "evaluations.sqlite")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == held


def test_option_parser_uses_the_same_code(cli: Cli) -> None:
    assert cli("compile", "speech").exit_code == 2
    assert cli("nonsense").exit_code == 2


def test_a_reader_that_goes_away() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "mohaq.tools.cli", "targets"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_a_bug_shows_its_traceback(cli: Cli, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_named: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("mohaq.compiler.program.Program.load", broken)
    result = cli("inspect", net)
    assert result.exit_code == 70
    assert "Traceback" in result.stderr
    assert "please report it" in result.stderr


def test_the_whole_way(
    cli: Cli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """package:function, search, compile a point, run it, report; then damage what runs."""
    (tmp_path / "user_model.py").write_text(
        "import mohaq\n"
        "from mohaq.compiler.modules import SRU\n"
        "import torch\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    class Net(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.ear, self.answer = SRU(5, 4), torch.nn.Linear(4, 3)\n"
        "        def forward(self, x):\n"
        "            return self.answer(self.ear(x)[0])\n"
        "    return Net(), (torch.zeros(8, 2, 5),)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "calibrated" in cli("import", "user_model:build", "-o", "mine", "-d", data).output
    settings = ("-g", 1, "--population", 6, "--offspring", 2)
    done = cli("search", "mine", "-t", "bitfusion-e", "-d", data, "-o", "run", *settings)
    assert done.exit_code == 0, done.output
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    point = Path("run") / front["front"][0]["assignment"]
    done = cli("compile", "mine", "-t", "bitfusion-e", "-a", point, "-o", "out")
    assert done.exit_code == 0, done.output
    done = cli("run", "out", "-d", data)
    assert done.exit_code == 0, done.output
    assert "bit-exact on 3 of 3 sequences; counters equal the estimate on 3" in done.output
    assert "estimate" in cli("inspect", "out").output.lower()
    whole = ("--exhaustive", "--freeze", "*.input=8", "--objectives", "speedup,error")
    done = cli("search", "mine", "-t", "bitfusion-e", "-d", data, "-o", "all", *whole)
    assert done.exit_code == 0, done.output
    assert len(json.loads((tmp_path / "all" / "front.json").read_text())["evaluated"]) == 16
    assert cli("report", "all").exit_code == 0
    assert "speedup (higher is better)" in (tmp_path / "all" / "report.html").read_text()
    done = cli("search", "mine", "-t", "bitfusion-e", "-d", data, "-o", "no", "--max-error=1e-9")
    assert done.exit_code == 2, done.output
    assert "max_error 1e-09: the best of" in done.stderr
    assert cli("report", "run").exit_code == 0
    assert (tmp_path / "run" / "report.html").is_file()
    _damage(tmp_path / "out")
    done = cli("run", "out", "-d", data)
    assert done.exit_code in (1, 2), done.output
    assert "Traceback" not in done.output


def test_a_target_without_a_clock_has_no_time(cli: Cli, net: Path, data: Path) -> None:
    done = cli("compile", net, "-t", "silago-mohaq", "--bits", 8, "-o", "out")
    assert done.exit_code == 0, done.output
    shown = [done.output, cli("run", "out", "-d", data).output, cli("inspect", "out").output]
    for text in shown:
        assert "no clock" in text
        assert " ks " not in text


def test_errors_of_accuracy_are_called_that(cli: Cli) -> None:
    words = ("--errors", "--bits", 8, "-d", "vowels:test", "-m", "accuracy", "-n", 3)
    done = cli("inspect", "vowels", *words)
    assert done.exit_code == 0, done.output
    assert "1 - accuracy: float" in done.output


def _damage(folder: Path) -> None:
    image = folder / "emitted" / "memory.bin"
    held = bytearray(image.read_bytes())
    held[0] ^= 0x80
    image.write_bytes(held)


def test_opt_writes_what_inspect_reads(cli: Cli, net: Path) -> None:
    assert opt([str(net), "-p", "uniform{bits=8},lower-to-qnn", "-o", "integers"]) == 0
    assert "qnn.scan" in cli("inspect", "integers").output
