"""Starting is quick because of what is not imported; seconds are measured by tools.bench.startup."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mohaq.tools.bench import startup

HEAVY = (
    "torch", "onnx", "onnx_ir", "onnxruntime", "pymoo", "numba", "plotly", "networkx", "sympy",
    "scipy",
)  # fmt: skip
NOT_FOR_HELP = (*HEAVY, "numpy", "xdsl", "safetensors", "argcomplete")
BACKENDS = tuple(f"mohaq.backends.{b}" for b in ("bitfusion", "epiphany", "reference", "silago"))


def imported(module: str, words: list[str]) -> tuple[set[str], str]:
    """Modules that are loaded after a command, and what it printed."""
    code = (
        f"import json, sys\nfrom {module} import main\nsys.argv = ['x', *{words!r}]\n"
        "try: code = main()\nexcept SystemExit as stop: code = stop.code\n"
        "assert not code, code\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr)), done.stdout


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        ("mohaq.tools.opt", ["--help"], "lower-to-bitfusion"),
        ("mohaq.tools.opt", ["--list-passes"], "lower-to-bitfusion"),
        ("mohaq.tools.opt", ["--print-completion", "bash"], "complete "),
        ("mohaq.tools.cli", ["--help"], "export-onnx"),
        ("mohaq.tools.cli", ["compile", "--help"], "--prefer"),
        ("mohaq.tools.cli", ["passes"], "lower-to-bitfusion"),
        ("mohaq.tools.cli", ["passes", "lower-to-bitfusion"], "4096"),
    ],
)
def test_help_imports_nothing_heavy(module: str, words: list[str], said: str) -> None:
    loaded, out = imported(module, words)
    allowed = {"argcomplete"} if "--print-completion" in words else set()
    assert loaded & (set(NOT_FOR_HELP) - allowed | set(BACKENDS)) == set()
    assert said in out


def test_small_program_imports_no_backend_and_nothing_heavy(tmp_path: Path) -> None:
    source = tmp_path / "ten.mlir"
    source.write_text(startup.ten_operations())
    loaded, out = imported("mohaq.tools.opt", [str(source), "-p", "canonicalize,cse"])
    assert loaded & {*HEAVY, *BACKENDS} == set()
    assert out.count("nn.linear") == 9


def test_bench_prints_every_goal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "processor_seconds", lambda *_: 0.25)
    assert startup.main(["--repeat", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, goal in startup.LIMITS.items():
        (line,) = [one for one in lines if one.startswith(name)]
        assert line.split()[-3:] == ["0.250", "1.0", f"{goal}"]
