"""Instructions of the post-processing unit."""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import ArrayAttr
from xdsl.irdl import irdl_op_definition, prop_def
from xdsl.utils.exceptions import VerifyException

from mohaq.backends.bitfusion.dialect.base import InstructionOp, Int, PlainOp, number
from mohaq.backends.bitfusion.isa import instructions as isa


@irdl_op_definition
class StateOp(PlainOp):
    """Start value of a state."""

    name = "bitfusion.state"
    KIND: ClassVar[type[isa.Instruction]] = isa.State
    stream = prop_def(Int)
    init = prop_def(Int)
    assembly_format = "$stream `init` $init attr-dict"


@irdl_op_definition
class SectionOp(PlainOp):
    """Starts a section of a time step; its loop cuts the units into tiles (31: none)."""

    name = "bitfusion.section"
    KIND: ClassVar[type[isa.Instruction]] = isa.Section
    loop = prop_def(Int)
    assembly_format = "`loop` $loop attr-dict"


@irdl_op_definition
class ProductOp(PlainOp):
    """acc = act * weight^T on the array; part 0 all, 1 low byte, 2 high byte of act."""

    name = "bitfusion.product"
    KIND: ClassVar[type[isa.Instruction]] = isa.Product
    act = prop_def(Int)
    weight = prop_def(Int)
    acc = prop_def(Int)
    part = prop_def(Int)
    assembly_format = "$acc `=` $act `part` $part `,` $weight attr-dict"


@irdl_op_definition
class LoadOp(PlainOp):
    """Register = stream."""

    name = "bitfusion.load"
    KIND: ClassVar[type[isa.Instruction]] = isa.Load
    dst = prop_def(Int)
    stream = prop_def(Int)
    assembly_format = "$dst `=` $stream attr-dict"


@irdl_op_definition
class StoreOp(PlainOp):
    """Stream = register."""

    name = "bitfusion.store"
    KIND: ClassVar[type[isa.Instruction]] = isa.Store
    src = prop_def(Int)
    stream = prop_def(Int)
    assembly_format = "$src `to` $stream attr-dict"


@irdl_op_definition
class AddOp(PlainOp):
    """dst = a + b."""

    name = "bitfusion.add"
    KIND: ClassVar[type[isa.Instruction]] = isa.Add
    dst = prop_def(Int)
    a = prop_def(Int)
    b = prop_def(Int)
    assembly_format = "$dst `=` $a `,` $b attr-dict"


@irdl_op_definition
class MulOp(PlainOp):
    """dst = a * b."""

    name = "bitfusion.mul"
    KIND: ClassVar[type[isa.Instruction]] = isa.Mul
    dst = prop_def(Int)
    a = prop_def(Int)
    b = prop_def(Int)
    assembly_format = "$dst `=` $a `,` $b attr-dict"


@irdl_op_definition
class BiasOp(PlainOp):
    """dst = a * 2^acc_shift + b * 2^bias_shift."""

    name = "bitfusion.bias"
    KIND: ClassVar[type[isa.Instruction]] = isa.Bias
    dst = prop_def(Int)
    a = prop_def(Int)
    b = prop_def(Int)
    acc_shift = prop_def(Int)
    bias_shift = prop_def(Int)
    assembly_format = "$dst `=` $a `shl` $acc_shift `,` $b `shl` $bias_shift attr-dict"


@irdl_op_definition
class ShlOp(PlainOp):
    """dst = src * 2^amount."""

    name = "bitfusion.shl"
    KIND: ClassVar[type[isa.Instruction]] = isa.Shl
    dst = prop_def(Int)
    src = prop_def(Int)
    amount = prop_def(Int)
    assembly_format = "$dst `=` $src `by` $amount attr-dict"


@irdl_op_definition
class RsubOp(PlainOp):
    """dst = constant - src."""

    name = "bitfusion.rsub"
    KIND: ClassVar[type[isa.Instruction]] = isa.Rsub
    dst = prop_def(Int)
    src = prop_def(Int)
    constant = prop_def(Int)
    assembly_format = "$dst `=` $constant `minus` $src attr-dict"


@irdl_op_definition
class SaturateOp(PlainOp):
    """dst = src clamped."""

    name = "bitfusion.saturate"
    KIND: ClassVar[type[isa.Instruction]] = isa.Saturate
    dst = prop_def(Int)
    src = prop_def(Int)
    width = prop_def(Int)
    signed = prop_def(Int)
    assembly_format = "$dst `=` $src `width` $width `signed` $signed attr-dict"


@irdl_op_definition
class LookupOp(PlainOp):
    """dst = table at src."""

    name = "bitfusion.lookup"
    KIND: ClassVar[type[isa.Instruction]] = isa.Lookup
    dst = prop_def(Int)
    src = prop_def(Int)
    table = prop_def(Int)
    assembly_format = "$dst `=` $src `in` $table attr-dict"


@irdl_op_definition
class RequantizeOp(InstructionOp):
    """dst = clamp((src * m + 2^(s-1)) >> s), by runs of channels."""

    name = "bitfusion.requantize"
    dst = prop_def(Int)
    src = prop_def(Int)
    width = prop_def(Int)
    signed = prop_def(Int)
    multipliers = prop_def(ArrayAttr[Int])
    shifts = prop_def(ArrayAttr[Int])
    assembly_format = (
        "$dst `=` $src `width` $width `signed` $signed `by` $multipliers `shift` $shifts attr-dict"
    )

    def __init__(self, i: isa.Requantize) -> None:
        super().__init__(
            properties={
                "dst": number(i.dst),
                "src": number(i.src),
                "width": number(i.width),
                "signed": number(i.signed),
                "multipliers": ArrayAttr([number(m) for m, _ in i.scales]),
                "shifts": ArrayAttr([number(s) for _, s in i.scales]),
            }
        )

    def instruction(self) -> isa.Requantize:
        ms = [m.value.data for m in self.multipliers]
        ss = [s.value.data for s in self.shifts]
        if len(ms) != len(ss):
            raise VerifyException("as many shifts as multipliers are needed")
        return isa.Requantize(
            self.dst.value.data,
            self.src.value.data,
            self.width.value.data,
            self.signed.value.data,
            tuple(zip(ms, ss, strict=True)),
        )
