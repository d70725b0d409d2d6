"""Cycles and joules of counters: one formula for estimate, search and running program.

Per layer: max(compute, weights) + activations + elementwise + exchange + barriers, where
  compute     = kernel calls by shape, each with the cycles that the analyzer finds in the
                assembly, of the core that has most;
  weights     = bytes on DMA channel 0 over the bandwidth of all cores together (or of one, for
                the core that reads most) + its transfers times their set-up; in the background;
  activations = the same for channel 1, reads and writes;
  elementwise = counts by kind times their cycles, of the core that has most;
  exchange    = stores times their cycles + pushes times their set-up, of the core that has most;
  barriers    = their number times the cycles of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mohaq.backends.base import Costs
from mohaq.backends.epiphany.counters import ACTIVATIONS, ELEMENT_KINDS, WEIGHTS, Counts, Ints
from mohaq.backends.epiphany.machine import Machine

KernelCycles = Callable[[str, int], int]


@dataclass(frozen=True)
class Breakdown:
    """Cycles of a layer by cause."""

    compute: int
    weights: int
    activations: int
    elementwise: int
    exchange: int
    barriers: int

    @property
    def total(self) -> int:
        """Cycles; weights are read while kernels run."""
        rest = self.activations + self.elementwise + self.exchange + self.barriers
        return max(self.compute, self.weights) + rest


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def breakdown(counts: Counts, machine: Machine, kernel_cycles: KernelCycles) -> Breakdown:
    """Cycles of counters by cause."""
    compute = np.zeros(counts.cores, dtype=np.int64)
    for (name, columns), calls in counts.kernels.items():
        compute = compute + calls * kernel_cycles(name, columns)
    elements = np.zeros(counts.cores, dtype=np.int64)
    for kind in ELEMENT_KINDS:
        elements = elements + counts.elements[kind] * machine.whole(f"{kind}_cycles")
    exchange = counts.push_stores * machine.whole(
        "push_cycles_per_store"
    ) + counts.pushes * machine.whole("push_setup_cycles")
    return Breakdown(
        int(compute.max()),
        _transfer(counts.read_bytes[WEIGHTS], counts.reads[WEIGHTS], "read", machine),
        _transfer(counts.read_bytes[ACTIVATIONS], counts.reads[ACTIVATIONS], "read", machine)
        + _transfer(counts.write_bytes[ACTIVATIONS], counts.writes[ACTIVATIONS], "write", machine),
        int(elements.max()),
        int(exchange.max()),
        int(counts.barriers.max()) * machine.whole("barrier_cycles"),
    )


def _transfer(amount: Ints, transfers: Ints, way: str, machine: Machine) -> int:
    clock = machine.whole("clock")
    together = _ceil(int(amount.sum()) * clock, machine.whole(f"dram_{way}_all"))
    alone = _ceil(int(amount.max()) * clock, machine.whole(f"dram_{way}_one"))
    return max(together, alone) + int(transfers.max()) * machine.whole("dma_setup_cycles")


def counters(counts: Counts, parts: Breakdown) -> dict[str, int]:
    """Whole numbers that costs follow from, sums over all cores unless a cause of cycles."""
    found = {
        "compute_cycles": parts.compute,
        "weight_cycles": parts.weights,
        "activation_cycles": parts.activations,
        "elementwise_cycles": parts.elementwise,
        "exchange_cycles": parts.exchange,
        "barrier_cycles": parts.barriers,
        "kernel_calls": sum(int(c.sum()) for c in counts.kernels.values()),
        "weight_bytes": int(counts.read_bytes[WEIGHTS].sum()),
        "activation_bytes": int(counts.read_bytes[ACTIVATIONS].sum())
        + int(counts.write_bytes[ACTIVATIONS].sum()),
        "push_bytes": int(counts.push_bytes.sum()),
        "push_byte_hops": int(counts.push_byte_hops.sum()),
        "barriers": int(counts.barriers.max()),
        "cycles": parts.total,
    }
    found.update({f"{kind}_elements": int(counts.elements[kind].sum()) for kind in ELEMENT_KINDS})
    return found


def costs(numbers: Mapping[str, int], machine: Machine) -> Costs:
    """Seconds and joules of counters."""
    cycles = numbers["cycles"]
    energy = (
        cycles * machine.cores * machine.constants["core_pj_per_cycle"]
        + (numbers["weight_bytes"] + numbers["activation_bytes"])
        * machine.constants["dram_pj_per_byte"]
        + numbers["push_byte_hops"] * machine.constants["mesh_pj_per_byte_hop"]
    )
    return Costs(cycles, cycles / machine.whole("clock"), energy * 1e-12, dict(numbers))


def summed(rows: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Counters of a whole program: layers run one after the other."""
    names = next(iter(rows.values()))
    return {name: sum(row[name] for row in rows.values()) for name in names}
