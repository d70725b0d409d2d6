"""Voices that nobody has: training features bent so that unseen voices surprise the network less."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mohaq.tools.speech.fbank import FbankOptions

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Augment:
    """How far features are bent; 0 turns a part off.

    Attributes:
        warp: largest stretch of the frequency axis (another vocal tract length), as a logarithm.
        scale: largest relative change of the dynamic range.
        mask: most neighbouring bands blanked at once.
        noise: standard deviation of noise added to the features.
    """

    warp: float = 0.16
    scale: float = 0.15
    mask: int = 4
    noise: float = 0.1

    def apply(self, features: Floats, rng: np.random.Generator, options: FbankOptions) -> Floats:
        """Bend one utterance.

        Args:
            features: [T, bands], their utterance mean removed.
            rng: draws everything.
            options: of the filter bank that the features come from.

        Returns:
            [T, bands], new.
        """
        bands = features.shape[1]
        factor = float(np.exp(rng.uniform(-self.warp, self.warp)))
        bent = features @ _warp_matrix(bands, factor, options)
        bent *= np.float32(1.0 + rng.uniform(-self.scale, self.scale))
        bent += np.float32(self.noise) * rng.standard_normal(bent.shape, np.float32)
        width = int(rng.integers(self.mask + 1))
        first = int(rng.integers(bands - width + 1))
        bent[:, first : first + width] = 0.0
        return bent


def _warp_matrix(bands: int, factor: float, options: FbankOptions) -> Floats:
    """[bands, bands] linear interpolation that reads band b at `factor` times its frequency."""
    low, high = (1127.0 * np.log1p(f / 700.0) for f in (options.low_hz, options.high_hz))
    step = (high - low) / (bands + 1)
    hertz = 700.0 * np.expm1((low + step * np.arange(1, bands + 1)) / 1127.0)
    place = (1127.0 * np.log1p(factor * hertz / 700.0) - low) / step - 1.0
    place = np.clip(place, 0.0, bands - 1.0)
    distance = np.abs(np.arange(bands)[:, None] - place[None, :])
    return np.asarray(np.maximum(0.0, 1.0 - distance), np.float32)
