"""The features against Kaldi's, and properties that any filter bank has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.tools.speech.fbank import FbankOptions, fbank, frame_centres, frame_count


def noise(samples: Any, seed: int = 0) -> Any:
    return (np.random.default_rng(seed).standard_normal(samples) * 1000).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "high", "samples"), [(22050, 8000, 30_001), (8000, 4000, 9_000), (16000, 7600, 777)]
)
def test_equal_to_kaldi(rate: int, high: int, samples: Any) -> None:
    kaldi = pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank has no wheel here")
    options = kaldi.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = 23
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = high
    options.use_energy = False
    online = kaldi.OnlineFbank(options)
    wave = noise(samples)
    online.accept_waveform(rate, wave.tolist())
    online.input_finished()
    wanted = np.stack([online.get_frame(i) for i in range(online.num_frames_ready)])
    found = fbank(wave, FbankOptions(rate=rate, high_hz=high))
    np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(110, 3000), st.integers(0, 99))
def test_shape_and_frame_times(samples: Any, seed: int) -> None:
    options = FbankOptions()
    features = fbank(noise(samples, seed), options)
    assert features.shape == (frame_count(samples, options), 23)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    centres = frame_centres(len(features), options)
    assert (np.diff(centres) == options.shift).all()
    assert centres[-1] < samples + options.shift


def test_gain_is_a_shift_of_all_bands() -> None:
    wave = noise(8000)
    np.testing.assert_allclose(fbank(3 * wave), fbank(wave) + 2 * np.log(3), atol=1e-3)


def test_a_tone_lights_its_band_and_a_constant_none() -> None:
    options = FbankOptions()
    times = np.arange(8000) / options.rate
    low, high = (fbank(1000 * np.sin(2 * np.pi * f * times))[20].argmax() for f in (300, 5000))
    assert low < 6
    assert high > 15
    assert fbank(np.full(4000, 500.0)).max() < -10


def test_silence_stays_finite() -> None:
    assert np.isfinite(fbank(np.zeros(3000))).all()


@pytest.mark.parametrize("wave", [np.zeros(0), np.zeros(50), np.zeros((4, 500))])
def test_no_signal_is_refused(wave: Any) -> None:
    with pytest.raises(ValueError, match=r"too short|one dimension"):
        fbank(wave)
