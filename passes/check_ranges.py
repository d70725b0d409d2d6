"""`check-ranges`: the values that every operation can hold, and a proof of every sum."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, i64
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.ranges import Ranges, find_ranges
from mohaq.compiler.analysis.sums import check_sums
from mohaq.compiler.analysis.value_table import range_rows
from mohaq.compiler.context import store
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.qnn.matmul import NEUTRAL_ACCUMULATOR
from mohaq.compiler.program import Program

RANGE_KEY = "range"
"""Attribute of an operation with --annotate: low and high of each result."""


def annotate_ranges(ranges: Ranges) -> None:
    """Write the range of every result into the program: low, high, low, high, ..."""
    for op in ranges.operations():
        if op.name.startswith("qnn."):
            edges = [edge for result in op.results for edge in ranges[result].bounds]
            op.attributes[RANGE_KEY] = DenseArrayBase.from_list(i64, edges)


@dataclass(frozen=True)
class CheckRangesPass(ModulePass):
    """Find the range of every value and prove that every sum fits its accumulator.

    `accumulator`: bits that products and their biases are summed in (64: the neutral program's).
    `report`: print operation, range, bits needed and bits held to standard error.
    `annotate`: write the ranges into the program as attributes `range`.
    """

    name: ClassVar[str] = "check-ranges"
    accumulator: int = NEUTRAL_ACCUMULATOR
    report: bool = True
    annotate: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Check, report, annotate.

        Raises:
            MohaqError: a sum that is not proved, an accumulator of no possible width.
        """
        if not 2 <= self.accumulator <= NEUTRAL_ACCUMULATOR:
            raise MohaqError(f"an accumulator of {self.accumulator} bits", hint="2 to 64")
        program = Program(op, store(ctx))
        ranges = find_ranges(program)
        if self.report:
            for row in range_rows(ranges):
                print(row.line(), file=sys.stderr)
        if self.annotate:
            annotate_ranges(ranges)
        check_sums(ranges, program.parameters, self.accumulator)
