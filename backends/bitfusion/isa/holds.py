"""Rules for values that stay on chip between blocks (docs/isa/bitfusion.md, "Holds")."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.isa.instructions import Extent, Hold, LdMem
from mohaq.compiler.diagnostics import MohaqError


def check_holds(blocks: Sequence[Block]) -> None:
    """Every value that stays on chip is declared alike from its first store to its last load.

    Raises:
        MohaqError: a declaration is missing, differs, clashes with another or serves nothing.
    """
    known: dict[int, Hold] = {}
    where: dict[int, list[int]] = {}
    for position, block in enumerate(blocks):
        for hold in block.holds:
            if known.setdefault(hold.address, hold) != hold:
                raise MohaqError(f"two blocks hold the value at {hold.address} in different ways")
            where.setdefault(hold.address, []).append(position)
        _check_block(block)
    for address, hold in known.items():
        _check_life(blocks, hold, where[address])


def _check_block(block: Block) -> None:
    ordered = sorted(block.holds, key=lambda h: h.address)
    if list(block.holds) != ordered:
        raise MohaqError("the holds of a block are out of order")
    for one, other in pairwise(ordered):
        if one.address + one.pitch * one.rows > other.address:
            raise MohaqError(f"the values held at {one.address} and {other.address} overlap")


def _check_life(blocks: Sequence[Block], hold: Hold, declared: Sequence[int]) -> None:
    """Declared from the block of the first store to that of the last load, in all between."""
    stores: list[int] = []
    loads: list[int] = []
    for position, block in enumerate(blocks):
        for move in block.moves:
            stream = block.streams[move.stream]
            if not hold.address <= stream.address < hold.address + hold.pitch:
                continue
            (loads if isinstance(move, LdMem) else stores).append(position)
            strides = [
                axis.stride for axis in stream.axes if block.loops[axis.loop].source != Extent.FIXED
            ]
            if any(stride != hold.pitch for stride in strides) or not strides:
                raise MohaqError(f"stream {stream.id} walks over a held value in other rows")
    if not stores or not loads:
        raise MohaqError(f"the value held at {hold.address} is not stored and loaded again")
    if list(declared) != list(range(stores[0], loads[-1] + 1)) or loads[0] < stores[0]:
        raise MohaqError(
            f"the value held at {hold.address} is declared in other blocks than it lives in"
        )
