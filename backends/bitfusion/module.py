"""Between the structured program and the `bitfusion` module, both ways."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block as IrBlock

from mohaq.backends.bitfusion.dialect import InstructionOp, PortOp, ProgramOp, RegionOp, op_of
from mohaq.backends.bitfusion.isa.blocks import Block, split_blocks
from mohaq.backends.bitfusion.isa.instructions import Extent, Instruction
from mohaq.backends.bitfusion.lowering.build import Lowered, Port
from mohaq.compiler.diagnostics import MohaqError


@dataclass(frozen=True)
class Compiled:
    """A `bitfusion` program read back from its module."""

    op: ProgramOp
    regions: tuple[RegionOp, ...]
    ports: tuple[PortOp, ...]
    instructions: tuple[Instruction, ...]
    blocks: tuple[Block, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers; blocks refer to them by position."""
        return tuple(n.data for n in self.op.layers)

    @property
    def max_rows(self) -> int:
        """Rows that the program was laid out for."""
        return self.op.max_rows.value.data


def to_program_op(lowered: Lowered, target: str, max_rows: int) -> ProgramOp:
    """The program as operations."""
    block = IrBlock()
    for region in lowered.regions:
        block.add_op(
            RegionOp(region.name, region.address, region.bits, region.width, region.source)
        )
    for direction, ports in (("input", lowered.inputs), ("output", lowered.outputs)):
        for index, port in enumerate(ports):
            for op in _port_ops(direction, index, port):
                block.add_op(op)
    for one in lowered.blocks:
        for instruction in one.instructions(0):
            block.add_op(op_of(instruction))
    return ProgramOp(target, max_rows, list(lowered.layers), block)


def _port_ops(direction: str, index: int, port: Port) -> list[PortOp]:
    parts = len(port.views) if port.stacked else 0
    return [
        PortOp(
            direction,
            "steps" if view.extent == Extent.ROWS else "batch",
            {
                "index": index,
                "part": part,
                "parts": parts,
                "channels": view.channels,
                "address": view.address,
                "row_pitch": view.row_pitch,
                "pitch": view.pitch,
                "width": view.width,
                "bits": view.bits,
                "signed": int(view.signed),
            },
            port.grid,
        )
        for part, view in enumerate(port.views)
    ]


def read_module(module: ModuleOp) -> Compiled:
    """The one program of a lowered module.

    Raises:
        MohaqError: the module holds none, or its blocks are malformed.
    """
    found = [op for op in module.walk() if isinstance(op, ProgramOp)]
    if len(found) != 1:
        raise MohaqError(
            "the module holds no Bit Fusion program", hint="run lower-to-bitfusion first"
        )
    body = list(found[0].body.block.ops)
    instructions = tuple(op.instruction() for op in body if isinstance(op, InstructionOp))
    return Compiled(
        found[0],
        tuple(op for op in body if isinstance(op, RegionOp)),
        tuple(op for op in body if isinstance(op, PortOp)),
        instructions,
        tuple(block for block, _ in split_blocks(instructions)),
    )
