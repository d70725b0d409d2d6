"""Inputs of the checks of a folder, and how long answers are written shortly."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.state import State, reset

Ints = npt.NDArray[np.int64]

FILE = "expected.json"
SCHEMA = "mohaq.silago.expected/1"

STEP, APART = 2654435761, 104729
"""Word i of sequence s is the upper bits of STEP * (i + 1 + APART * s) modulo 2^32."""

QUIET_BITS = 2
"""Bits of the words of the further vectors of a product, which saturate little."""

CALM_BITS = 12
"""Bits of the words of the second execution of an elementwise phase."""

PHASE_STEP = 16
"""Sequences of a phase."""

DIGITS = 16
"""Hexadecimal digits of a digest."""


def check_words(count: int, sequence: int, bits: int) -> Ints:
    """Words 0 .. count-1 of a sequence: signed numbers of `bits` bits, [count]."""
    places = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(APART * sequence)
    high = ((places * np.uint64(STEP)) & np.uint64(0xFFFFFFFF)) >> np.uint64(32 - bits)
    words = high.astype(np.int64)
    return np.where(words >= 1 << (bits - 1), words - (1 << bits), words)


def product_vectors(count: int, number: int, bits: int) -> list[Ints]:
    """Operands [count] of the product with a number: two that go as a pair, and a single one."""
    first = 1 + PHASE_STEP * number
    places = ((first, bits), (first, QUIET_BITS), (first + 1, QUIET_BITS))
    return [check_words(count, sequence, width) for sequence, width in places]


def elementwise_operands(count: int, number: int, extent: int, still: Container[int]) -> list[Ints]:
    """Operands [2, extent] of the elementwise phase with a number, for two executions.

    still: operands that are the same in both, because their rows may stay in the tiles.
    """
    first = 1 + PHASE_STEP * number
    return [
        np.stack(
            [
                check_words(extent, first + n, 16 if not f or n in still else CALM_BITS)
                for f in range(2)
            ]
        )
        for n in range(count)
    ]


def filled(fabric: Fabric) -> State:
    """A fabric after reset with sequence 0 in its tiles: tile by tile, row by row."""
    state = reset(fabric)
    state.sram[...] = check_words(state.sram.size, 0, 16).reshape(state.sram.shape)
    return state


def digest(numbers: npt.NDArray[Any]) -> str:
    """The first digits of the SHA-256 of numbers as little-endian 64-bit integers."""
    data = np.ascontiguousarray(numbers, dtype="<i8").tobytes()
    return hashlib.sha256(data).hexdigest()[:DIGITS]
