"""Options that the backend knows; anything else is refused."""

from __future__ import annotations

from mohaq.backends.base import Options, require_known

NUMERICS = ("legalized", "bricks")
"""`bricks` makes the simulator form products from 2-bit bricks; the numbers are the same."""


def check_options(options: Options) -> None:
    """Check every field.

    Raises:
        MohaqError: a value that the backend does not know.
    """
    require_known(options, "Bit Fusion", numerics=NUMERICS)
