"""Products that feed a recurrence alone: they may run inside its block, stage by stage.

Their rounded sums then never leave the chip: for each stage (a tile of steps) the array makes the
inputs of all its steps, then the steps run.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import SSAValue

from mohaq.backends.bitfusion.isa.instructions import Extent
from mohaq.backends.bitfusion.lowering.context import stored_outside
from mohaq.backends.bitfusion.lowering.groups import ELEMENTWISE, Group
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import shape_of


@dataclass(frozen=True)
class Feed:
    """A group of products with the first channel that each step argument of a scan takes."""

    group: Group
    value: SSAValue
    rows: dict[SSAValue, int]

    @property
    def products(self) -> tuple[qnn.MatmulOp, ...]:
        """The products of the group."""
        return tuple(op for op in self.group.ops if isinstance(op, qnn.MatmulOp))


def feeds_of(group: Group) -> dict[qnn.ScanOp, Feed]:
    """The scans that take all results of a group, channel by channel; empty if others do too."""
    if group.kind != "gemm" or group.extent != Extent.ROWS:
        return {}
    out = [r for op in group.ops for r in op.results if stored_outside(group, r)]
    products = [op for op in group.ops if isinstance(op, qnn.MatmulOp)]
    if len(out) != 1 or len({shape_of(p.weight)[1] for p in products}) != 1:
        return {}
    if any(isinstance(op, qnn.LookupOp) or not _known(op) for op in group.ops):
        return {}
    found: dict[qnn.ScanOp, Feed] = {}
    for use in out[0].uses:
        cut = use.operation
        if not isinstance(cut, qnn.SliceOp):
            return {}
        for inner in cut.result.uses:
            scan = inner.operation
            if not isinstance(scan, qnn.ScanOp) or inner.index >= len(scan.inputs):
                return {}
            feed = found.setdefault(scan, Feed(group, out[0], {}))
            feed.rows[scan.body.block.args[inner.index]] = cut.offset.value.data
    return found


def _known(op: object) -> bool:
    return isinstance(op, (qnn.MatmulOp, *ELEMENTWISE))
