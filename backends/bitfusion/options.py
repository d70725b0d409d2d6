"""Options that the backend knows; anything else is refused."""

from __future__ import annotations

from mohaq.backends.base import Options
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

TIMING = ("physical",)
NUMERICS = ("legalized", "bricks")
"""`bricks` makes the simulator form products from 2-bit bricks; the numbers are the same."""

PREFER = ("latency", "energy", "balanced")


def check_options(options: Options) -> None:
    """Check every field.

    Raises:
        MohaqError: a value that the backend does not know.
    """
    for name, known in (("timing", TIMING), ("numerics", NUMERICS), ("prefer", PREFER)):
        value = getattr(options, name)
        if value not in known:
            raise MohaqError(
                f"Bit Fusion does not know {name} '{value}'", hint=did_you_mean(str(value), known)
            )
