"""MOHAQ's own accounting as objectives (arXiv 2108.01192 and its authors' search code).

Four layers of 550 bidirectional SRU units: 5,549,500 weights, 8,800 vector words, and 5,637,500
operations that speed-ups are divided by. In general terms: three gates a unit and direction,
whatever the skip term; two 16-bit words a unit and direction, of the four that there are; twenty
operations a unit and direction beside the products. Biases of linear layers are not counted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mohaq.backends.base import FloatArray
from mohaq.compiler.analysis.layers import Layer
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.objectives import Objective, Priced

GATES, VECTORS, OPERATIONS = 3, 2, 20
"""Of a unit and direction of an SRU layer: matrices, 16-bit words, elementwise operations."""

WORD = 16


def products(layer: Layer) -> int:
    """Weights of a layer as the paper counts them: its multiply-accumulates of a frame.

    Raises:
        MohaqError: the paper has no count for this kind of layer.
    """
    if layer.kind == "linear":
        return layer.weights
    if layer.kind == "sru":
        return GATES * layer.directions * layer.hidden * layer.inputs
    raise MohaqError(
        "the paper's accounting knows SRU and linear layers",
        where=f"layer '{layer.name}'",
        why=f"it is of kind '{layer.kind}'",
    )


def _units(priced: Priced) -> int:
    return sum(x.directions * x.hidden for x in priced.layers if x.kind == "sru")


def _bits(priced: Priced, layer: Layer, slot: str) -> FloatArray:
    return np.asarray(priced.widths[Slot(layer.name, slot)], dtype=np.float64)


def _model_bits(priced: Priced) -> FloatArray:
    matrices = [products(x) * _bits(priced, x, "weight") for x in priced.layers]
    return np.asarray(sum(matrices) + WORD * VECTORS * _units(priced))


def _size(priced: Priced) -> FloatArray:
    return _model_bits(priced) / 8


def _speedup(priced: Priced) -> FloatArray:
    """The arithmetic mean over the operations of each product's speed-up over 16 x 16 bits."""
    rate = _RATES.get(priced.target.backend)
    if rate is None:
        raise MohaqError(
            f"the paper has no speed-up for targets of '{priced.target.backend}'",
            hint=f"it has for {' and '.join(_RATES)}",
        )
    work = [
        products(x) * rate(_bits(priced, x, "weight"), _bits(priced, x, "input"))
        for x in priced.layers
    ]
    total = sum(products(x) for x in priced.layers) + OPERATIONS * _units(priced)
    return np.asarray(sum(work) / total)


_RATES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "silago": lambda w, a: 16 / np.maximum(w, a),
    "bitfusion": lambda w, a: 256 / (w * a),
}


def _energy(priced: Priced) -> FloatArray:
    """SiLago: every weight and vector is read once a frame, every product costs its width's."""
    target = priced.target
    if target.backend != "silago":
        raise MohaqError(f"the paper has no energies for targets of '{target.backend}'")
    each = {bits: target[f"mac{bits}_pj"] for bits in (4, 8, 16)}
    total = _model_bits(priced) * target["sram_read_pj_per_bit"]
    for layer in priced.layers:
        width = np.maximum(_bits(priced, layer, "weight"), _bits(priced, layer, "input"))
        total += products(layer) * np.vectorize(each.__getitem__, otypes=[float])(width)
    return np.asarray(total * 1e-12)


PAPER: dict[str, Objective] = {
    o.name: o
    for o in (
        Objective("paper_size", "bytes", _size),
        Objective("paper_speedup", "x", _speedup, "max"),
        Objective("paper_energy", "J", _energy),
    )
}
"""Objectives of a frame; `mohaq search --objectives error,paper_speedup` takes them too."""
