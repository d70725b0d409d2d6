"""Options that the backend knows; anything else is refused."""

from __future__ import annotations

from mohaq.backends.base import Options, require_known


def check_options(options: Options) -> None:
    """Check every field; there is one schedule, so preferences are all the same.

    Raises:
        MohaqError: a value that the backend does not know.
    """
    require_known(options, "the reference backend")
