"""The drawn layers of the conformance kit, under the name that our tests use."""

from __future__ import annotations

from mohaq.backends.testing.family import (
    BOUNDED,
    CELL_FUNCTIONS,
    KINDS,
    Drawn,
    granularity,
    layers,
    moved_zero,
)

__all__ = [
    "BOUNDED",
    "CELL_FUNCTIONS",
    "KINDS",
    "Drawn",
    "granularity",
    "layers",
    "moved_zero",
]
