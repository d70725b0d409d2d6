"""Which operations run in one block.

Program order is kept. An operation joins the group before it when it works on that group's
values, tile by tile; products join when they belong to one layer (the passes of a split
operand). A requantize of a rounded value starts a new group: it is the border between layers,
so a layer's blocks do not depend on its neighbours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from xdsl.dialects.builtin import StringAttr
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import Rewriter

from mohaq.backends.bitfusion.isa.instructions import Extent
from mohaq.backends.bitfusion.weights import parameter_of
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, int_width, shape_of

VIEWS = (qnn.SliceOp, qnn.SplitOp, qnn.SelectOp)
JOINS = (qnn.ConcatOp, qnn.StackOp)
ELEMENTWISE = (
    qnn.AddOp,
    qnn.MulOp,
    qnn.BiasOp,
    qnn.RequantizeOp,
    qnn.SaturateOp,
    qnn.ShlOp,
    qnn.RsubOp,
    qnn.LookupOp,
)


@dataclass
class Group:
    """Operations of one block. `copies` holds (part, joined value, position) of a copy group."""

    kind: str
    extent: Extent
    channels: int
    ops: list[Operation] = field(default_factory=list)
    copy: tuple[SSAValue, qnn.ConcatOp | qnn.StackOp, int] | None = None
    layer: str = ""

    def makes(self, value: SSAValue) -> bool:
        """Whether an operation of the group gives the value."""
        return any(value.owner is op for op in self.ops)


def extent_of(value: SSAValue) -> tuple[Extent, int]:
    """(row extent, channels) of a sequence [?, ?, C] or a state [?, C].

    Raises:
        MohaqError: another shape.
    """
    shape = shape_of(value)
    if len(shape) == 3 and shape[:2] == (DYNAMIC, DYNAMIC) and shape[2] > 0:
        return Extent.ROWS, shape[2]
    if len(shape) == 2 and shape[0] == DYNAMIC and shape[1] > 0:
        return Extent.BATCH, shape[1]
    raise MohaqError(
        f"Bit Fusion cannot place a value of type {value.type}",
        hint="sequences are [T, B, C], states [B, C], with T and B symbolic",
    )


def is_vector(value: SSAValue) -> bool:
    """Whether a value is a parameter with one extent, repeated over rows."""
    return isinstance(value.owner, LoadOp) and len(shape_of(value)) == 1


def roots(value: SSAValue) -> set[SSAValue]:
    """The computed values or arguments that a value shows, looking through views and joins."""
    owner = value.owner
    if isinstance(owner, VIEWS):
        return roots(owner.operands[0])
    if isinstance(owner, JOINS):
        return {r for part in owner.parts for r in roots(part)}
    return {value}


def remove_dead(block: Block) -> None:
    """Erase operations without uses, in scan bodies as well."""
    for op in reversed(list(block.ops)):
        for region in op.regions:
            for inner in region.blocks:
                remove_dead(inner)
        if isinstance(op, (ReturnOp, qnn.YieldOp)):
            continue
        if not any(list(r.uses) for r in op.results):
            Rewriter.erase_op(op)


def build_groups(block: Block) -> list[Group]:
    """Groups of the entry block in execution order.

    Raises:
        MohaqError: an operation or shape that the target cannot run.
    """
    groups: list[Group] = []
    for op in block.ops:
        last = groups[-1] if groups else None
        if isinstance(op, (LoadOp, ReturnOp, *VIEWS)):
            continue
        if isinstance(op, JOINS):
            groups += [
                Group("copy", *extent_of(part), copy=(part, op, n))
                for n, part in enumerate(op.parts)
                if claimed(part) != (op, n)
            ]
        elif isinstance(op, qnn.ScanOp):
            groups.append(Group("scan", *extent_of(op.inputs[0]), ops=[op]))
        elif isinstance(op, qnn.MatmulOp):
            if last and _product_joins(op, last):
                last.ops.append(op)
            else:
                groups.append(Group("gemm", *extent_of(op.result), ops=[op]))
        elif isinstance(op, ELEMENTWISE):
            if last and _joins(op, last):
                last.ops.append(op)
            else:
                groups.append(Group("stream", *extent_of(op.results[0]), ops=[op]))
        else:
            raise MohaqError(f"Bit Fusion cannot run '{op.name}'")
    _name_layers(groups)
    return groups


def claimed(part: SSAValue) -> tuple[Operation, int] | None:
    """The joining op and position whose memory a computed value is written to directly.

    That is the first join that uses it; arguments, parameters and views are copied instead.
    """
    if not isinstance(part.owner, (qnn.MatmulOp, qnn.ScanOp, qnn.ConcatOp, *ELEMENTWISE)):
        return None
    block = part.owner.parent
    assert block is not None
    for op in block.ops:
        if isinstance(op, JOINS):
            for number, other in enumerate(op.parts):
                if other is part:
                    return op, number
    return None


def _joins(op: Operation, group: Group) -> bool:
    if group.kind not in {"gemm", "stream"}:
        return False
    if extent_of(op.results[0]) != (group.extent, group.channels):
        return False
    inside = [v for v in op.operands if group.makes(v)]
    outside = [v for v in op.operands if not group.makes(v) and not is_vector(v)]
    if not inside or any(group.makes(r) for v in outside for r in roots(v)):
        return False
    if isinstance(op, qnn.RequantizeOp) and isinstance(op.input.owner, qnn.RequantizeOp):
        return False
    return group.kind == "stream" or not outside


def _product_joins(op: qnn.MatmulOp, group: Group) -> bool:
    if group.kind != "gemm" or any(group.makes(r) for r in roots(op.input)):
        return False
    first = next(o for o in group.ops if isinstance(o, qnn.MatmulOp))
    same = int_width(op.input)[0] == int_width(first.input)[0]
    same = same and int_width(op.weight)[0] == int_width(first.weight)[0]
    same = same and weight_stem(op) == weight_stem(first)
    return same and extent_of(op.result) == (group.extent, group.channels)


def weight_stem(op: qnn.MatmulOp) -> str:
    """Name of the weights without what legalization appended.

    Raises:
        MohaqError: the weights are no parameter.
    """
    return re.sub(r"\.(hi|lo)$", "", re.sub(r"\.k\d+$", "", parameter_of(op.weight)))


def _name_layers(groups: list[Group]) -> None:
    """Give every group the name of the layer it serves.

    A discardable attribute `layer` on an operation decides. Otherwise products take it from
    their parameters' names, recurrences from what feeds them, elementwise work from what it
    feeds.
    """
    maker: dict[SSAValue, Group] = {r: g for g in groups for op in g.ops for r in op.results}
    for group in groups:
        marks = [
            a.data for op in group.ops if isinstance(a := op.attributes.get("layer"), StringAttr)
        ]
        if marks:
            group.layer = marks[0]
        elif group.kind == "gemm":
            group.layer = _parameter_layer(group)
        elif group.kind == "scan":
            scan = group.ops[0]
            fed = [maker[r].layer for v in scan.operands for r in roots(v) if r in maker]
            group.layer = next((f for f in fed if f), "")
    for group in reversed(groups):
        if not group.layer:
            fed = [g.layer for g in groups if g is not group and _feeds(group, g) and g.layer]
            group.layer = fed[0] if fed else ""
    for group in groups:
        if not group.layer and group.copy and not any(r in maker for r in roots(group.copy[0])):
            # A copied argument belongs to the layer that reads the joined value.
            joined = group.copy[1].result
            fed = [g.layer for g in groups if g.layer and any(_shows(v, joined) for v in _read(g))]
            group.layer = fed[0] if fed else ""
        if not group.layer:
            values = [group.copy[0]] if group.copy else [v for o in group.ops for v in o.operands]
            made = [maker[r].layer for v in values for r in roots(v) if r in maker]
            group.layer = next((m for m in made if m), "main")


def _read(group: Group) -> list[SSAValue]:
    return [v for op in group.ops for v in op.operands]


def _shows(value: SSAValue, joined: SSAValue) -> bool:
    """Whether a value is a joined one or a view of it."""
    while value is not joined and isinstance(value.owner, VIEWS):
        value = value.owner.operands[0]
    return value is joined


def _feeds(group: Group, other: Group) -> bool:
    if other.kind not in {"gemm", "scan", "stream"}:
        return False
    return any(group.makes(r) for op in other.ops for v in op.operands for r in roots(v))


def _parameter_layer(group: Group) -> str:
    for op in group.ops:
        if isinstance(op, qnn.BiasOp) and isinstance(op.bias.owner, LoadOp):
            found = re.fullmatch(r"(.+)\.bias\.q", op.bias.owner.symbol)
            if found:
                return found[1]
    first = next(o for o in group.ops if isinstance(o, qnn.MatmulOp))
    return re.sub(r"(\.weight)?\.q\d+$", "", weight_stem(first)) or "main"
