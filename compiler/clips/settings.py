"""Options of calibration, and named sets of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mohaq.compiler.clips.rule import WHOLE_WIDTH, ClipRule
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.dialects.quant import MAX_WIDTH, MIN_WIDTH

DEFAULT_WIDTHS = (2, 4, 8, 16)

GRANULARITIES = ("per-tensor", "per-channel")

OVER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "median": lambda clips: float(np.median(clips)),
    "max": max,
    "mean": lambda clips: float(np.mean(clips)),
}
"""How the clips of all calibration sequences become one."""


@dataclass(frozen=True)
class CalibrationSettings:
    """How ranges become clips (MOHAQ's scheme is the default).

    widths: a clip is stored for each, 2..16. method: of searched slots, see `ClipRule`;
    `activation` and `weight` name another one for layer inputs (and the h that recurrent products
    read) or for weights. percentile: in percent, for that method.
    over: activations get a clip for each sequence, then their `median`, `max` or `mean`. At
    16 bits, and for the slots that always have 16 bits (state, outputs, vectors, projections,
    inputs of the program): largest magnitude over all sequences, since there a clipped peak
    costs more than the step.
    granularity: `per-tensor`, or `per-channel` for one more clip a row of searched weights, which
    targets that can take them use (the others take the tensor's).

    Raises:
        MohaqError: unknown name, a width or percentile out of range.
    """

    widths: tuple[int, ...] = DEFAULT_WIDTHS
    method: str = "mmse"
    granularity: str = "per-tensor"
    activation: str = ""
    weight: str = ""
    percentile: float = 99.99
    over: str = "median"

    def __post_init__(self) -> None:
        if self.granularity not in GRANULARITIES:
            raise MohaqError(
                f"unknown granularity '{self.granularity}'",
                hint="use " + " or ".join(GRANULARITIES),
            )
        if self.over not in OVER:
            raise MohaqError(
                f"cannot take the '{self.over}' over sequences", hint="use " + ", ".join(OVER)
            )
        for method in (self.method, self.activation, self.weight):
            if method:
                ClipRule(method, self.percentile)
        if not self.method:
            raise MohaqError("a clip method is needed")
        bad = [w for w in self.widths if not MIN_WIDTH <= w <= MAX_WIDTH]
        if bad or not self.widths:
            raise MohaqError(f"widths must be {MIN_WIDTH}..{MAX_WIDTH} bits, got {self.widths}")

    @property
    def weights(self) -> ClipRule:
        """Rule of searched weights."""
        return ClipRule(self.weight or self.method, self.percentile)

    @property
    def activations(self) -> ClipRule:
        """Rule of layer inputs and of what recurrent products read."""
        return ClipRule(self.activation or self.method, self.percentile)

    def over_sequences(self, runs: Sequence[Mapping[int, float]]) -> dict[int, float]:
        """One clip for each width from those of every sequence."""
        return {
            w: (max if w >= WHOLE_WIDTH else OVER[self.over])([clips[w] for clips in runs])
            for w in self.widths
        }

    def with_widths(self, widths: Sequence[int]) -> CalibrationSettings:
        """The same with other widths."""
        return replace(self, widths=tuple(sorted(set(widths))))


PRESETS: Mapping[str, CalibrationSettings] = {
    "mohaq": CalibrationSettings(
        method="mmse", granularity="per-tensor", over="median", activation="", weight=""
    ),
}
"""Named schemes. mohaq: that of arXiv 2108.01192; docs/semantics.md lists the deviations."""


def preset(name: str) -> CalibrationSettings:
    """Settings by name.

    Raises:
        MohaqError: unknown name.
    """
    if name not in PRESETS:
        raise MohaqError(f"no calibration preset '{name}'", hint=did_you_mean(name, PRESETS))
    return PRESETS[name]
