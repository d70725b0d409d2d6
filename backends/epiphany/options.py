"""Options that the backend knows; anything else is refused."""

from __future__ import annotations

from mohaq.backends.base import Options, require_known


def check_options(options: Options) -> None:
    """Check every field.

    Preferences are all the same: cores spin while they wait, so the fastest schedule takes the
    least energy.

    Raises:
        MohaqError: a value that the backend does not know.
    """
    require_known(options, "Epiphany")
