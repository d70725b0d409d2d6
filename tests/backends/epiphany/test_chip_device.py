"""The sample compiled for the chip and run there, in Python: the same outputs as everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from epiphany_chip import run_on_chip
from epiphany_sample import write_sample
from epiphany_toolchain import requires_toolchain

pytestmark = requires_toolchain


@pytest.mark.parametrize(("rows", "cols", "frames", "batch"), [(2, 2, 3, 2), (4, 4, 2, 1)])
def test_the_sample_runs_on_the_chip(
    tmp_path: Path, rows: int, cols: int, frames: int, batch: int
) -> None:
    sample = write_sample(tmp_path, rows, cols)
    inputs = sample.inputs(frames, batch)
    expected = np.concatenate([a.ravel() for a in sample.expected(inputs[0], inputs[1])])
    for seed in range(3):
        got = run_on_chip(tmp_path, tmp_path, inputs, seed=seed)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("main.c", "if (!(made(NO_BARRIER) && t == 1) &&", "if (t != 1 &&"),
        ("mohaq_rt.c", "d->config |= DMA_MESSAGE;", "d->config |= 0;"),
        (
            "mohaq_rt.c",
            "    mohaq_dma_wait(0);\n    mohaq_dma_wait(1);\n    __asm__",
            "    __asm__",
        ),
    ],
    ids=["no barrier", "DMA ends before its data arrive", "done before the last DMA"],
)
def test_this_chip_notices_what_a_real_one_might(
    tmp_path: Path, file: str, right: str, wrong: str
) -> None:
    sample = write_sample(tmp_path, 2, 2)
    changed = tmp_path / "device" / file
    text = changed.read_text()
    assert right in text
    if file == "mohaq_rt.c" and "wait" in right:  # then the program must not wait either
        main = tmp_path / "device" / "main.c"
        head, last, tail = main.read_text().rpartition("    mohaq_dma_wait(1);\n}")
        main.write_text(head + last.partition("\n")[2] + tail)
    changed.write_text(text.replace(right, wrong))
    inputs = sample.inputs(3, 2)
    expected = np.concatenate([a.ravel() for a in sample.expected(inputs[0], inputs[1])])
    outputs = [run_on_chip(tmp_path, tmp_path, inputs, seed=seed) for seed in range(4)]
    assert any(not np.array_equal(got, expected) for got in outputs)
