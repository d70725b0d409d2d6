"""`lower` of the reference backend: every product and recurrence learns its layer."""

from __future__ import annotations

import re

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64

from mohaq.backends.base import Target
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_width
from mohaq.compiler.program import Program

LAYER, WIDTH = "reference.layer", "reference.width"


def schedule(program: Program, target: Target) -> Program:
    """Annotate a legalized program: `reference.layer` and, on products, `reference.width`.

    Raises:
        MohaqError: a product's weights are no parameter or wider than the datapath.
    """
    made = program.clone()
    seen: set[str] = set()
    layer: str | None = None
    for op in made.entry.body.block.ops:
        if isinstance(op, qnn.MatmulOp):
            if not isinstance(op.weight.owner, LoadOp):
                raise MohaqError("a product's weights must be a parameter")
            layer = _unique(op.weight.owner.symbol, seen)
            width, _ = int_width(op.weight)
            if width > target.whole("datapath_bits"):
                raise MohaqError(f"{width}-bit weights exceed the datapath of '{target.name}'")
            op.attributes[WIDTH] = IntegerAttr(width, i64)
            op.attributes[LAYER] = StringAttr(layer)
        elif isinstance(op, qnn.ScanOp):
            if layer is None:
                raise MohaqError("a recurrence comes before any product")
            op.attributes[LAYER] = StringAttr(layer)
    return made


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
