"""Pre-trained voice-activity networks: import, compile, run in chunks (DESIGN D9, D13)."""

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

STATE = (1, 1, 128)


def signal(frames: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Bursts of a wavering tone in noise, cut as the model wants it: [frames, 64 + 512]."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames * 512) / 16000
    tone = np.sin(2 * np.pi * (200 + 50 * np.sin(2 * np.pi * 3 * t)) * t)
    sound = 0.3 * tone * (np.sin(2 * np.pi * 0.8 * t) > 0) + 0.01 * rng.normal(size=t.size)
    whole = np.concatenate([np.zeros(64), sound]).astype(np.float32)
    return np.stack([whole[n * 512 : n * 512 + 576] for n in range(frames)])


MODELS: tuple[tuple[str, tuple[str, ...], dict[str, int]], ...] = (
    ("silero_vad", ("data", "silero_vad_16k_sequence.onnx"), {}),
    ("silero_vad", ("data", "silero_vad.onnx"), {"sr": 16000, "input.1": 576}),
    ("silero_vad", ("data", "silero_vad_16k_op15.onnx"), {"sr": 16000, "sequence": 576}),
    ("silero_vad", ("data", "silero_vad_half.onnx"), {"sequence": 576}),
    ("silero_vad", ("data", "silero_vad_op18_ifless.onnx"), {"sr": 16000}),
    ("faster_whisper", ("assets", "silero_vad_v6.onnx"), {}),
)


@pytest.mark.parametrize(("package", "parts", "fixed"), MODELS, ids=[m[1][1] for m in MODELS])
def test_pretrained_models_equal_their_runtime(
    package: str, parts: tuple[str, ...], fixed: dict[str, int]
) -> None:
    path = shipped(package, *parts)
    program = mohaq.load(path, constants=fixed)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options)
    x = signal(8)
    feeds: dict[str, Any] = {"input": x}
    for info in session.get_inputs():
        if info.name == "sr":
            feeds["sr"] = np.array(16000, dtype=np.int64)
        elif info.name == "state":
            feeds["state"] = np.zeros((2, len(x), 128), dtype=np.float32)
        elif info.name in {"h", "c"}:
            feeds[info.name] = np.zeros(STATE, dtype=np.float32)
    for _ in range(2):  # the second time from the states that the first ended in
        theirs = session.run(None, feeds)
        ours = run_float(program, [feeds[n or ""] for n in argument_names(program.entry)])
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=5e-6)
        names = ("h", "c") if "h" in feeds else ("state",)
        feeds |= dict(zip(names, theirs[1:], strict=True))


def test_a_voice_activity_network_on_a_target(tmp_path: Path) -> None:
    path = shipped("silero_vad", "data", "silero_vad_16k_sequence.onnx")
    program = mohaq.load(path)
    mohaq.calibrate(program, [signal(20, seed) for seed in range(3)])
    mohaq.compile(program, "reference", mohaq.Assignment.uniform(8), tmp_path / "vad")
    opened = mohaq.CompiledFolder(tmp_path / "vad")
    assert opened.host is not None
    assert set(opened.host.refused) == {
        "stft.Conv", "encoder.0.Conv", "encoder.1.Conv", "encoder.2.Conv", "encoder.3.Conv",
        "output.Conv",
    }  # fmt: skip
    assert (opened.host.bytes_in, opened.host.bytes_out) == (256, 256)
    x = signal(30, 9)
    whole = opened.run(x, check=True)
    assert whole.equal
    chunks, states = [], None
    for first in range(0, len(x), 7):
        part = opened.run(x[first : first + 7], states=states, check=True)
        assert part.equal
        chunks.append(part.outputs)
        states = part.states
    assert states is not None
    for one, other in zip(states, whole.states, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.concatenate(chunks), whole.outputs)
    zeros = [np.zeros(STATE, dtype=np.float32)] * 2
    (real, *_) = run_float(program, [x, *zeros])
    assert float(np.abs(whole.outputs - real).max()) < 0.05


def test_speech_is_told_from_silence(tmp_path: Path) -> None:
    """On a synthesised sentence between two silences, in 8 bits on a target."""
    pytest.importorskip("espeakng_loader", reason="needs the extra 'speech'")
    from scipy.signal import resample_poly

    from mohaq.tools.speech.espeak import RATE, Prosody, synthesise

    spoken = synthesise("please switch on the light in the kitchen", "en-us", Prosody(), 1).samples
    speech = resample_poly(np.asarray(spoken, dtype=np.float64), 16000, RATE)
    speech = 0.5 * speech / np.abs(speech).max()
    rng = np.random.default_rng(0)
    quiet = np.zeros(16000)
    sound = np.concatenate([quiet, speech, quiet]) + 0.001 * rng.normal(size=32000 + len(speech))
    count = (len(sound) - 64) // 512
    x = np.stack([sound[n * 512 : n * 512 + 576] for n in range(count - 1)]).astype(np.float32)
    program = mohaq.load(shipped("silero_vad", "data", "silero_vad_16k_sequence.onnx"))
    mohaq.calibrate(program, [x])
    mohaq.compile(program, "reference", mohaq.Assignment.uniform(8), tmp_path / "vad")
    ran = mohaq.CompiledFolder(tmp_path / "vad").run(x, check=True)
    assert ran.equal
    first, last = 16000 // 512, (16000 + len(speech)) // 512
    assert ran.outputs[:first].max() < 0.5
    assert float(np.mean(ran.outputs[first:last] > 0.5)) > 0.7
