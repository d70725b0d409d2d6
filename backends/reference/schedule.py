"""`lower` of the reference backend: every operation learns its layer, every product its width."""

from __future__ import annotations

import re

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import Block, Operation

from mohaq.backends.base import Target
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_width
from mohaq.compiler.program import Program

LAYER, WIDTH = "reference.layer", "reference.width"
LOWERED_FROM = "layer"
"""Attribute that `lower-to-qnn` leaves on operations: the layer they come from."""


def schedule(program: Program, target: Target) -> Program:
    """Annotate a legalized program: `reference.layer` and, on products, `reference.width`.

    Raises:
        MohaqError: a product's weights are no parameter or wider than the datapath.
    """
    made = program.clone()
    _Scheduler(target).block(made.entry.body.block, None)
    return made


class _Scheduler:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._seen: set[str] = set()

    def block(self, block: Block, layer: str | None) -> None:
        """Annotate the operations of a block in order; a loop's body belongs to its layer."""
        for op in block.ops:
            if isinstance(op, qnn.MatmulOp):
                op.attributes[WIDTH] = IntegerAttr(self._width(op), i64)
            layer = self._layer(op, layer)
            if isinstance(op, qnn.ScanOp) and layer is None:
                raise MohaqError("a recurrence comes before any product")
            if layer is not None:
                op.attributes[LAYER] = StringAttr(layer)
            if isinstance(op, qnn.ScanOp):
                self.block(op.body.block, layer)

    def _layer(self, op: Operation, before: str | None) -> str | None:
        said = op.attributes.get(LOWERED_FROM)
        if isinstance(said, StringAttr):
            return said.data
        if isinstance(op, qnn.MatmulOp) and not isinstance(op.parent_op(), qnn.ScanOp):
            assert isinstance(op.weight.owner, LoadOp)
            return _unique(op.weight.owner.symbol, self._seen)
        return before

    def _width(self, op: qnn.MatmulOp) -> int:
        if not isinstance(op.weight.owner, LoadOp):
            raise MohaqError("a product's weights must be a parameter")
        width, _ = int_width(op.weight)
        if width > self._target.whole("datapath_bits"):
            raise MohaqError(f"{width}-bit weights exceed the datapath of '{self._target.name}'")
        return width


def _unique(symbol: str, seen: set[str]) -> str:
    """Layer name behind the quantized weight `l0.weight.q4`, numbered when it repeats."""
    base = re.sub(r"\.q\d+$", "", symbol)
    base = base.removesuffix(".weight") or base
    name, number = base, 1
    while name in seen:
        number += 1
        name = f"{base}#{number}"
    seen.add(name)
    return name
