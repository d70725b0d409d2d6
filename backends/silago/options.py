"""Options that the backend knows; anything else is refused."""

from __future__ import annotations

from mohaq.backends.base import Options
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

KNOWN = {
    "timing": ("physical",),
    "numerics": ("legalized",),
    "prefer": ("latency", "energy", "balanced"),
}
"""`prefer` changes nothing: there is one schedule."""


def check_options(options: Options) -> None:
    """Check every field.

    Raises:
        MohaqError: a value that the backend does not know.
    """
    for name, known in KNOWN.items():
        value = getattr(options, name)
        if value not in known:
            raise MohaqError(
                f"SiLago does not know {name} '{value}'", hint=did_you_mean(str(value), known)
            )
