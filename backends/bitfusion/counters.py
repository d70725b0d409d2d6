"""What is counted, and how seconds and joules follow from the counts.

One formula for the estimate, the cost model and the simulator: they must find the same counts
on their own, and equal counts give equal costs to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Costs
from mohaq.backends.bitfusion.machine import Machine

COUNTERS = (
    "cycles",
    "array_cycles",
    "ppu_cycles",
    "macs",
    "mac_passes",
    "ppu_ops",
    "dram_read_bits",
    "dram_write_bits",
    "chip_bits",
    "ibuf_read_bits",
    "ibuf_write_bits",
    "wbuf_read_bits",
    "wbuf_write_bits",
    "obuf_read_bits",
    "obuf_write_bits",
    "pbuf_read_bits",
    "pbuf_write_bits",
)
"""All counters. `macs` are products of whole operands in passes of at most 8x8 bits;
`mac_passes` are multiply-accumulate instructions executed on a tile; `chip_bits` are moved
between scratchpads instead of DRAM (they count at both as well)."""

INDEX = {name: position for position, name in enumerate(COUNTERS)}

ENERGY = (
    ("array_cycles", "core_pj_per_cycle"),
    ("ppu_ops", "ppu_pj_per_op"),
    ("dram_read_bits", "dram_pj_per_bit"),
    ("dram_write_bits", "dram_pj_per_bit"),
    ("ibuf_read_bits", "ibuf_read_pj_per_bit"),
    ("ibuf_write_bits", "ibuf_write_pj_per_bit"),
    ("wbuf_read_bits", "wbuf_read_pj_per_bit"),
    ("wbuf_write_bits", "wbuf_write_pj_per_bit"),
    ("obuf_read_bits", "obuf_read_pj_per_bit"),
    ("obuf_write_bits", "obuf_write_pj_per_bit"),
    ("pbuf_read_bits", "pbuf_read_pj_per_bit"),
    ("pbuf_write_bits", "pbuf_write_pj_per_bit"),
)
"""(counter, constant): energy is the sum of the products, in this order, in picojoules."""


def joules(counts: npt.NDArray[np.int64], machine: Machine) -> Any:
    """Energy [J] of counts [..., len(COUNTERS)]."""
    total: Any = np.zeros(counts.shape[:-1])
    for counter, constant in ENERGY:
        total = total + counts[..., INDEX[counter]] * float(machine.constants[constant])
    return total * 1e-12


def seconds(counts: npt.NDArray[np.int64], machine: Machine) -> Any:
    """Time [s] of counts [..., len(COUNTERS)]."""
    return counts[..., INDEX["cycles"]] / float(machine.constants["clock"])


def costs(counts: npt.NDArray[np.int64], machine: Machine) -> Costs:
    """Costs of one vector of counts."""
    named: Mapping[str, int] = {n: int(counts[i]) for n, i in INDEX.items()}
    return Costs(
        named["cycles"], float(seconds(counts, machine)), float(joules(counts, machine)), named
    )
