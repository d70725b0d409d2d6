"""The paper's own accounting of SiLago: four constants a layer, nothing else.

arXiv 2108.01192 and its authors' published search code: work is
the multiply-accumulates of the matrices, 4- and 8-bit ones are 4 and 2 times as fast as 16-bit
ones, every weight is read once a frame. Our cycles and energies are those of the compiled program;
both are reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mohaq.backends.silago.machine import Fabric
from mohaq.compiler.analysis.layers import Layer, LayerTable

VECTOR_BITS = 16


@dataclass(frozen=True)
class PaperFigures:
    """Figures of one frame.

    speedup: weighted arithmetic mean over the operations against 16 bits. joules: energy of a
    frame. bits: of the model. cycles: multiply-accumulates over the peak rate of the fabric.
    """

    speedup: float
    joules: float
    bits: int
    cycles: float


def paper_figures(
    macs: Mapping[str, int],
    widths: Mapping[str, int],
    vector_words: int,
    fabric: Fabric,
    *,
    operations: int | None = None,
) -> PaperFigures:
    """Figures of layers by the paper's accounting.

    Args:
        macs: weights of each layer's matrices.
        widths: bits of each layer.
        vector_words: 16-bit words beside the matrices.
        fabric: energies and lanes.
        operations: what the speed-up is divided by (default: the sum of `macs`).
    """
    total = operations or sum(macs.values())
    speedup = sum(n * fabric.lanes(widths[name]) for name, n in macs.items()) / total
    bits = sum(n * widths[name] for name, n in macs.items()) + VECTOR_BITS * vector_words
    energy = bits * fabric.sram_read_pj_per_bit
    energy += sum(n * fabric.mac_pj[widths[name]] for name, n in macs.items())
    cycles = sum(n / (fabric.cells * fabric.lanes(widths[name])) for name, n in macs.items())
    return PaperFigures(speedup, energy * 1e-12, bits, cycles)


def operations_of(layer: Layer) -> int:
    """Multiply-accumulates of a layer's matrices in a frame."""
    return layer.weights + layer.recurrent_weights


def table_figures(table: LayerTable, widths: Mapping[str, int], fabric: Fabric) -> PaperFigures:
    """Figures of a program's layers; widths by layer."""
    macs = {layer.name: operations_of(layer) for layer in table}
    return paper_figures(macs, widths, sum(layer.vector_words for layer in table), fabric)
