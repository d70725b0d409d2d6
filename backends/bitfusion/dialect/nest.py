"""Instructions that set up blocks, move tiles and multiply."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import StringAttr
from xdsl.irdl import irdl_op_definition, prop_def

from mohaq.backends.bitfusion.dialect.base import (
    InstructionOp,
    Int,
    PlainOp,
    code_of,
    name_of,
    number,
)
from mohaq.backends.bitfusion.isa import instructions as isa


@irdl_op_definition
class SetupOp(InstructionOp):
    """Opens a block."""

    name = "bitfusion.setup"
    kind = prop_def(StringAttr)
    a_bits = prop_def(Int)
    w_bits = prop_def(Int)
    layer = prop_def(Int)
    assembly_format = "$kind `a` $a_bits `w` $w_bits `layer` $layer attr-dict"

    def __init__(self, i: isa.Setup) -> None:
        super().__init__(
            properties={
                "kind": name_of(i.kind, isa.Kind),
                "a_bits": number(i.a_bits),
                "w_bits": number(i.w_bits),
                "layer": number(i.layer),
            }
        )

    def instruction(self) -> isa.Setup:
        kind = code_of(self.kind, isa.Kind)
        return isa.Setup(
            kind, self.a_bits.value.data, self.w_bits.value.data, self.layer.value.data
        )


@irdl_op_definition
class HoldOp(InstructionOp):
    """A value that stays on chip while it has at most `rows` rows."""

    name = "bitfusion.hold"
    pad = prop_def(StringAttr)
    address = prop_def(Int)
    pitch = prop_def(Int)
    rows = prop_def(Int)
    assembly_format = "$pad `address` $address `pitch` $pitch `rows` $rows attr-dict"

    def __init__(self, i: isa.Hold) -> None:
        super().__init__(
            properties={
                "pad": name_of(i.pad, isa.Pad),
                "address": number(i.address),
                "pitch": number(i.pitch),
                "rows": number(i.rows),
            }
        )

    def instruction(self) -> isa.Hold:
        return isa.Hold(
            code_of(self.pad, isa.Pad),
            self.address.value.data,
            self.pitch.value.data,
            self.rows.value.data,
        )


@irdl_op_definition
class LoopOp(InstructionOp):
    """A loop of the nest; the extent of a dynamic one is its maximum."""

    name = "bitfusion.loop"
    id = prop_def(Int)
    level = prop_def(Int)
    source = prop_def(StringAttr)
    extent = prop_def(Int)
    step = prop_def(Int)
    assembly_format = "$id `level` $level $source `extent` $extent `step` $step attr-dict"

    def __init__(self, i: isa.LoopOf) -> None:
        super().__init__(
            properties={
                "id": number(i.id),
                "level": number(i.level),
                "source": name_of(i.source, isa.Extent),
                "extent": number(i.extent),
                "step": number(i.step),
            }
        )

    def instruction(self) -> isa.LoopOf:
        return isa.LoopOf(
            self.id.value.data,
            self.level.value.data,
            code_of(self.source, isa.Extent),
            self.extent.value.data,
            self.step.value.data,
        )


@irdl_op_definition
class BaseAddrOp(InstructionOp):
    """Declares a stream; `address` counts bits of DRAM."""

    name = "bitfusion.base_addr"
    stream = prop_def(Int)
    pad = prop_def(StringAttr)
    width = prop_def(Int)
    signed = prop_def(Int)
    address = prop_def(Int)
    assembly_format = "$stream $pad `width` $width `signed` $signed `address` $address attr-dict"

    def __init__(self, i: isa.BaseAddr) -> None:
        super().__init__(
            properties={
                "stream": number(i.stream),
                "pad": name_of(i.pad, isa.Pad),
                "width": number(i.width),
                "signed": number(i.signed),
                "address": number(i.address),
            }
        )

    def instruction(self) -> isa.BaseAddr:
        return isa.BaseAddr(
            self.stream.value.data,
            code_of(self.pad, isa.Pad),
            self.width.value.data,
            self.signed.value.data,
            self.address.value.data,
        )


@irdl_op_definition
class GenAddrOp(PlainOp):
    """A stream runs along a loop."""

    name = "bitfusion.gen_addr"
    KIND: ClassVar[type[isa.Instruction]] = isa.GenAddr
    stream = prop_def(Int)
    loop = prop_def(Int)
    by_batch = prop_def(Int)
    stride = prop_def(Int)
    assembly_format = "$stream `loop` $loop `by_batch` $by_batch `stride` $stride attr-dict"


@irdl_op_definition
class LdMemOp(PlainOp):
    """DRAM to scratchpad."""

    name = "bitfusion.ld_mem"
    KIND: ClassVar[type[isa.Instruction]] = isa.LdMem
    stream = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "$stream `loop` $loop attr-dict"


@irdl_op_definition
class StMemOp(PlainOp):
    """Scratchpad to DRAM."""

    name = "bitfusion.st_mem"
    KIND: ClassVar[type[isa.Instruction]] = isa.StMem
    stream = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "$stream `loop` $loop attr-dict"


@irdl_op_definition
class RdBufOp(PlainOp):
    """Names an operand of the next compute."""

    name = "bitfusion.rd_buf"
    KIND: ClassVar[type[isa.Instruction]] = isa.RdBuf
    pad = prop_def(Int)
    stream = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "`pad` $pad `stream` $stream `loop` $loop attr-dict"


@irdl_op_definition
class WrBufOp(PlainOp):
    """Names the accumulators of the next compute."""

    name = "bitfusion.wr_buf"
    KIND: ClassVar[type[isa.Instruction]] = isa.WrBuf
    pad = prop_def(Int)
    stream = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "`pad` $pad `stream` $stream `loop` $loop attr-dict"


@irdl_op_definition
class ComputeOp(PlainOp):
    """Multiply-accumulates one tile."""

    name = "bitfusion.compute"
    KIND: ClassVar[type[isa.Instruction]] = isa.Compute
    function = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "$function `loop` $loop attr-dict"


@irdl_op_definition
class PostStartOp(PlainOp):
    """Starts the microprogram."""

    name = "bitfusion.post_start"
    KIND: ClassVar[type[isa.Instruction]] = isa.PostStart
    loop = prop_def(Int)
    assembly_format = "`loop` $loop attr-dict"


@irdl_op_definition
class BlockEndOp(InstructionOp):
    """Closes a block; the address of the next one is known when words are laid out."""

    name = "bitfusion.block_end"
    assembly_format = "attr-dict"

    def __init__(self, _: isa.BlockEnd | None = None) -> None:
        super().__init__()

    def instruction(self) -> isa.BlockEnd:
        return isa.BlockEnd(0)
