"""Options that the backend knows; anything else is refused."""

from __future__ import annotations

from mohaq.backends.base import Options
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

TIMING = ("physical",)
NUMERICS = ("legalized",)
PREFER = ("latency", "energy", "balanced")
"""All the same: cores spin while they wait, so the fastest schedule takes the least energy."""


def check_options(options: Options) -> None:
    """Check every field.

    Raises:
        MohaqError: a value that the backend does not know.
    """
    for name, known in (("timing", TIMING), ("numerics", NUMERICS), ("prefer", PREFER)):
        value = getattr(options, name)
        if value not in known:
            raise MohaqError(
                f"Epiphany does not know {name} '{value}'", hint=did_you_mean(str(value), known)
            )
