"""Where everything lies in a core's four banks; a plan that does not fit is refused with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mohaq.backends.epiphany.lowering.split import STEPS
from mohaq.backends.epiphany.machine import BANKS, Machine
from mohaq.backends.epiphany.plan.shapes import WORD, padded
from mohaq.backends.epiphany.plan.tiles import StagePlan


@dataclass(frozen=True)
class Field:
    """An array in local memory.

    wish: the bank that suits it: sums in 1, operands in 2, weights in 3 and 2.
    """

    name: str
    kind: str
    count: int
    wish: int

    @property
    def bytes(self) -> int:
        """Its size, whole words."""
        return padded(self.count * SIZES[self.kind], WORD)


SIZES = {"uint8_t": 1, "int16_t": 2, "int32_t": 4, "uint32_t": 4, "int64_t": 8}


def fields(plan: StagePlan, cores: int) -> Iterator[Field]:
    """The arrays that one stage works with, constants first."""
    shape, quads = plan.shape, plan.quads
    if shape.constants:
        yield Field("vectors", "uint8_t", shape.constants, 1)
    scratch = 0
    for number, product in enumerate(plan.products):
        lanes = STEPS * STEPS * quads if product.shape.batched else product.shape.block
        count = product.shape.blocks * lanes
        if product.shape.wide:
            scratch = max(scratch, count)
            yield Field(f"wide{number}", "int64_t", count, 1)
        else:
            yield Field(f"sums{number}", "uint32_t", count, 1)
    if scratch:
        # Sums of a tile on their way to 64 bits: of one product at a time.
        yield Field("scratch", "uint32_t", scratch, 1)
    if plan.operands:
        yield Field("operand", "int32_t", plan.operand_bytes // 4, 2)
        yield Field("share", "int16_t", plan.share_bytes(cores) // 2, 1)
    for number, exchange in enumerate(shape.exchanges):
        columns = next(
            sum(t.columns * t.count for t in p.tiles)
            for p in plan.products
            if not p.shape.batched and p.shape.source == number
        )
        yield Field(f"gathered{number}", "int32_t", 2 * columns, 2)
        del exchange
    for number, count in enumerate(shape.states):
        yield Field(f"state{number}", "int32_t", count, 1)
        if shape.buffered:
            yield Field(f"next{number}", "int32_t", count, 1)
    for number, count in enumerate(shape.spills):
        yield Field(f"held{number}", "int32_t", count, 1)
    for number, fetch in enumerate(shape.fetches):
        yield Field(f"own{number}", "int16_t", fetch.values * STEPS * quads, 1)
    for number, output in enumerate(shape.outputs):
        yield Field(f"out{number}", "int16_t", output.values * STEPS * quads, 1)
    carried = [t.values for t in (*shape.starts, *shape.ends)]
    if carried:
        yield Field("carry", "int16_t", max(carried) * STEPS, 1)
    if plan.buffer_bytes:
        yield Field("weights0", "uint8_t", plan.buffer_bytes, 3)
        yield Field("weights1", "uint8_t", plan.buffer_bytes, 2)


@dataclass(frozen=True)
class Placed:
    """Fields by bank (1..3) and the bytes that they take there."""

    banks: dict[int, tuple[Field, ...]]

    def bytes(self, bank: int) -> int:
        """Bytes of a bank."""
        return sum(f.bytes for f in self.banks.get(bank, ()))


def place(wanted: Sequence[Field], room: dict[int, int]) -> Placed | None:
    """Fields into banks, the largest first, each where it is wished for or where most is free.

    Returns:
        None when they do not fit.
    """
    free, found = dict(room), {bank: list[Field]() for bank in room}
    for field in sorted(wanted, key=lambda f: -f.bytes):
        bank = field.wish
        if free[bank] < field.bytes:
            bank = max(free, key=lambda b: (free[b], -b))
        if free[bank] < field.bytes:
            return None
        free[bank] -= field.bytes
        found[bank].append(field)
    order = {f.name: n for n, f in enumerate(wanted)}
    return Placed(
        {bank: tuple(sorted(fs, key=lambda f: order[f.name])) for bank, fs in found.items()}
    )


JOB_BYTES = 8
"""What a core reads of the job block, behind everything else in bank 1."""


def bank_room(machine: Machine, table_bytes: int) -> dict[int, int]:
    """Bytes of the banks for data: 1, 2 and 3; tables and stack lie at the end of bank 3."""
    room = dict.fromkeys(range(1, BANKS), machine.bank_bytes)
    room[1] -= machine.whole("code_bytes") - machine.bank_bytes + JOB_BYTES
    room[BANKS - 1] -= table_bytes + machine.whole("stack_bytes")
    return room
