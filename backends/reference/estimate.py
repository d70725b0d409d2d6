"""Costs of a scheduled program, read off its operations."""

from __future__ import annotations

from xdsl.dialects.builtin import IntegerAttr, StringAttr

from mohaq.backends.base import Costs, Estimate, Target, Workload
from mohaq.backends.reference.cost import costs
from mohaq.backends.reference.schedule import LAYER, WIDTH
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_width, shape_of
from mohaq.compiler.program import Program

COUNTERS = ("cycles", "product_bits", "unit_steps", "cache_bytes", "shared_bytes")


def estimate_program(program: Program, target: Target, workload: Workload) -> Estimate:
    """Costs of a scheduled program for a workload.

    Raises:
        MohaqError: the program was not lowered by this backend.
    """
    frames = workload.frames * workload.batch
    rows: dict[str, dict[str, int]] = {}
    held = _bytes_by_layer(program)
    before: int | None = None
    for op in program.entry.body.block.ops:
        if not isinstance(op, (qnn.MatmulOp, qnn.ScanOp)):
            continue
        name = layer_of(op)
        row = rows.setdefault(name, dict.fromkeys(COUNTERS, 0))
        if isinstance(op, qnn.MatmulOp):
            width = op.attributes[WIDTH]
            assert isinstance(width, IntegerAttr)
            bits = width.value.data
            n, k = shape_of(op.weight)
            lanes = target.whole("datapath_bits") // bits
            row["cycles"] += frames * -(-n * k // lanes)
            row["product_bits"] += frames * n * k * bits
            row["cache_bytes"] += frames * held[name]
            if before is not None and before != bits:
                row["cycles"] += target.whole("reconfigure_cycles")
            before = bits
        else:
            units = shape_of(op.outs[op.output_count])[-1]
            row["cycles"] += frames * units * target.whole("unit_cycles")
            row["unit_steps"] += frames * units
    size = sum(held.values()) + _table_bytes(program)
    total = {name: sum(row[name] for row in rows.values()) for name in COUNTERS}
    total["shared_bytes"] = max(size - target.whole("cache_bytes"), 0) * frames
    layers: dict[str, Costs] = {name: costs(row, target) for name, row in rows.items()}
    return Estimate(workload, costs(total, target), layers, size)


def layer_of(op: qnn.MatmulOp | qnn.ScanOp) -> str:
    """Layer that `lower` noted on an operation.

    Raises:
        MohaqError: there is none.
    """
    found = op.attributes.get(LAYER)
    if not isinstance(found, StringAttr):
        raise MohaqError("the program was not lowered for the reference backend")
    return found.data


def _bytes_by_layer(program: Program) -> dict[str, int]:
    """Weights at their width, everything else in 16-bit words; charged to its layer.

    A parameter belongs to the layer whose product it follows or feeds.
    """
    held: dict[str, int] = {}
    waiting = 0
    name: str | None = None
    for op in program.entry.body.block.ops:
        if isinstance(op, LoadOp):
            elements = 1
            for extent in shape_of(op.result):
                elements *= extent
            if any(isinstance(use.operation, qnn.MatmulOp) for use in op.result.uses):
                waiting += -(-elements * int_width(op.result)[0] // 8)
            elif name is None:
                waiting += 2 * elements
            else:
                held[name] += 2 * elements
        elif isinstance(op, qnn.MatmulOp):
            name = layer_of(op)
            held[name] = held.get(name, 0) + waiting
            waiting = 0
    return held


def _table_bytes(program: Program) -> int:
    return sum(
        2 * len(op.values()) for op in program.module.body.block.ops if isinstance(op, qnn.TableOp)
    )
