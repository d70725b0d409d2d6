"""What `mohaq inspect` refuses: one message, exit code 2, nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from inspected import inspected, refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{place}",), ("not a folder of mohaq", "front.json")),
        (("{place}/reference/emitted",), ("emitted part", "reference")),
        (("{place}/reference/emitted/integers.safetensors",), ("nothing that can be inspected",)),
        (("{place}/reference/manifest.json",), ("not an assignment file",)),
        (("vowls",), ("'vowels'",)),
        (("{place}/net", "--op", "lO"), ("'l0'",)),
        (("{place}/net", "--op", "@fc.wieght"), ("'@fc.weight'",)),
        (("{place}/reference", "--op", "pr2"), ("'pr1'",)),
        (("{place}/reference", "--op", "%999", "--stage", "2"), ("%999",)),
        (("{place}/mixed.json", "--op", "l0.wieght"), ("'l0.weight'",)),
        (("{place}/run", "--op", "s99x"), ("s99x",)),
        (("{place}/reference", "--stage", "4-silago"), ("4-reference",)),
        (("{place}/net", "--stage", "2"), ("--stage", "compiled folder")),
        (("{place}/run", "{place}/run"), ("assignments/s00.json",)),
        (("{place}/mixed.json", "{place}/net"), ("nothing in common",)),
        (("{place}/mixed.json", "--svg", "{out}"), ("no program",)),
        (("{place}/bitfusion-mohaq", "--stage", "4", "--svg", "{out}"), ("3-legalized",)),
        (("{place}/bitfusion-mohaq", "--stage", "4", "--netron", "{out}.onnx"), ()),
        (("{place}/net", "--svg", "{place}"), ("this is a folder",)),
        (("{place}/net", "--svg", "{place}/mixed.json/x.svg"), ("no folder",)),
        (("{place}/net", "--svg", "{out}", "--dot", "{out}"), ("the same name",)),
        (("{place}/net", "--netron", "{out}.txt"), (".onnx",)),
        (("{place}/net", "--instructions", "-1"), ("--instructions",)),
        (("{place}/net", "{place}/net", "--op", "l0"), ("exclude",)),
        (("{place}/net", "{place}/net", "--diff", "{place}/net"), ("--diff",)),
        (("{place}/net", "{place}/net", "--svg", "{out}"), ("--html",)),
        (("{place}/net", "--errors", "--bits", "4", "--svg", "{out}"), ("--svg", "--errors")),
    ],
)
def test_one_message(
    place: Path, tmp_path: Path, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    refused(inspected(*(w.format(place=place, out=out) for w in words)), *said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "file", "change", "words"),
    [
        ("bitfusion-mohaq", "emitted/program.bin", lambda b: b[:-4], ()),
        ("bitfusion-mohaq", "emitted/program.bin", lambda b: b[:-2], ()),
        ("bitfusion-mohaq", "emitted/program.bin", lambda b: b[:8] + b"\xff" * (len(b) - 8), ()),
        ("bitfusion-mohaq", "emitted/report.json", lambda _: b'{\n  "blocks": [\n    3\n  ]\n}', ("--op", "fc")),
        ("bitfusion-mohaq", "emitted/manifest.json", lambda _: b"[]", ()),
        ("silago-mohaq", "emitted/manifest.json", lambda b: b[: len(b) // 2], ()),
        ("silago-mohaq", "emitted/manifest.json", lambda b: b.replace(b'"op"', b'"po"'), ()),
        ("silago-mohaq", "emitted/manifest.json", lambda b: b.replace(b'"2c22000"', b'"f"'), ("--op", "l0")),
        ("epiphany-e16", "emitted/plan.json", lambda b: b.replace(b'"kernel"', b'"k"'), ()),
        ("epiphany-e16", "emitted/plan.json", lambda b: b.replace(b'"layer_0', b'"/../0'), ("--op", "fc")),
        ("reference", "emitted/program.json", lambda b: b.replace(b'"in"', b'"ni"'), ()),
        ("reference", "estimate.json", lambda b: b.replace(b'"cycles": ', b'"cycles": "x", "y": '), ()),
        ("reference", "manifest.json", lambda b: b.replace(b'"1-quantized"', b'"1"'), ()),
        ("reference", "2-qnn/program.mlir", lambda b: b[: len(b) // 2], ()),
    ],
)  # fmt: skip
def test_damaged_files(
    place: Path, tmp_path: Path, target: str, file: str, change: Callable[[bytes], bytes], words: tuple[str, ...],
) -> None:  # fmt: skip
    shutil.copytree(place / target, tmp_path / "c")
    path = tmp_path / "c" / file
    held = change(path.read_bytes())
    assert held != path.read_bytes()
    path.write_bytes(held)
    refused(inspected(tmp_path / "c", *words))


@pytest.mark.parametrize("file", ["emitted/program.bin", "estimate.json", "2-qnn/program.mlir"])
def test_missing_files(place: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(place / "bitfusion-mohaq", tmp_path / "c")
    (tmp_path / "c" / file).unlink()
    refused(inspected(tmp_path / "c"), Path(file).name)
