"""Ranges as rows of a table, for reports."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import SymbolRefAttr
from xdsl.ir import Operation

from mohaq.compiler.analysis.ranges import Ranges, layer_of
from mohaq.compiler.analysis.sums import sums
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_width

VIEWS = (qnn.SliceOp, qnn.ConcatOp, qnn.SelectOp, qnn.StackOp, qnn.ScanOp, LoadOp)
"""Operations that are left out: they hold what others computed."""


@dataclass(frozen=True)
class RangeRow:
    """One computed value.

    Attributes:
        layer: the layer it belongs to, or nothing.
        operation: name without its dialect, with weights or table.
        low, high: the values it can have; for products those of partial sums, too.
        needed: bits of a signed integer that holds them.
        held: bits of its type.
        unsigned: whether the type has no sign.
    """

    layer: str
    operation: str
    low: int
    high: int
    needed: int
    held: int
    unsigned: bool = False

    def line(self) -> str:
        """One line of text."""
        kind = "ui" if self.unsigned else "si"
        where = f"{self.layer}: " if self.layer else ""
        return (
            f"{where}{self.operation} in [{self.low}, {self.high}], "
            f"{self.needed} bits of {kind}{self.held}"
        )


def range_rows(ranges: Ranges) -> list[RangeRow]:
    """A row for every computed value, in program order."""
    products = {found.op: found for found in sums(ranges)}
    rows = []
    for op in ranges.operations():
        if isinstance(op, VIEWS):
            continue
        for result in op.results:
            interval = ranges[result]
            low, high = interval.bounds
            if op in products:
                low, high = products[op].low, products[op].high
            held, signed = int_width(result)
            bits = (products[op].bits if op in products else interval.bits) - (not signed)
            rows.append(RangeRow(layer_of(op), _title(op), low, high, bits, held, not signed))
    return rows


def _title(op: Operation) -> str:
    title = op.name.removeprefix("qnn.")
    named = [v.owner.symbol for v in op.operands if isinstance(v.owner, LoadOp)]
    table = op.attributes.get("table")
    if isinstance(table, SymbolRefAttr):
        named.append(table.root_reference.data)
    return " ".join([title, *named])
