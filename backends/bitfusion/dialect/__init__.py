"""`bitfusion`: Fusion-ISA-style instructions as operations (docs/isa/bitfusion.md).

One operation an instruction, plus three that describe the program: regions of DRAM, ports
(arguments and results) and the program around the instructions. Numbers are plain integers;
an instruction's fields have the names and ranges of its dataclass in isa/instructions.py.
"""

from __future__ import annotations

from typing import Any

from xdsl.ir import Dialect

from mohaq.backends.bitfusion.dialect.base import InstructionOp
from mohaq.backends.bitfusion.dialect.nest import (
    BaseAddrOp,
    BlockEndOp,
    ComputeOp,
    GenAddrOp,
    HoldOp,
    LdMemOp,
    LoopOp,
    PostStartOp,
    RdBufOp,
    SetupOp,
    StMemOp,
    WrBufOp,
)
from mohaq.backends.bitfusion.dialect.post import (
    AddOp,
    BiasOp,
    LoadOp,
    LookupOp,
    MulOp,
    ProductOp,
    RequantizeOp,
    RsubOp,
    SaturateOp,
    SectionOp,
    ShlOp,
    StateOp,
    StoreOp,
)
from mohaq.backends.bitfusion.dialect.program import PortOp, ProgramOp, RegionOp
from mohaq.backends.bitfusion.isa import instructions as isa

OP_OF: dict[type[isa.Instruction], type[InstructionOp]] = {
    isa.Setup: SetupOp,
    isa.Hold: HoldOp,
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
    isa.Section: SectionOp,
    isa.Product: ProductOp,
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
    kind: Any = OP_OF[type(instruction)]
    made: InstructionOp = kind(instruction)
    return made


Bitfusion = Dialect("bitfusion", [*OP_OF.values(), RegionOp, PortOp, ProgramOp], [])

__all__ = ["OP_OF", "Bitfusion", "InstructionOp", "PortOp", "ProgramOp", "RegionOp", "op_of"]
