"""Damaged ONNX files: one clear error, in bounded time, and never another answer than onnxruntime."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnxruntime.capi import onnxruntime_pybind11_state
from small_onnx import MODELS, broken_bytes, broken_fields
from typer.testing import CliRunner

import mohaq
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import Program, argument_names
from mohaq.tools.cli import app

REFUSALS: tuple[type[Exception], ...] = (
    ValueError,
    RuntimeError,
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
"""onnxruntime has an error class for each status, without a common one."""

QUIET = settings(
    deadline=5000,  # ms for one damaged file of half a kilobyte
    suppress_health_check=list(HealthCheck),
)
SEEDS = st.integers(0, 2**32).map(random.Random)  # hypothesis alone prefers dull choices
LONGEST_MESSAGE = 2000
"""Characters of a message; names of 10 kB are cut."""


def _load(source: Any, fixed: dict[str, Any]) -> Program | None:
    try:
        return mohaq.load(source, constants=fixed)
    except MohaqError as error:
        text = error.message()
    assert len(text) < LONGEST_MESSAGE
    assert text.count("\n") <= 1, text
    assert "Traceback" not in text
    return None


@settings(QUIET, max_examples=800)
@given(name=st.sampled_from(sorted(MODELS)), draw=SEEDS)
def test_damaged_bytes(tmp_path_factory: Any, name: str, draw: random.Random) -> None:
    model, fixed = MODELS[name]
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(broken_bytes(model.SerializeToString(), draw))
    _load(path, fixed)


@settings(QUIET, max_examples=1000)
@given(name=st.sampled_from(sorted(MODELS)), draw=SEEDS)
def test_damaged_fields(name: str, draw: random.Random) -> None:
    """What still loads computes what onnxruntime computes, if that takes the model."""
    model, fixed = MODELS[name]
    broken = broken_fields(model, draw)
    program = _load(broken, fixed)
    if program is None:
        return
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 2, 2)).astype(np.float32)
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(broken.SerializeToString(), options)
        feeds = {
            i.name: np.asarray(fixed.get(i.name, x), np.int64 if "int" in i.type else np.float32)
            for i in session.get_inputs()
        }
        expected = session.run(None, feeds)
        inputs = [feeds[n] for n in argument_names(program.entry) if n is not None]
    except REFUSALS:
        return
    try:
        results = run_float(program, inputs)
    except MohaqError:
        return
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_undamaged() -> None:
    for model, fixed in MODELS.values():
        assert _load(model, fixed) is not None


@pytest.mark.parametrize("seed", range(8))
def test_command_line(tmp_path: Path, seed: int) -> None:
    """Exit code 2, the reason, no traceback, and nothing written."""
    draw = random.Random(seed)
    model, fixed = MODELS[sorted(MODELS)[seed % 3]]
    path, out = tmp_path / "bad.onnx", tmp_path / "out"
    while True:  # until the damage matters
        broken = broken_fields(model, draw) if seed % 2 else None
        data = broken_bytes(model.SerializeToString(), draw)
        path.write_bytes(data if broken is None else broken.SerializeToString())
        if _load(path, fixed) is None:
            break
    arguments = ["import", str(path), "-o", str(out)]
    for name, value in fixed.items():
        arguments += ["--set", f"{name}={value}"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert "bad.onnx" in result.stderr.replace("\n", "")
    assert "Traceback" not in result.output
    assert sorted(tmp_path.iterdir()) == [path]


def test_hostile_names_are_kept_out_of_messages_and_files(tmp_path: Path) -> None:
    model, _ = MODELS["lstm"]
    for hostile in ("../../x", "a\nb\"'", "x" * 10_000):
        named = onnx.ModelProto()
        named.CopyFrom(model)
        for node in named.graph.node:
            node.name = hostile
            node.input[:] = [hostile if n == "W" else n for n in node.input]
        for tensor in named.graph.initializer:
            if tensor.name == "W":
                tensor.name = hostile
        program = mohaq.load(named)
        program.save(tmp_path / "folder")
        again = mohaq.load(tmp_path / "folder")
        assert all(len(n) < 100 and "\n" not in n and "/" not in n for n in again.parameters)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]
