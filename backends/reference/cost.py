"""Costs from layer table and genes, for many candidates at once.

Frame: one time step of one sequence. Per layer with width w:
  cycles   = frames * (ceil(K N / lanes(w)) + units * unit_cycles) (+ reconfigure_cycles when w
             differs from the layer before), lanes(w) = datapath_bits // w
  size     = ceil(K N w / 8) + 2 * (16-bit words)
  energy   = frames * (K N w * bit_energy + units * unit_energy + size * cache_energy)
Whole program: bytes beyond the cache are read from shared memory every frame, and the core
idles at `idle_power` for all of the time. Neither term adds up over layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import (
    CostModel,
    Costs,
    FloatArray,
    GeneSpace,
    Options,
    Target,
    Workload,
)
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError

TABLE_WORDS = 257
"""16-bit words of a function table."""

TIMINGS = ("physical",)


def check_options(options: Options) -> None:
    """Refuse what this backend does not know.

    Raises:
        MohaqError: unknown timing or numerics.
    """
    if options.timing not in TIMINGS:
        raise MohaqError(f"the reference backend has no timing '{options.timing}'")
    if options.numerics != "legalized":
        raise MohaqError(f"the reference backend has no numerics '{options.numerics}'")


def joules(counters: Mapping[str, Any], target: Target) -> Any:
    """Energy [J] of counters, scalars or arrays alike."""
    return (
        counters["product_bits"] * target["bit_energy"]
        + counters["unit_steps"] * target["unit_energy"]
        + counters["cache_bytes"] * target["cache_energy"]
        + counters["shared_bytes"] * target["shared_energy"]
        + counters["cycles"] / target["clock"] * target["idle_power"]
    )


def costs(counters: Mapping[str, int], target: Target) -> Costs:
    """Counters with their seconds and joules."""
    cycles = counters["cycles"]
    return Costs(cycles, cycles / target["clock"], float(joules(counters, target)), dict(counters))


def words(layer: Layer) -> int:
    """16-bit words beside the matrix: an SRU's bias has a word for every row of its product."""
    if layer.kind == "sru":
        return layer.outputs + 2 * layer.directions * layer.hidden
    return layer.outputs if layer.bias else 0


class ReferenceCostModel(CostModel):
    """Costs of one program on one target."""

    def __init__(self, table: LayerTable, space: GeneSpace, target: Target) -> None:
        self._table = table
        self._space = space
        self._target = target
        self._tables = TABLE_WORDS if any(x.kind == "sru" for x in table) else 0

    def cost(
        self, genomes: npt.ArrayLike, workload: Workload, options: Options
    ) -> dict[str, FloatArray]:
        """See `CostModel.cost`."""
        check_options(options)
        target = self._target
        widths = self._space.widths(genomes)
        frames = workload.frames * workload.batch
        count = len(np.atleast_2d(np.asarray(genomes)))
        zero = np.zeros(count, dtype=np.int64)
        counters: dict[str, Any] = dict.fromkeys(
            ("cycles", "product_bits", "unit_steps", "cache_bytes", "shared_bytes"), zero
        )
        size = zero + 2 * self._tables
        before: npt.NDArray[np.int64] | None = None
        for layer in self._table:
            width = widths[Slot(layer.name, "weight")]
            units = layer.directions * layer.hidden
            lanes = target.whole("datapath_bits") // width
            steps = -(-layer.weights // lanes) + units * target.whole("unit_cycles")
            held = -(-layer.weights * width // 8) + 2 * words(layer)
            changed = zero if before is None else (width != before).astype(np.int64)
            before = width
            counters["cycles"] = (
                counters["cycles"] + frames * steps + changed * target.whole("reconfigure_cycles")
            )
            counters["product_bits"] = counters["product_bits"] + frames * layer.weights * width
            counters["unit_steps"] = counters["unit_steps"] + frames * units
            counters["cache_bytes"] = counters["cache_bytes"] + frames * held
            size = size + held
        beyond = np.maximum(size - target.whole("cache_bytes"), 0)
        counters["shared_bytes"] = beyond * frames
        return {
            "latency": cast("FloatArray", counters["cycles"] / target["clock"]),
            "energy": cast("FloatArray", np.asarray(joules(counters, target), dtype=np.float64)),
            "size": size.astype(np.float64),
        }
