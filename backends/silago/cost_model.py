"""Costs of many assignments at once: layers are looked up by their widths."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import CostModel, FloatArray, GeneSpace, IntArray, Options, Workload
from mohaq.backends.silago.counters import COUNTERS, Counts, joules, latency
from mohaq.backends.silago.estimate import count
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.module import sizes
from mohaq.backends.silago.options import check_options
from mohaq.backends.silago.template import Widths, lowered_layer
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.analysis.storage import STORED_WIDTH
from mohaq.compiler.assignment import Slot
from mohaq.compiler.program import Program


class SilagoCosts(CostModel):
    """Costs of one program on one fabric; layers run one after the other."""

    def __init__(self, table: LayerTable, space: GeneSpace, fabric: Fabric) -> None:
        self.table, self.space, self.fabric = table, space, fabric
        self._programs: dict[tuple[str, Widths], Program] = {}
        self._counts: dict[tuple[str, Widths, int, int], Counts] = {}
        self._direct = {layer.direct for layer in table if layer.direct}

    def cost(
        self, genomes: npt.ArrayLike, workload: Workload, options: Options
    ) -> dict[str, FloatArray]:
        """See `CostModel.cost`.

        Raises:
            MohaqError: unknown options, genomes of the wrong shape.
        """
        check_options(options)
        widths = self.space.widths(genomes)
        number = len(next(iter(widths.values())))
        total = np.zeros((number, len(COUNTERS)), dtype=np.int64)
        size = np.zeros(number, dtype=np.int64)
        for layer in self.table:
            keys = self._keys(layer, widths, number)
            unique, inverse = np.unique(keys, axis=0, return_inverse=True)
            found = [Widths(*(int(n) for n in one)) for one in unique]
            counts = np.stack([self._count(layer, one, workload) for one in found])
            held = np.array([self._size(layer, one) for one in found], dtype=np.int64)
            total += counts[inverse.reshape(-1)]
            size += held[inverse.reshape(-1)]
        return {
            "latency": np.asarray(latency(total, self.fabric), dtype=np.float64),
            "energy": np.asarray(joules(total, self.fabric), dtype=np.float64),
            "size": size.astype(np.float64),
        }

    def _keys(self, layer: Layer, widths: dict[Slot, IntArray], number: int) -> IntArray:
        """[N, 3]: widths of operands, stored input and stored result of each genome."""
        full = np.full(number, STORED_WIDTH, dtype=np.int64)
        bits = widths[Slot(layer.name, "input")]
        stored = bits if layer.name in self._direct else full
        out = full if layer.direct is None else widths[Slot(layer.direct, "input")]
        return np.stack([bits, stored, out], axis=1)

    def _program(self, layer: Layer, widths: Widths) -> Program:
        key = (layer.name, widths)
        if key not in self._programs:
            self._programs[key] = lowered_layer(layer, widths, self.fabric)
        return self._programs[key]

    def _count(self, layer: Layer, widths: Widths, workload: Workload) -> Counts:
        key = (layer.name, widths, workload.frames, workload.batch)
        if key not in self._counts:
            each = count(self._program(layer, widths), self.fabric, workload)
            self._counts[key] = np.sum(list(each.values()), axis=0)
        return self._counts[key]

    def _size(self, layer: Layer, widths: Widths) -> int:
        return sum(w + v for w, v in sizes(self._program(layer, widths)).values())
