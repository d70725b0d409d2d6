"""What a backend's author runs: the contract of docs/write-a-backend.md as tests.

    class TestMine(Conformance):
        backend = BACKEND

Needs pytest and hypothesis (the extra `test`). Nothing outside tests imports this package.
"""

from mohaq.backends.testing.built import Built, build
from mohaq.backends.testing.conformance import Conformance
from mohaq.backends.testing.family import Drawn, layers
from mohaq.backends.testing.programs import calibrated, one_cell, sequences, speech_like
from mohaq.backends.testing.rules import KINDS

__all__ = [
    "KINDS",
    "Built",
    "Conformance",
    "Drawn",
    "build",
    "calibrated",
    "layers",
    "one_cell",
    "sequences",
    "speech_like",
]
