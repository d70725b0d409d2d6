"""Costs from layer table and genes, for many candidates at once.

Frame: one time step of one sequence. Per layer with width w:
  cycles   = frames * (sum over products of ceil(K N / lanes(w)) + units * unit_cycles)
             (+ reconfigure_cycles when w differs from the layer before),
             lanes(w) = datapath_bits // w
  size     = sum over products of ceil(K N w / 8) + 2 * (16-bit words)
  energy   = frames * (sum of K N w * bit_energy + units * unit_energy + size * cache_energy)
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
from mohaq.backends.reference.options import check_options
from mohaq.compiler.analysis.functions import EXACT
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot


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
    """16-bit words beside the matrices: a bias has a word for every row of its product."""
    units = layer.directions * layer.hidden
    if layer.kind == "sru":
        return layer.outputs + 2 * units
    held = layer.outputs if layer.bias else 0
    held += layer.recurrent_outputs if layer.recurrent_bias else 0
    return held + layer.peepholes * units


def tables(layer: Layer) -> set[str]:
    """Function tables that the layer reads: its functions but for those exact in integers."""
    return {f for f in layer.functions if f.partition(" ")[0] not in EXACT}


def products(layer: Layer) -> list[int]:
    """Elements of every matrix that the layer multiplies by in a frame."""
    if layer.kind == "qrnn" and layer.window > 1:
        return [layer.weights // layer.directions] * layer.directions
    found = [layer.weights]
    each = layer.recurrent_weights // layer.directions
    if layer.recurrent_outputs and layer.kind == "gru" and not layer.reset_after:
        found += [each * 2 // 3, each // 3] * layer.directions
    elif layer.recurrent_outputs:
        found += [each] * layer.directions
    return found


def units(layer: Layer) -> int:
    """Elements of all states of the layer's loops."""
    states = 2 if layer.kind == "lstm" else 1
    return states * layer.directions * layer.hidden


class ReferenceCostModel(CostModel):
    """Costs of one program on one target."""

    def __init__(self, table: LayerTable, space: GeneSpace, target: Target) -> None:
        self._table = table
        self._space = space
        self._target = target
        held = {(name, x.table_points) for x in table for name in tables(x)}
        self._tables = sum(points for _, points in held)

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
            lanes = target.whole("datapath_bits") // width
            steps = zero + units(layer) * target.whole("unit_cycles")
            held = zero + 2 * words(layer)
            elements = 0
            for matrix in products(layer):
                steps = steps - (-matrix // lanes)
                held = held - (-matrix * width // 8)
                elements += matrix
            changed = zero if before is None else (width != before).astype(np.int64)
            before = width
            counters["cycles"] = (
                counters["cycles"] + frames * steps + changed * target.whole("reconfigure_cycles")
            )
            counters["product_bits"] = counters["product_bits"] + frames * elements * width
            counters["unit_steps"] = counters["unit_steps"] + frames * units(layer)
            counters["cache_bytes"] = counters["cache_bytes"] + frames * held
            size = size + held
        beyond = np.maximum(size - target.whole("cache_bytes"), 0)
        counters["shared_bytes"] = beyond * frames
        return {
            "latency": cast("FloatArray", counters["cycles"] / target["clock"]),
            "energy": cast("FloatArray", np.asarray(joules(counters, target), dtype=np.float64)),
            "size": size.astype(np.float64),
        }
