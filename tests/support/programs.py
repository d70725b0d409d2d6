"""The random networks of the conformance kit, under the name that our tests use."""

from __future__ import annotations

from mohaq.backends.testing.programs import (
    CELLS,
    Frames,
    calibrated,
    cell,
    one_cell,
    one_sru,
    sequences,
    speech_like,
    sru,
    tensor,
)

__all__ = [
    "CELLS",
    "Frames",
    "calibrated",
    "cell",
    "one_cell",
    "one_sru",
    "sequences",
    "speech_like",
    "sru",
    "tensor",
]
