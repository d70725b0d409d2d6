"""The stand-in runs a hand-written project: results, counters, bad input."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from epiphany_sample import Sample, write_sample

from mohaq.backends.epiphany.runtime import readme, static_files
from mohaq.backends.epiphany.simulator import (
    BuildOptions,
    RunOptions,
    build_project,
    missing_tools,
    run_project,
)
from mohaq.compiler.diagnostics import MohaqError

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason="needs a C compiler and make")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("sample"), 4, 4)


@pytest.mark.parametrize(("frames", "batch"), [(1, 1), (5, 3), (8, 1)])
def test_the_project_computes_what_it_says(sample: Sample, frames: int, batch: int) -> None:
    inputs = sample.inputs(frames, batch, seed=frames)
    for pushes in ("early", "late"):
        outputs, _ = run_project(sample.folder, inputs, RunOptions(pushes=pushes))
        for got, want in zip(outputs, sample.expected(inputs[0], inputs[1]), strict=True):
            np.testing.assert_array_equal(got, want)


def test_in_pieces_equals_whole(sample: Sample) -> None:
    x, h0 = sample.inputs(7, 2)
    whole, _ = run_project(sample.folder, [x, h0])
    first, _ = run_project(sample.folder, [x[:3], h0])
    second, _ = run_project(sample.folder, [x[3:], first[1]])
    np.testing.assert_array_equal(np.concatenate([first[0], second[0]]), whole[0])
    np.testing.assert_array_equal(second[1], whole[1])


def test_counters_are_those_of_the_program(sample: Sample) -> None:
    frames, batch, cores, units = 5, 2, 16, 64
    _, counters = run_project(sample.folder, sample.inputs(frames, batch))
    steps = frames * batch
    assert len(counters["cores"]) == cores
    for index, core in enumerate(counters["cores"]):
        setup, layer = core["phases"]
        assert setup["kernels"] == []
        assert setup["barriers"] == 1  # of mohaq_wait_start
        # By channel: weights on 0, the job on 1.
        assert (setup["dma_reads"], setup["dma_read_bytes"]) == ([1, 1], [4 * units, 8])
        assert layer["kernels"] == [[2, units, 4 * steps]]
        assert layer["elements"] == [0, 4 * steps, *[0] * 14]
        assert layer["barriers"] == steps
        assert layer["dma_reads"] == [0, batch + steps]
        assert layer["dma_read_bytes"] == [0, 2 * units * batch + 8 * steps]
        assert layer["dma_writes"] == [0, steps + batch]
        assert layer["dma_write_bytes"] == [0, 8 * (steps + batch)]
        assert layer["pushes"] == layer["push_stores"] == (cores - 1) * steps
        assert layer["push_bytes"] == 8 * (cores - 1) * steps
        row, col = divmod(index, 4)
        hops = sum(abs(row - r) + abs(col - c) for r in range(4) for c in range(4))
        assert layer["push_byte_hops"] == 8 * hops * steps


def test_64_cores(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, 8, 8)
    inputs = sample.inputs(4, 2)
    outputs, counters = run_project(tmp_path, inputs)
    for got, want in zip(outputs, sample.expected(inputs[0], inputs[1]), strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(counters["cores"]) == 64


def test_a_flipped_weight_bit_changes_outputs(sample: Sample, tmp_path: Path) -> None:
    inputs = sample.inputs(3, 1)
    other = write_sample(tmp_path, 4, 4)
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[100] ^= 64
    (tmp_path / "weights.bin").write_bytes(data)
    assert not np.array_equal(
        run_project(other.folder, inputs).outputs[0], run_project(sample.folder, inputs).outputs[0]
    )


def test_equal_sources_are_compiled_once(sample: Sample) -> None:
    assert build_project(sample.folder) == build_project(sample.folder)
    assert build_project(sample.folder) != build_project(
        sample.folder, BuildOptions(sanitize="thread")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "weights.bin").write_bytes(b"12"), "has 2 bytes, the program's weights"),
        (lambda f: (f / "weights.bin").unlink(), "cannot read .*weights.bin"),
        (lambda f: (f / "plan.json").unlink(), "no such plan"),
        (lambda f: (f / "plan.json").write_text("{}"), "the plan is damaged"),
        (lambda f: (f / "Makefile").unlink(), "not a project of the Epiphany backend"),
        (lambda f: (f / "device/main.c").write_text("int x = ;"), "does not compile .*error"),
    ],
)
def test_damaged_projects_are_refused(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    sample = write_sample(tmp_path, 4, 4)
    change(tmp_path)
    with pytest.raises(MohaqError, match=message):
        run_project(tmp_path, sample.inputs(2, 1))


def test_inputs_that_do_not_fit_are_refused(sample: Sample) -> None:
    x, h0 = sample.inputs(3, 2)
    with pytest.raises(MohaqError, match="takes 2 inputs"):
        run_project(sample.folder, [x])
    with pytest.raises(MohaqError, match="values leave 16 bits"):
        run_project(sample.folder, [x * 100, h0])
    with pytest.raises(MohaqError, match="disagree"):
        run_project(sample.folder, [x, h0[:, :1]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not even a header"),
        (np.array([2, 1], "<u4").tobytes(), "2 steps of 1 sequences need 776"),
        (
            np.array([1 << 20, 1 << 20], "<u4").tobytes(),
            r"need \d{15} bytes of shared DRAM, there are 33554432: run fewer at once",
        ),
        (np.array([0, 1], "<u4").tobytes(), "says 0 steps"),
        (np.array([1 << 31, 1 << 31], "<u4").tobytes(), "both are 1 to 1048576"),
        (np.array([1, 1, *[40000] * 128], "<u4").tobytes(), r"input 'x' at \[0, 0, 0\]: 40000"),
        (None, "cannot read"),
    ],
)
def test_the_host_program_refuses_bad_files(
    sample: Sample, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "in.bin").write_bytes(content)
    done = _host(sample, "weights.bin", str(tmp_path / "in.bin"), str(tmp_path / "out.bin"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr)
    assert not (tmp_path / "out.bin").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--what"], "unknown option '--what'"),
        (["--timeout", "soon", "a", "b", "c"], "a number of seconds, not 'soon'"),
        (["a", "b"], "usage: "),
        (["a", "b", "c", "d"], "too many files: 'd'"),
        (["--counters"], "--counters needs a value"),
    ],
)
def test_the_host_program_refuses_bad_options(
    sample: Sample, words: list[str], message: str
) -> None:
    done = _host(sample, *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_no_compiler_is_said(sample: Sample) -> None:
    options = RunOptions(build=BuildOptions(compiler="no-such-cc"))
    with pytest.raises(MohaqError, match="has no no-such-cc"):
        run_project(sample.folder, sample.inputs(1, 1), options)


def test_static_files_are_those_of_a_project() -> None:
    found = static_files()
    wanted = ("Makefile", "build.sh", "device/mohaq_rt.h", "device/device.ldf", "host/esdk.c")
    assert set(wanted) < set(found)
    text = readme("tiny", 4, 4, ["x"], ["y", "h"])
    assert "# tiny" in text
    assert "* y\n* h" in text
    assert "@" not in text


def _host(sample: Sample, *words: str) -> subprocess.CompletedProcess[str]:
    program = build_project(sample.folder)
    return subprocess.run(
        [str(program), *words], cwd=sample.folder, capture_output=True, text=True, check=False
    )
