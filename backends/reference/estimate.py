"""Costs of a scheduled program, read off its operations."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from xdsl.dialects.builtin import IntegerAttr, StringAttr
from xdsl.ir import Block, Operation

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
    for op in _costly(program.entry.body.block):
        row = rows.setdefault(layer_of(op), dict.fromkeys(COUNTERS, 0))
        if isinstance(op, qnn.MatmulOp):
            bits = width_of(op)
            n, k = shape_of(op.weight)
            lanes = target.whole("datapath_bits") // bits
            row["cycles"] += frames * -(-n * k // lanes)
            row["product_bits"] += frames * n * k * bits
            if before is not None and before != bits:
                row["cycles"] += target.whole("reconfigure_cycles")
            before = bits
        elif isinstance(op, qnn.ScanOp) and computes(op):
            units = sum(shape_of(s)[-1] for s in op.outs[op.output_count :])
            row["cycles"] += frames * units * target.whole("unit_cycles")
            row["unit_steps"] += frames * units
    for name, row in rows.items():
        row["cache_bytes"] = frames * held.get(name, 0)
    size = sum(held.values()) + _table_bytes(program)
    total = {name: sum(row[name] for row in rows.values()) for name in COUNTERS}
    total["shared_bytes"] = max(size - target.whole("cache_bytes"), 0) * frames
    layers: dict[str, Costs] = {name: costs(row, target) for name, row in rows.items()}
    return Estimate(workload, costs(total, target), layers, size)


def _costly(block: Block) -> Iterator[qnn.MatmulOp | qnn.ScanOp]:
    """Products and recurrences in order; a loop's products come after it."""
    for op in block.ops:
        if isinstance(op, qnn.MatmulOp):
            yield op
        elif isinstance(op, qnn.ScanOp):
            yield op
            yield from _costly(op.body.block)


def computes(op: qnn.ScanOp) -> bool:
    """Whether a recurrence does more than hand values on, which costs nothing."""
    return any(not isinstance(o, (LoadOp, qnn.YieldOp)) for o in op.body.block.ops)


def layer_of(op: Operation) -> str:
    """Layer that `lower` noted on an operation.

    Raises:
        MohaqError: there is none.
    """
    found = op.attributes.get(LAYER)
    if not isinstance(found, StringAttr):
        raise MohaqError("the program was not lowered for the reference backend")
    return found.data


def width_of(op: qnn.MatmulOp) -> int:
    """Width that `lower` noted on a product."""
    width = op.attributes[WIDTH]
    assert isinstance(width, IntegerAttr)
    return int(width.value.data)


def load_facts(op: LoadOp) -> tuple[str, int]:
    """(layer, bits in memory) of a parameter: of its first user; weights at their width.

    Raises:
        MohaqError: nothing uses it, or the program was not lowered by this backend.
    """
    uses = list(op.result.uses)
    if not uses:
        raise MohaqError(f"nothing uses parameter '{op.symbol}'")
    weight = any(isinstance(u.operation, qnn.MatmulOp) for u in uses)
    return layer_of(uses[0].operation), int_width(op.result)[0] if weight else 16


def _bytes_by_layer(program: Program) -> dict[str, int]:
    held: dict[str, int] = {}
    for op in program.entry.walk():
        if isinstance(op, LoadOp):
            name, bits = load_facts(op)
            held[name] = held.get(name, 0) - (-prod(shape_of(op.result)) * bits // 8)
    return held


def _table_bytes(program: Program) -> int:
    return sum(
        2 * len(op.values()) for op in program.module.body.block.ops if isinstance(op, qnn.TableOp)
    )
