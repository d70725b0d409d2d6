"""Log mel filter-bank features in NumPy.

The recipe is the one of the Kaldi toolkit's `compute-fbank-feats` (mirrored edges, DC removal,
pre-emphasis 0.97, Povey window, power spectrum, triangles on the 1127 ln mel scale), without
dither; `kaldi_native_fbank` is the oracle in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FbankOptions:
    """What defines the features.

    Attributes:
        rate: samples per second.
        bands: number of mel bands.
        window_s: window length, seconds.
        shift_s: distance of two frames, seconds.
        low_hz: lower edge of the first band.
        high_hz: upper edge of the last band.
    """

    rate: int = 22050
    bands: int = 23
    window_s: float = 0.025
    shift_s: float = 0.010
    low_hz: float = 20.0
    high_hz: float = 8000.0

    @property
    def window(self) -> int:
        """Window length, samples (rounded down, as Kaldi does)."""
        return int(self.rate * self.window_s)

    @property
    def shift(self) -> int:
        """Frame distance, samples (rounded down, as Kaldi does)."""
        return int(self.rate * self.shift_s)

    @property
    def fft(self) -> int:
        """Transform length, samples: the next power of two."""
        return 1 << (self.window - 1).bit_length()


def frame_count(samples: int, options: FbankOptions) -> int:
    """Number of frames of a signal of `samples` samples."""
    return (samples + options.shift // 2) // options.shift


def frame_centres(frames: int, options: FbankOptions) -> npt.NDArray[np.int64]:
    """[frames] sample index of each frame's centre."""
    return np.arange(frames, dtype=np.int64) * options.shift + options.shift // 2


@lru_cache(maxsize=8)
def _window(length: int) -> Floats:
    angle = 2.0 * np.pi * np.arange(length) / (length - 1)
    return np.asarray((0.5 - 0.5 * np.cos(angle)) ** 0.85, np.float32)


@lru_cache(maxsize=8)
def _triangles(options: FbankOptions) -> Floats:
    """[fft/2 + 1, bands] weights of the mel triangles."""

    def mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0))

    low, high = float(mel(options.low_hz)), float(mel(options.high_hz))
    edges = low + (high - low) / (options.bands + 1) * np.arange(options.bands + 2)
    bins = mel(np.arange(options.fft // 2 + 1) * (options.rate / options.fft))[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    weights = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    weights = np.maximum(weights, 0.0)
    weights[-1] = 0.0  # Kaldi leaves the Nyquist bin out
    return weights.astype(np.float32)


def fbank(signal: npt.ArrayLike, options: FbankOptions | None = None) -> Floats:
    """Log mel energies.

    Args:
        signal: [samples], in units of a 16-bit integer (full scale 32768).
        options: what to compute; 23 bands at 22,050 Hz by default.

    Returns:
        [T, bands] float32, natural log of the energy, T as `frame_count` says.

    Raises:
        ValueError: the signal is not one-dimensional or shorter than half a frame shift.
    """
    options = options or FbankOptions()
    wave = np.asarray(signal, np.float32)
    if wave.ndim != 1:
        raise ValueError(f"a signal has one dimension, got shape {wave.shape}")
    frames = frame_count(len(wave), options)
    if frames == 0:
        raise ValueError(f"{len(wave)} samples are too short for one frame")
    start = frame_centres(frames, options) - options.window // 2
    index = start[:, None] + np.arange(options.window)
    period = 2 * len(wave)  # mirrored edges, for signals shorter than a window too
    index %= period
    index = np.where(index >= len(wave), period - 1 - index, index)
    cut = wave[index]
    cut -= cut.mean(axis=1, keepdims=True)
    emphasised = cut.copy()
    emphasised[:, 1:] -= np.float32(0.97) * cut[:, :-1]
    emphasised[:, 0] -= np.float32(0.97) * cut[:, 0]
    emphasised *= _window(options.window)
    spectrum = np.fft.rfft(emphasised, options.fft, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    energy = power.astype(np.float32) @ _triangles(options)
    logs: Floats = np.log(np.maximum(energy, np.finfo(np.float32).eps))
    return logs
