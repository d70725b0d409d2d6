"""`bitfusion`: Fusion-ISA-style instructions as operations (docs/isa/bitfusion.md).

One operation an instruction, plus three that describe the program: regions of DRAM, ports
(arguments and results) and the program around the instructions. Numbers are plain integers;
an instruction's fields have the names and ranges of its dataclass in isa/instructions.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from xdsl.dialects.builtin import (
    I64,
    ArrayAttr,
    DenseArrayBase,
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    i64,
)
from xdsl.ir import Block, Dialect, Region
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

from mohaq.backends.bitfusion.isa import instructions as isa
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr

Int = IntegerAttr[I64]


def number(value: int) -> Int:
    """A plain integer attribute."""
    return IntegerAttr(value, i64)


def _name(value: int, kind: type[isa.Pad] | type[isa.Kind] | type[isa.Extent]) -> StringAttr:
    return StringAttr(kind(value).name.lower())


def _code(text: StringAttr, kind: type[isa.Pad] | type[isa.Kind] | type[isa.Extent]) -> int:
    try:
        return int(kind[text.data.upper()])
    except KeyError:
        known = ", ".join(k.name.lower() for k in kind)
        raise VerifyException(f"'{text.data}' is none of {known}") from None


class InstructionOp(IRDLOperation, ABC):
    """An operation that stands for one instruction."""

    @abstractmethod
    def instruction(self) -> isa.Instruction:
        """The instruction, not checked."""

    def verify_(self) -> None:
        try:
            self.instruction().check()
        except MohaqError as error:
            raise VerifyException(error.message()) from None


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
                "kind": _name(i.kind, isa.Kind),
                "a_bits": number(i.a_bits),
                "w_bits": number(i.w_bits),
                "layer": number(i.layer),
            }
        )

    def instruction(self) -> isa.Setup:
        kind = _code(self.kind, isa.Kind)
        return isa.Setup(
            kind, self.a_bits.value.data, self.w_bits.value.data, self.layer.value.data
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
                "source": _name(i.source, isa.Extent),
                "extent": number(i.extent),
                "step": number(i.step),
            }
        )

    def instruction(self) -> isa.LoopOf:
        return isa.LoopOf(
            self.id.value.data,
            self.level.value.data,
            _code(self.source, isa.Extent),
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
                "pad": _name(i.pad, isa.Pad),
                "width": number(i.width),
                "signed": number(i.signed),
                "address": number(i.address),
            }
        )

    def instruction(self) -> isa.BaseAddr:
        return isa.BaseAddr(
            self.stream.value.data,
            _code(self.pad, isa.Pad),
            self.width.value.data,
            self.signed.value.data,
            self.address.value.data,
        )


class _PlainOp(InstructionOp, ABC):
    """An instruction whose fields are all integers with the property names."""

    KIND: ClassVar[type[isa.Instruction]]

    def __init__(self, i: isa.Instruction) -> None:
        fields = [n for n in type(i).__dataclass_fields__ if n not in {"RANGES"}]
        super().__init__(properties={n: number(int(getattr(i, n))) for n in fields})

    def instruction(self) -> isa.Instruction:
        values = {n: p.value.data for n, p in self.properties.items() if isinstance(p, IntegerAttr)}
        return self.KIND(**values)


@irdl_op_definition
class GenAddrOp(_PlainOp):
    """A stream runs along a loop."""

    name = "bitfusion.gen_addr"
    KIND: ClassVar[type[isa.Instruction]] = isa.GenAddr
    stream = prop_def(Int)
    loop = prop_def(Int)
    by_batch = prop_def(Int)
    stride = prop_def(Int)
    assembly_format = "$stream `loop` $loop `by_batch` $by_batch `stride` $stride attr-dict"


@irdl_op_definition
class LdMemOp(_PlainOp):
    """DRAM to scratchpad."""

    name = "bitfusion.ld_mem"
    KIND: ClassVar[type[isa.Instruction]] = isa.LdMem
    stream = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "$stream `loop` $loop attr-dict"


@irdl_op_definition
class StMemOp(_PlainOp):
    """Scratchpad to DRAM."""

    name = "bitfusion.st_mem"
    KIND: ClassVar[type[isa.Instruction]] = isa.StMem
    stream = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "$stream `loop` $loop attr-dict"


@irdl_op_definition
class RdBufOp(_PlainOp):
    """Names an operand of the next compute."""

    name = "bitfusion.rd_buf"
    KIND: ClassVar[type[isa.Instruction]] = isa.RdBuf
    pad = prop_def(Int)
    stream = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "`pad` $pad `stream` $stream `loop` $loop attr-dict"


@irdl_op_definition
class WrBufOp(_PlainOp):
    """Names the accumulators of the next compute."""

    name = "bitfusion.wr_buf"
    KIND: ClassVar[type[isa.Instruction]] = isa.WrBuf
    pad = prop_def(Int)
    stream = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "`pad` $pad `stream` $stream `loop` $loop attr-dict"


@irdl_op_definition
class ComputeOp(_PlainOp):
    """Multiply-accumulates one tile."""

    name = "bitfusion.compute"
    KIND: ClassVar[type[isa.Instruction]] = isa.Compute
    function = prop_def(Int)
    loop = prop_def(Int)
    assembly_format = "$function `loop` $loop attr-dict"


@irdl_op_definition
class PostStartOp(_PlainOp):
    """Starts the microprogram."""

    name = "bitfusion.post_start"
    KIND: ClassVar[type[isa.Instruction]] = isa.PostStart
    loop = prop_def(Int)
    assembly_format = "`loop` $loop attr-dict"


@irdl_op_definition
class StateOp(_PlainOp):
    """Start value of a state."""

    name = "bitfusion.state"
    KIND: ClassVar[type[isa.Instruction]] = isa.State
    stream = prop_def(Int)
    init = prop_def(Int)
    assembly_format = "$stream `init` $init attr-dict"


@irdl_op_definition
class LoadOp(_PlainOp):
    """Register = stream."""

    name = "bitfusion.load"
    KIND: ClassVar[type[isa.Instruction]] = isa.Load
    dst = prop_def(Int)
    stream = prop_def(Int)
    assembly_format = "$dst `=` $stream attr-dict"


@irdl_op_definition
class StoreOp(_PlainOp):
    """Stream = register."""

    name = "bitfusion.store"
    KIND: ClassVar[type[isa.Instruction]] = isa.Store
    src = prop_def(Int)
    stream = prop_def(Int)
    assembly_format = "$src `to` $stream attr-dict"


@irdl_op_definition
class AddOp(_PlainOp):
    """dst = a + b."""

    name = "bitfusion.add"
    KIND: ClassVar[type[isa.Instruction]] = isa.Add
    dst = prop_def(Int)
    a = prop_def(Int)
    b = prop_def(Int)
    assembly_format = "$dst `=` $a `,` $b attr-dict"


@irdl_op_definition
class MulOp(_PlainOp):
    """dst = a * b."""

    name = "bitfusion.mul"
    KIND: ClassVar[type[isa.Instruction]] = isa.Mul
    dst = prop_def(Int)
    a = prop_def(Int)
    b = prop_def(Int)
    assembly_format = "$dst `=` $a `,` $b attr-dict"


@irdl_op_definition
class BiasOp(_PlainOp):
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
class ShlOp(_PlainOp):
    """dst = src * 2^amount."""

    name = "bitfusion.shl"
    KIND: ClassVar[type[isa.Instruction]] = isa.Shl
    dst = prop_def(Int)
    src = prop_def(Int)
    amount = prop_def(Int)
    assembly_format = "$dst `=` $src `by` $amount attr-dict"


@irdl_op_definition
class RsubOp(_PlainOp):
    """dst = constant - src."""

    name = "bitfusion.rsub"
    KIND: ClassVar[type[isa.Instruction]] = isa.Rsub
    dst = prop_def(Int)
    src = prop_def(Int)
    constant = prop_def(Int)
    assembly_format = "$dst `=` $constant `minus` $src attr-dict"


@irdl_op_definition
class SaturateOp(_PlainOp):
    """dst = src clamped."""

    name = "bitfusion.saturate"
    KIND: ClassVar[type[isa.Instruction]] = isa.Saturate
    dst = prop_def(Int)
    src = prop_def(Int)
    width = prop_def(Int)
    signed = prop_def(Int)
    assembly_format = "$dst `=` $src `width` $width `signed` $signed attr-dict"


@irdl_op_definition
class LookupOp(_PlainOp):
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
    multipliers = prop_def(DenseArrayBase)
    shifts = prop_def(DenseArrayBase)
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
                "multipliers": DenseArrayBase.from_list(i64, [m for m, _ in i.scales]),
                "shifts": DenseArrayBase.from_list(i64, [s for _, s in i.scales]),
            }
        )

    def instruction(self) -> isa.Requantize:
        ms, ss = self.multipliers.get_values(), self.shifts.get_values()
        if len(ms) != len(ss):
            raise VerifyException("as many shifts as multipliers are needed")
        return isa.Requantize(
            self.dst.value.data,
            self.src.value.data,
            self.width.value.data,
            self.signed.value.data,
            tuple((int(m), int(s)) for m, s in zip(ms, ss, strict=True)),
        )


@irdl_op_definition
class BlockEndOp(InstructionOp):
    """Closes a block; the address of the next one is known when words are laid out."""

    name = "bitfusion.block_end"
    assembly_format = "attr-dict"

    def __init__(self, _: isa.BlockEnd | None = None) -> None:
        super().__init__()

    def instruction(self) -> isa.BlockEnd:
        return isa.BlockEnd(0)


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


OP_OF: dict[type[isa.Instruction], type[InstructionOp]] = {
    isa.Setup: SetupOp,
    isa.LoopOf: LoopOp,
    isa.BaseAddr: BaseAddrOp,
    isa.GenAddr: GenAddrOp,
    isa.LdMem: LdMemOp,
    isa.StMem: StMemOp,
    isa.RdBuf: RdBufOp,
    isa.WrBuf: WrBufOp,
    isa.Compute: ComputeOp,
    isa.PostStart: PostStartOp,
    isa.State: StateOp,
    isa.Load: LoadOp,
    isa.Store: StoreOp,
    isa.Add: AddOp,
    isa.Mul: MulOp,
    isa.Bias: BiasOp,
    isa.Shl: ShlOp,
    isa.Rsub: RsubOp,
    isa.Saturate: SaturateOp,
    isa.Requantize: RequantizeOp,
    isa.Lookup: LookupOp,
    isa.BlockEnd: BlockEndOp,
}
"""The operation of each instruction."""


def op_of(instruction: isa.Instruction) -> InstructionOp:
    """The operation that stands for an instruction."""
    made: InstructionOp = OP_OF[type(instruction)](instruction)  # type: ignore[call-arg]
    return made


Bitfusion = Dialect("bitfusion", [*OP_OF.values(), RegionOp, PortOp, ProgramOp], [])
