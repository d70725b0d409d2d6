"""Numbers with units, as people read them."""

from __future__ import annotations

import math

PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def si(value: float, unit: str, digits: int = 3) -> str:
    """A number with an SI prefix: 0.00123 s -> '1.23 ms'."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    scale, prefix = next((p for p in PREFIXES if abs(value) >= p[0]), PREFIXES[-1])
    return f"{value / scale:.{digits}g} {prefix}{unit}"


def latency(seconds: float | None) -> str:
    """Seconds with a prefix; a target without a clock has none."""
    return "no clock" if seconds is None else si(seconds, "s")


def time_text(value: float, unit: str) -> str:
    """A latency in its unit: seconds with a prefix, or whole cycles."""
    return f"{value:,.0f} cycles" if unit == "cycles" else si(value, unit)


def kib(size: float) -> str:
    """Bytes as KiB."""
    return f"{size / 1024:.1f} KiB"


def error_name(metric: str) -> str:
    """What a metric's value is called: metrics count errors, that of accuracy too."""
    return "1 - accuracy" if metric == "accuracy" else metric


def objective_text(name: str, value: float, unit: str = "s") -> str:
    """An objective's value as people read it; `unit` is that of a latency."""
    match name.removeprefix("paper_"):
        case "error":
            return f"{100 * value:.2f} %"
        case "latency":
            return time_text(value, unit)
        case "energy":
            return si(value, "J")
        case "size" | "sram":
            return kib(value)
        case "speedup":
            return f"{value:.3g}x"
    return f"{value:.4g}"
