"""The program around the instructions: regions of DRAM, ports, layers."""

from __future__ import annotations

from xdsl.dialects.builtin import (
    ArrayAttr,
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
)
from xdsl.ir import Block, Region
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.traits import NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from mohaq.backends.bitfusion.dialect.base import InstructionOp, Int, number
from mohaq.backends.bitfusion.dialect.nest import SetupOp
from mohaq.compiler.dialects.quant import GridAttr


@irdl_op_definition
class RegionOp(IRDLOperation):
    """A piece of DRAM: first bit, size in bits; constants name their parameter or table."""

    name = "bitfusion.region"
    sym_name = prop_def(SymbolNameConstraint())
    address = prop_def(Int)
    bits = prop_def(Int)
    source = opt_prop_def(FlatSymbolRefAttrConstr)
    width = prop_def(Int)

    traits = traits_def(SymbolOpInterface())
    assembly_format = (
        "$sym_name `address` $address `bits` $bits `width` $width (`from` $source^)? attr-dict"
    )

    def __init__(self, name: str, address: int, bits: int, width: int, source: str | None) -> None:
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "address": number(address),
                "bits": number(bits),
                "width": number(width),
                "source": None if source is None else SymbolRefAttr(source),
            }
        )

    def verify_(self) -> None:
        if self.address.value.data < 0 or self.address.value.data % 8:
            raise VerifyException("a region starts at a whole byte")
        if self.bits.value.data < 1:
            raise VerifyException("a region has at least one bit")


@irdl_op_definition
class PortOp(IRDLOperation):
    """Argument or result `index`: where its elements lie; stacked ones have several parts."""

    name = "bitfusion.port"
    direction = prop_def(StringAttr)
    index = prop_def(Int)
    part = prop_def(Int)
    parts = prop_def(Int)
    rows = prop_def(StringAttr)
    channels = prop_def(Int)
    address = prop_def(Int)
    row_pitch = prop_def(Int)
    pitch = prop_def(Int)
    width = prop_def(Int)
    bits = prop_def(Int)
    signed = prop_def(Int)
    grid = opt_prop_def(GridAttr)
    assembly_format = (
        "$direction $index `part` $part `of` $parts $rows `channels` $channels "
        "`address` $address `pitch` $row_pitch `,` $pitch `width` $width `bits` $bits "
        "`signed` $signed (`grid` $grid^)? attr-dict"
    )

    def __init__(
        self, direction: str, rows: str, numbers: dict[str, int], grid: GridAttr | None
    ) -> None:
        super().__init__(
            properties={
                "direction": StringAttr(direction),
                "rows": StringAttr(rows),
                **{k: number(v) for k, v in numbers.items()},
                "grid": grid,
            }
        )

    def verify_(self) -> None:
        if self.direction.data not in {"input", "output"}:
            raise VerifyException("a port is an input or an output")
        # parts = 0 marks a value that is not stacked.
        if self.rows.data not in {"steps", "batch"}:
            raise VerifyException("rows are steps or batch")
        for key in ("channels", "width", "bits", "row_pitch", "pitch"):
            found = self.properties[key]
            if not isinstance(found, IntegerAttr) or found.value.data < 1:
                raise VerifyException(f"{key} must be positive")


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """A compiled program: its target, the rows it was laid out for, its layers."""

    name = "bitfusion.program"
    target = prop_def(StringAttr)
    max_rows = prop_def(Int)
    layers = prop_def(ArrayAttr[StringAttr])
    body = region_def("single_block")

    traits = traits_def(NoTerminator())
    assembly_format = "$target `max_rows` $max_rows `layers` $layers $body attr-dict"

    def __init__(self, target: str, max_rows: int, layers: list[str], block: Block) -> None:
        super().__init__(
            properties={
                "target": StringAttr(target),
                "max_rows": number(max_rows),
                "layers": ArrayAttr([StringAttr(n) for n in layers]),
            },
            regions=[Region(block)],
        )

    def verify_(self) -> None:
        for op in self.body.block.ops:
            if not isinstance(op, (InstructionOp, RegionOp, PortOp)):
                raise VerifyException(f"'{op.name}' cannot be in a program")
            if isinstance(op, SetupOp) and op.layer.value.data >= len(self.layers):
                raise VerifyException(f"there is no layer {op.layer.value.data}")
