"""Counters of a layer, core by core."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
KERNELS = ("mv8_w2", "mv8_w4", "mv8_w8", "mv8_w16", "tile4_w2", "tile4_w4", "tile4_w8", "tile4_w16")
"""Kernels by the number that the runtime counts them under."""

ELEMENT_KINDS = ("rescale", "lookup", "state", "convert", "flush", "store")
"""What is counted beside kernel calls: sums that become values, table lookups, states written,
activations read and widened, sums added to a pair, values held for a transfer."""

WEIGHTS, ACTIVATIONS = 0, 1
"""DMA channels."""


@dataclass
class Counts:
    """Counters of one layer, core by core ([P] each).

    kernels: {(name, columns): calls}. elements: {kind: count}. reads and writes by DMA channel.
    """

    cores: int
    kernels: dict[tuple[str, int], Ints] = field(default_factory=dict)
    elements: dict[str, Ints] = field(default_factory=dict)
    read_bytes: list[Ints] = field(default_factory=list)
    reads: list[Ints] = field(default_factory=list)
    write_bytes: list[Ints] = field(default_factory=list)
    writes: list[Ints] = field(default_factory=list)
    pushes: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    push_bytes: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    push_stores: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    push_byte_hops: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    barriers: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        for name in ("pushes", "push_bytes", "push_stores", "push_byte_hops", "barriers"):
            setattr(self, name, np.zeros(self.cores, dtype=np.int64))
        for name in ("read_bytes", "reads", "write_bytes", "writes"):
            setattr(self, name, [np.zeros(self.cores, dtype=np.int64) for _ in range(2)])
        self.elements = {k: np.zeros(self.cores, dtype=np.int64) for k in ELEMENT_KINDS}


def scaled(found: Counts, times: int) -> Counts:
    """The same work done several times."""
    made = Counts(found.cores)
    made.kernels = {k: v * times for k, v in found.kernels.items()}
    made.elements = {k: v * times for k, v in found.elements.items()}
    for name in ("read_bytes", "reads", "write_bytes", "writes"):
        setattr(made, name, [v * times for v in getattr(found, name)])
    for name in ("pushes", "push_bytes", "push_stores", "push_byte_hops", "barriers"):
        setattr(made, name, getattr(found, name) * times)
    return made


def added(a: Counts, b: Counts) -> Counts:
    """The work of two stages of one layer."""
    made = scaled(a, 1)
    for key, calls in b.kernels.items():
        made.kernels[key] = made.kernels.get(key, np.zeros_like(calls)) + calls
    for kind, count in b.elements.items():
        made.elements[kind] = made.elements[kind] + count
    for name in ("read_bytes", "reads", "write_bytes", "writes"):
        pair = zip(getattr(a, name), getattr(b, name), strict=True)
        setattr(made, name, [x + y for x, y in pair])
    for name in ("pushes", "push_bytes", "push_stores", "push_byte_hops", "barriers"):
        setattr(made, name, getattr(a, name) + getattr(b, name))
    return made
