"""What is counted, and how seconds and joules follow from the counts.

One formula for estimate, cost model and simulator. Without a clock in the target (no public
figure exists) there are no seconds, and latency is the number of cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Costs
from mohaq.backends.silago.machine import Fabric

COUNTERS = (
    "cycles", "run_cycles", "load_cycles", "refill_rows", "port_rows", "macs_16", "macs_8",
    "macs_4", "elementwise", "nonlinear", "sram_bits_read", "sram_bits_written",
    "ideal_macs_16", "ideal_macs_8", "ideal_macs_4",
)  # fmt: skip
"""cycles = those of runs, loads, rows through the port and refills that no run hides. macs: as
done, padding included; ideal_macs: of the model. elementwise, nonlinear: elements of passes."""

INDEX = {name: position for position, name in enumerate(COUNTERS)}
Counts = npt.NDArray[np.int64]


def vector(counts: Mapping[str, int]) -> Counts:
    """Counts in the order of COUNTERS."""
    return np.array([counts.get(name, 0) for name in COUNTERS], dtype=np.int64)


def energies(counts: Counts, fabric: Fabric) -> tuple[Any, Any, Any]:
    """(multiply-accumulates, memory, rest) [J] of counts [..., len(COUNTERS)].

    Padding is paid for like any other multiply-accumulate. No public figure exists for register
    files, switchboxes and sequencers; constants of 0 leave them out.
    """

    def of(name: str) -> Any:
        return counts[..., INDEX[name]]

    macs: Any = np.zeros(counts.shape[:-1])
    for bits in (16, 8, 4):
        macs = macs + of(f"macs_{bits}") * fabric.mac_pj[bits]
    memory = of("sram_bits_read") * fabric.sram_read_pj_per_bit
    memory = memory + of("sram_bits_written") * fabric.sram_write_pj_per_bit
    rest = (of("refill_rows") + of("port_rows")) * (fabric.row_bits * fabric.refill_pj_per_bit)
    rest = rest + of("elementwise") * fabric.elementwise_pj + of("nonlinear") * fabric.nonlinear_pj
    rest = rest + of("load_cycles") * fabric.instruction_pj_per_word
    return macs * 1e-12, memory * 1e-12, rest * 1e-12


def joules(counts: Counts, fabric: Fabric) -> Any:
    """Energy [J] of counts [..., len(COUNTERS)]."""
    macs, memory, rest = energies(counts, fabric)
    return macs + memory + rest


def latency(counts: Counts, fabric: Fabric) -> Any:
    """Time [s] of counts; cycles when the target has no clock (`Backend.latency_unit`)."""
    return counts[..., INDEX["cycles"]] / (fabric.clock or 1.0)


def costs(counts: Counts, fabric: Fabric) -> Costs:
    """Costs of one vector of counts."""
    named = {n: int(counts[i]) for n, i in INDEX.items()}
    seconds = float(latency(counts, fabric)) if fabric.clock else None
    return Costs(named["cycles"], seconds, float(joules(counts, fabric)), named)
