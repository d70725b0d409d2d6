"""One operation, layer or parameter in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.irdl import IRDLOperation

from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn import MatmulOp, RequantizeOp
from mohaq.compiler.dialects.qnn.matmul import needed_bits
from mohaq.compiler.dialects.types import int_width, shape_of
from mohaq.compiler.program import Program
from mohaq.tools.inspect.blocks import Block, Line, Listing, Table
from mohaq.tools.inspect.figures import figures, layer_of
from mohaq.tools.inspect.printed import Printed, nested, shortened, type_text

ANNOTATIONS = {"op_name", "calibration", "quant", "given", "layer"}
"""Attributes with a table or column of their own."""


def operation_blocks(program: Program, printed: Printed, op: Operation) -> list[Block]:
    """Operands, results, attributes and, of a layer, the grids of its slots."""
    name = op.label if isinstance(op, LayerOp) else ", ".join(map(printed.name, op.results))
    owner = layer_of(op)
    where = f", of layer '{owner}'" if owner and not isinstance(op, LayerOp) else ""
    blocks: list[Block] = [
        Line(f"{op.name} {name}{where}", bold=True),
    ]
    if not isinstance(op, LayerOp):  # the tables say all of it
        blocks.append(Listing("As it stands in the program", _texts(printed, [op])))
    operands = [_operand(program, printed, title, v) for title, v in _named(op, "operands")]
    columns = ("operand", "value", "type", "from", "elements", "smallest", "largest")
    if operands:
        blocks.append(Table("Operands", columns, operands, text=4))
    results = [
        (title, printed.name(v), type_text(v), _users(printed, v))
        for title, v in _named(op, "results")
    ]
    if results:
        blocks.append(Table("Results", ("result", "value", "type", "read by"), results, text=4))
    held = {**op.attributes, **op.properties}
    facts = [
        (key, shortened(str(value), 100))
        for key, value in held.items()
        if key not in ANNOTATIONS and not key.endswith("SegmentSizes")
    ]
    if facts:
        blocks.append(Table("Attributes", ("attribute", "value"), facts, text=2))
    if isinstance(op, LayerOp):
        blocks += slot_tables(program, op)
    if isinstance(op, MatmulOp):
        blocks.append(accumulators(printed, [op]))
    if isinstance(op, RequantizeOp):
        blocks.append(rescales(printed, [op]))
    return blocks


def layer_blocks(program: Program, printed: Printed, layer: str) -> list[Block]:
    """A layer of an integer program: its figures, sums, rescalings and operations."""
    ops = [op for op, _ in nested(program.entry.body.block) if layer_of(op) == layer]
    ops = [op for op in ops if not isinstance(op, LoadOp) and op.name != "qnn.yield"]
    found = next((one for one in figures(program) if one.name == layer), None)
    blocks: list[Block] = []
    if found is not None:
        blocks.append(
            Line(
                f"{found.macs:,} products a frame, {found.weights:,} parameters in "
                f"{found.held or 0:,} bytes"
            )
        )
    if sums := [op for op in ops if isinstance(op, MatmulOp)]:
        blocks.append(accumulators(printed, sums))
    if scales := [op for op in ops if isinstance(op, RequantizeOp)]:
        blocks.append(rescales(printed, scales))
    top = [op for op in ops if op.parent_op() not in ops]
    return [*blocks, Listing(f"Operations of {layer}", _texts(printed, top))]


def _texts(printed: Printed, ops: Sequence[Operation]) -> Callable[[], Iterator[str]]:
    return lambda: (
        line.removeprefix("    ") for op in ops for line in printed.text(op).split("\n")
    )


def slot_tables(program: Program, op: LayerOp) -> list[Block]:
    """Grids that were chosen, and the clips that calibration found for each width."""
    slots = (*op.SEARCHED_SLOTS, *op.FIXED_SLOTS)
    rows = []
    for slot in slots:
        grid, given = op.grid(slot), op.given_grid(slot)
        if (grid := grid or given) is None:
            continue
        # Rows with steps of their own are not held by that of the whole tensor.
        steps = program.parameters[grid.rows] if grid.rows else np.array([grid.step])
        rows.append(
            (
                slot,
                "searched" if slot in op.SEARCHED_SLOTS else "fixed",
                f"one of {steps.size} rows" if grid.rows else "one",
                grid.bits,
                _span(steps, 9),
                _span(steps * grid.high, 6),
                f"{grid.low} … {grid.high}",
                grid.zero or "",
            )
        )
    columns = ("slot", "width is", "steps", "bits", "scale", "clip", "integers", "zero point")
    blocks: list[Block] = [Table("Quantization", columns, rows, text=3)] if rows else []
    clips = {slot: op.clips(slot) for slot in slots}
    if widths := sorted({w for held in clips.values() for w in held}):
        found = [
            (slot, *(f"{held[w]:.6g}" if w in held else "" for w in widths))
            for slot, held in clips.items()
            if held
        ]
        blocks.append(Table("Clip at each width", ("slot", *(f"{w} bits" for w in widths)), found))
    return blocks or [Line("it has no grids and no clips: it is not calibrated")]


def _span(values: npt.NDArray[Any], digits: int) -> str:
    """Smallest and largest value, or the one that there is."""
    low, high = (f"{v:.{digits}g}" for v in (values.min(), values.max()))
    return low if low == high else f"{low} … {high}"


def accumulators(printed: Printed, ops: Sequence[MatmulOp]) -> Table:
    """Bounds of sums: max over rows of sum|w| times max|x| (DESIGN D5), and what they need."""
    rows = []
    for op in ops:
        n, k = shape_of(op.weight)
        acc = op.acc
        rows.append(
            (
                printed.name(op.result),
                op.weight.owner.symbol if isinstance(op.weight.owner, LoadOp) else "",
                acc.overflow.data,
                f"{n} x {k}",
                f"{int_width(op.weight)[0]} x {int_width(op.input)[0]}",
                acc.width.data,
                f"{acc.bound.data:,}",
                needed_bits(acc.bound.data),
                acc.width.data - needed_bits(acc.bound.data),
            )
        )
    columns = (
        "value", "weights", "overflow", "shape", "bits", "accumulator", "bound of |sum|",
        "bits it needs", "spare",
    )  # fmt: skip
    return Table("Accumulators", columns, rows, text=3)


def rescales(printed: Printed, ops: Sequence[RequantizeOp]) -> Table:
    """Requantizations: (x * multiplier + half) >> shift, one for each block of rows."""
    rows = []
    for op in ops:
        scales = list(op.scales())
        shown = "; ".join(f"{m:,} >> {s}" for m, s in scales[:3])
        more = f"; … ({len(scales)})" if len(scales) > 3 else ""
        ratios = [m / 2.0**s for m, s in scales]
        bits = int_width(op.result)[0]
        rows.append(
            (
                printed.name(op.results[0]),
                shown + more,
                bits,
                f"{min(ratios):.6g}",
                f"{max(ratios):.6g}",
            )
        )
    columns = ("value", "multiplier >> shift", "bits", "smallest factor", "largest factor")
    return Table("Rescalings", columns, rows, text=2)


def _operand(program: Program, printed: Printed, title: str, value: SSAValue) -> tuple[object, ...]:
    owner = value.owner
    facts: tuple[object, ...] = ("", "", "")
    if isinstance(owner, LoadOp):
        source = f"@{owner.symbol}"
        data = program.parameters[owner.symbol]
        facts = (f"{data.size:,}", f"{np.min(data):.6g}", f"{np.max(data):.6g}")
    elif isinstance(value, BlockArgument):
        source = "the program's input" if owner is program.entry.body.block else "the loop"
    else:
        assert isinstance(owner, Operation)
        source = owner.label if isinstance(owner, LayerOp) else owner.name
    return (title, printed.name(value), type_text(value), source, *facts)


def _users(printed: Printed, value: SSAValue) -> str:
    found = []
    for use in value.uses:
        user = use.operation
        if isinstance(user, LayerOp):
            found.append(user.label)
        elif user.results:
            found.append(printed.name(user.results[0]))
        else:
            found.append("the result" if user.name == "func.return" else user.name)
    return ", ".join(dict.fromkeys(found)) or "nothing"


def _named(op: Operation, kind: str) -> list[tuple[str, SSAValue]]:
    """Operands or results with the names that the dialect gives them."""
    values: Sequence[SSAValue] = op.operands if kind == "operands" else op.results
    if not isinstance(op, IRDLOperation):
        return [(str(n), v) for n, v in enumerate(values)]
    found: list[tuple[str, SSAValue]] = []
    for title, _ in getattr(op.get_irdl_definition(), kind):
        held = getattr(op, title)
        if isinstance(held, SSAValue):
            found.append((title, held))
        elif held is not None:
            found += [(f"{title} {n}", v) for n, v in enumerate(held)]
    return found
