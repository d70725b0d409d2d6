"""Completion, asked by a real bash; and what is offered, asked directly."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mohaq.compiler.driver import MANIFEST
from mohaq.compiler.program import MODULE_FILE
from mohaq.tools import completion, sources
from mohaq.tools.catalogue import all_passes
from mohaq.tools.opt import SHELLS, main

OPT = r"""
eval "$(mohaq-opt --print-completion bash)"
while IFS= read -r line; do
  COMP_LINE="$line"; COMP_POINT=${#line}; COMP_TYPE=9; COMPREPLY=()
  _python_argcomplete mohaq-opt
  (IFS='|'; echo "${COMPREPLY[*]}")
done
"""
MOHAQ = r"""
eval "$(_MOHAQ_COMPLETE=source_bash mohaq)"
while IFS= read -r line; do
  COMP_WORDS=($line); [[ "$line" == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
  _mohaq_completion mohaq
  (IFS='|'; echo "${COMPREPLY[*]}")
done
"""


def answers(script: str, lines: list[str], folder: Path) -> list[list[str]]:
    """What bash has in COMPREPLY after each line, a list a line."""
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)},
    )
    assert done.stderr == ""
    return [[w for w in line.split("|") if w] for line in done.stdout.split("\n")[:-1]]


def test_bash_completes_pipelines(tmp_path: Path) -> None:
    asked = {
        "mohaq-opt x.mlir -p lower-to-q": ["lower-to-qnn "],
        'mohaq-opt x.mlir -p "uniform{bits=8},lower-to-q': ["uniform{bits=8},lower-to-qnn"],
        'mohaq-opt x.mlir -p "uniform{b': ["uniform{bits="],
        'mohaq-opt x.mlir -p "bias-correct{data=x limit=2 a': ["bias-correct{data=x limit=2 add="],
        "mohaq-opt x.mlir -p 'lower-to-bitfusion{target=bitf": [
            f"lower-to-bitfusion{{target=bitfusion-{t}" for t in ("e", "mohaq", "s")
        ],
        "mohaq-opt x.mlir -p cse,dce --print-ir-after ": ["all", "cse", "dce"],
        "mohaq-opt x.mlir --print-ir-": ["--print-ir-after", "--print-ir-diff"],
    }
    assert answers(OPT, list(asked), tmp_path) == list(asked.values())


def test_bash_completes_commands(tmp_path: Path) -> None:
    for marker, name in ((MODULE_FILE, "net"), (MANIFEST, "spoken"), ("other.txt", "sp")):
        (tmp_path / name).mkdir()
        (tmp_path / name / marker).write_text("")
    (tmp_path / "spoken.onnx").write_text("")
    asked = {
        "mohaq comp": ["compile"],
        "mohaq compile sp": ["speech", "speech-gru", "speech-lstm", "spoken.onnx"],
        "mohaq compile ne": ["net"],
        "mohaq compile x --target bitfusion-": ["bitfusion-e", "bitfusion-mohaq", "bitfusion-s"],
        "mohaq run ": ["spoken"],
        "mohaq inspect ": ["net", "spoken"],
        "mohaq passes uni": ["uniform"],
        "mohaq targets ref": ["reference"],
        "mohaq report n": [],  # bash completes files where there is nothing better
    }
    assert answers(MOHAQ, list(asked), tmp_path) == list(asked.values())


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", shell]) == 0
    text = capsys.readouterr().out
    assert "mohaq-opt" in text
    assert str(Path(sys.prefix)) not in text


def test_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("canonicalize,c", ["calibrate", "canonicalize", "check-ranges", "conv-to-linear", "cse"]),
        ('calibrate{data="a,b{c} d.npz" ov', ["over="]),
        ("lower-to-silago{", ["lower-to-silago{prefer="]),
        ("lower-to-qnn{", []),
        ("lower-to-qnn{x", []),
        ("nothing{x", []),
        ("uniform{bits=8}", []),
        ("bias-correct{data=x report=", ["report=true", "report=false"]),
    ],
)
def test_offers_in_pipelines(text: str, offered: list[str]) -> None:
    found = completion.pipeline_words(text, all_passes())
    assert [word.rpartition(",")[2].rpartition(" ")[2] for word in found] == offered
    assert all(word.startswith(text) for word in found)


def test_names_are_those_of_the_slow_modules() -> None:
    assert completion.MODULE_FILE == MODULE_FILE
    assert completion.MANIFEST_FILE == MANIFEST
    assert set(completion.MODELS) == {*sources.SPEECH, "vowels"}


def test_targets_are_those_of_the_backends() -> None:
    from mohaq.backends.registry import usable_backends

    known = {t for b in usable_backends()[0].values() for t in b.targets()}
    assert completion.target_names() == sorted(known)
