"""How the values of a tensor become the clip of a symmetric grid: one module a method.

Every method sees values divided by their largest magnitude and gives shares of it, so a clip
grows and shrinks with the values: clip(k x) = k clip(x).
"""

from mohaq.compiler.clips.rule import METHODS, ClipRule
from mohaq.compiler.clips.settings import (
    DEFAULT_WIDTHS,
    PRESETS,
    CalibrationSettings,
    preset,
)

__all__ = ["DEFAULT_WIDTHS", "METHODS", "PRESETS", "CalibrationSettings", "ClipRule", "preset"]
