"""Mistakes planted in the sample program: the stand-in says what is wrong, sanitizers agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from epiphany_sample import Sample, mistakes, write_sample

from mohaq.backends.epiphany.simulator import (
    BuildOptions,
    ProjectRun,
    RunOptions,
    missing_tools,
    run_project,
)
from mohaq.backends.epiphany.simulator.build import Sanitizer
from mohaq.compiler.diagnostics import MohaqError

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason="needs a C compiler and make")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("sample"), 2, 2)


Run = Callable[..., ProjectRun]


@pytest.fixture
def run(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> Run:
    def _run(mistake: str, options: RunOptions | None = None) -> ProjectRun:
        monkeypatch.setenv("SAMPLE_MISTAKE", mistakes()[mistake])
        return run_project(sample.folder, sample.inputs(3, 2), options)

    return _run


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("TO_ITSELF", r"core \d: a core does not push to itself"),
        ("DEADLOCK", r"3 cores wait at a barrier that 1 others never reach"),
        ("FAILS", r"core 3 stopped with error 0x105, detail 0x4d"),
        ("SOURCE_CHANGED", r"the source of a DMA on channel 1 changed before its wait"),
        ("EARLY_WRITE", r"the target of a DMA on channel 1 was written before its wait"),
        ("MISALIGNED", r"DMA of 8 bytes: addresses and length are multiples of 8"),
        ("READS_FLAGS", r"DMA reads the done flags"),
        ("OUTSIDE", r"DMA of 8 bytes: one end is this core's memory, the other shared DRAM"),
    ],
)
def test_the_stand_in_stops_at(run: Run, mistake: str, message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        run(mistake)


def test_the_stand_in_stops_at_data_pushed_after_the_last_barrier(run: Run) -> None:
    with pytest.raises(MohaqError, match="pushed after the last barrier"):
        run("LATE_PUSH", RunOptions(pushes="late"))


def test_a_hanging_program_is_stopped(run: Run) -> None:
    with pytest.raises(MohaqError, match="no end after 1 s: 4 of 4 cores still run"):
        run("ENDLESS", RunOptions(seconds=1))


@pytest.mark.parametrize("mistake", ["NO_WAIT", "NO_BARRIER"])
def test_what_is_read_too_early_is_wrong(sample: Sample, run: Run, mistake: str) -> None:
    made = run(mistake, RunOptions(pushes="late"))
    assert not np.array_equal(made.outputs[0], sample.expected(*sample.inputs(3, 2))[0])


@pytest.mark.parametrize(
    ("mistake", "sanitize", "message"),
    [
        ("NO_WAIT", "address,undefined", "AddressSanitizer: use-after-poison"),
        ("DIRECT", "address,undefined", "AddressSanitizer: use-after-poison"),
        ("NO_BARRIER", "thread", "ThreadSanitizer: data race"),
    ],
)
def test_sanitizers_find(run: Run, mistake: str, sanitize: Sanitizer, message: str) -> None:
    options = RunOptions(build=BuildOptions(sanitize=sanitize))
    with pytest.raises(MohaqError, match=message):
        run(mistake, options)


@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_a_right_program_is_clean(sample: Sample, sanitize: Sanitizer) -> None:
    inputs = sample.inputs(4, 2)
    for pushes in ("early", "late"):
        options = RunOptions(BuildOptions(sanitize=sanitize), pushes=pushes)
        outputs, _ = run_project(sample.folder, inputs, options)
        for got, want in zip(outputs, sample.expected(*inputs), strict=True):
            np.testing.assert_array_equal(got, want)
