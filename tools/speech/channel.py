"""What a microphone and a room do to clean speech: tilt, reverberation, coloured noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_RMS = 2000.0
_REVERB_S = 0.4
_CORNER_HZ = 1000.0


@dataclass(frozen=True)
class Channel:
    """One recording situation.

    Attributes:
        tilt_db: gain per octave away from 1 kHz, decibel.
        reverb_s: time in which the reverberation falls by 60 dB, seconds.
        reverb_db: level of the reverberation below the direct sound, decibel.
        noise_db: signal-to-noise ratio, decibel.
        noise_colour: the noise power falls with frequency to this power (0 white, 1 pink, 2 red).
    """

    tilt_db: float
    reverb_s: float
    reverb_db: float
    noise_db: float
    noise_colour: float


def draw_channel(rng: np.random.Generator) -> Channel:
    """A random situation; the ranges set how hard the task is."""
    return Channel(
        tilt_db=float(rng.uniform(-2.0, 2.0)),
        reverb_s=float(rng.uniform(0.05, 0.35)),
        reverb_db=float(rng.uniform(4.0, 16.0)),
        noise_db=float(rng.uniform(8.0, 28.0)),
        noise_colour=float(rng.uniform(0.0, 2.0)),
    )


def _rms(wave: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) or 1.0


def record(wave: Floats, rate: int, channel: Channel, rng: np.random.Generator) -> Floats:
    """Speech as it arrives through `channel`.

    Args:
        wave: [N] clean speech, any level.
        rate: samples per second.
        channel: the situation.
        rng: draws the reverberation tail and the noise.

    Returns:
        [N], at the level of a 16-bit recording.
    """
    tail_length = int(_REVERB_S * rate)
    # A power of two: transforms of odd lengths took most of the generator's time.
    size = 1 << (len(wave) + tail_length - 1).bit_length()
    hertz = np.fft.rfftfreq(size, 1.0 / rate)
    hertz[0] = hertz[1]
    tilt = 10.0 ** (channel.tilt_db * np.log2(np.maximum(hertz, 50.0) / _CORNER_HZ) / 20.0)

    decay = np.exp(-np.log(1000.0) * np.arange(tail_length) / (channel.reverb_s * rate))
    tail = decay * rng.standard_normal(tail_length)
    room = tail * (10.0 ** (-channel.reverb_db / 20.0) / np.sqrt(np.sum(tail**2)))
    room[0] += 1.0

    clean = wave * (_RMS / _rms(wave))
    spectrum = np.fft.rfft(clean, size) * np.fft.rfft(room, size) * tilt
    speech = np.fft.irfft(spectrum, size)[: len(wave)]

    white = np.fft.rfft(rng.standard_normal(size))
    colour = (np.maximum(hertz, 50.0) / _CORNER_HZ) ** (-channel.noise_colour / 2.0)
    noise = np.fft.irfft(white * colour, size)[: len(wave)]
    noise *= _rms(speech) / _rms(noise) * 10.0 ** (-channel.noise_db / 20.0)
    return np.asarray(speech + noise, np.float32)
