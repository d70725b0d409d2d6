"""A layer of the table as a program of its own, for costs in a search.

Counts follow from shapes and widths alone, so weights of zeros and any clips will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from mohaq.backends.epiphany.legalize import accumulator, legalize
from mohaq.backends.epiphany.lowering.split import Split
from mohaq.backends.epiphany.lowering.stages import build
from mohaq.backends.epiphany.plan.shapes import ProductShape, StageShape, shape_of_stage
from mohaq.compiler.analysis.layers import Layer, layer_table
from mohaq.compiler.analysis.storage import CalibratedTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.lower_to_qnn import lower_to_qnn

CLIP = 1.3
WIDE, NARROW = 16, 8
LABEL = "layer"


@cache
def shapes_of(
    layer: Layer, source: Split | None, cores: int, widths: tuple[tuple[str, int], ...]
) -> tuple[StageShape, ...]:
    """Stages of a layer on so many cores.

    Args:
        layer: of the table.
        source: how its input lies; None for an argument of the program.
        cores: of the mesh.
        widths: (slot, bits) of the searched slots.
    """
    bits = dict(widths)
    split = tuple(
        (slot, WIDE if bits[slot] == WIDE == bits[other] else NARROW)
        for pair in PAIRS
        if all(s in bits for s in pair)
        for slot, other in (pair, pair[::-1])
    )
    shapes = _template(replace(layer, name=LABEL, source=None, direct=None), source, cores, split)
    return tuple(_with_widths(shape, layer, bits) for shape in shapes)


PAIRS = (("weight", "input"), ("recurrent", "hidden"))
"""Slots of the operands of each kind of product."""


def output_split(layer: Layer, cores: int) -> Split:
    """How the result of a layer lies on the cores."""
    if layer.kind == "linear":
        return Split.over(cores, layer.outputs, 1)
    return Split.over(cores, layer.recurrent_inputs or layer.hidden, layer.directions)


@cache
def _template(
    layer: Layer, source: Split | None, cores: int, widths: tuple[tuple[str, int], ...]
) -> tuple[StageShape, ...]:
    program = _program(layer)
    table = layer_table(program)
    clips = {
        row.name: {s: dict.fromkeys(range(2, 17), CLIP) for s in (*row.slots, *row.fixed)}
        for row in table
    }
    calibrated = CalibratedTable(table, clips, dict.fromkeys(table.names, CLIP))
    grids = calibrated.layer_grids({Slot(LABEL, slot): bits for slot, bits in widths})
    annotate(program, calibrated, grids)
    staged = build(legalize(lower_to_qnn(program)), cores)
    if source is not None:
        staged.inputs[0].split = source
    return tuple(shape_of_stage(stage) for stage in staged.stages)


def _with_widths(shape: StageShape, layer: Layer, bits: Mapping[str, int]) -> StageShape:
    """The shape with the widths of its products."""
    seen: dict[str, int] = {}
    products = []
    for product in shape.products:
        kind = _kind(product)
        if kind is None:
            products.append(product)
            continue
        weight, activation = bits[kind], bits[dict(PAIRS)[kind]]
        columns = layer.window * layer.inputs if kind == "weight" else layer.recurrent_inputs
        if weight == activation == WIDE:
            # High bytes are signed, low bytes are not.
            activation = NARROW + seen.get(product.name, 0)
            seen[product.name] = 1
        wide = accumulator(columns, weight, activation) > 32
        products.append(replace(product, bits=weight, wide=wide))
    return replace(shape, name=layer.name, products=tuple(products))


def _kind(product: ProductShape) -> str | None:
    parts = product.name.split(".")
    return next((kind for kind in ("recurrent", "weight") if kind in parts), None)


def _program(layer: Layer) -> Program:
    """The layer with weights of zeros."""
    net = Network()
    x = net.sequence(layer.inputs)
    op = _op(net, layer, x)
    if not isinstance(op, SSAValue):
        net.add(op)
        op = op.results[0]
    return net.finish([op])


def _op(net: Network, layer: Layer, x: SSAValue) -> Any:
    count, hidden, fed = layer.directions, layer.hidden, layer.recurrent_inputs

    def zeros(title: str, *shape: int) -> SSAValue:
        return net.parameter(f"{LABEL}.{title}", np.zeros(shape, dtype=np.float32))

    if layer.kind == "linear":
        bias = np.zeros(layer.outputs, dtype=np.float32) if layer.bias else None
        weight = np.zeros((layer.outputs, layer.inputs), dtype=np.float32)
        return net.linear(LABEL, x, weight, bias)
    common: dict[str, Any] = {"direction": "bidirectional" if count == 2 else "forward"}
    gates = layer.gates
    if layer.kind == "sru":
        return nn.SruOp(
            LABEL,
            x,
            zeros("weight", count, gates, hidden, layer.inputs),
            zeros("vector", count, 2, hidden),
            zeros("bias", count, 2, hidden),
            skip=layer.skip,
            activation=layer.functions[1],
            **common,
        )
    if layer.kind == "qrnn":
        pooling = next(name for name, number in nn.POOLINGS.items() if number == gates)
        return nn.QrnnOp(
            LABEL,
            x,
            zeros("weight", count, gates, hidden, layer.window, layer.inputs),
            zeros("bias", count, gates, hidden) if layer.bias else None,
            pooling=pooling,
            **common,
        )
    coupled = layer.kind == "lstm" and gates == 3
    rows = 4 if layer.kind == "lstm" else gates
    if layer.clipped:
        common["clip"] = 0.5
    common["activations"] = [_function(text) for text in layer.functions]
    given = (
        zeros("weight", count, rows, hidden, layer.inputs),
        zeros("recurrent", count, rows, hidden, fed),
        zeros("bias", count, rows, hidden) if layer.bias else None,
    )
    match layer.kind:
        case "lstm":
            return nn.LstmOp(
                LABEL,
                x,
                *given,
                peephole=zeros("peephole", count, 3, hidden) if layer.peepholes else None,
                projection=zeros("projection", count, fed, hidden) if layer.projected else None,
                coupled=coupled,
                **common,
            )
        case "gru":
            return nn.GruOp(
                LABEL,
                x,
                *given,
                recurrent_bias=zeros("recurrent_bias", count, hidden)
                if layer.recurrent_bias
                else None,
                reset_after=layer.reset_after,
                **common,
            )
        case "rnn":
            return nn.RnnOp(LABEL, x, *given, **common)
        case _:
            return nn.LiGruOp(LABEL, x, *given, **common)


def _function(text: str) -> FunctionAttr:
    name, *values = text.split()
    return FunctionAttr.of(name, *(float(v) for v in values))
