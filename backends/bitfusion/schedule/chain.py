"""Which values stay on chip between blocks, where, and up to how many rows.

A value of pitch p (bits a row) that lives in some blocks may stay in a scratchpad while

    rows p <= min over its blocks of (bits that the scratchpad's tiles leave)

and what else is held there fits as well. The limits follow from each layer and its two
neighbours alone, so that a cost model can find them layer by layer (docs/targets/bitfusion.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.isa.instructions import (
    BLOCK_START,
    Hold,
    LdMem,
    Pad,
)
from mohaq.backends.bitfusion.machine import BANKS, Machine


@dataclass(frozen=True)
class Value:
    """Rows in DRAM that blocks store and load again: first bit, bits a row."""

    address: int
    pitch: int

    def has(self, address: int) -> bool:
        """Whether a stream with this address moves the value."""
        return self.address <= address < self.address + self.pitch


@dataclass(frozen=True)
class Life:
    """A value in the blocks `first` to `last` of one layer."""

    value: Value
    first: int
    last: int

    def meets(self, other: Life) -> bool:
        """Whether both are alive in one block."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Place:
    """Where a value stays, up to `rows` rows."""

    pad: Pad
    rows: int


@dataclass(frozen=True)
class LayerChain:
    """What one layer's blocks leave free, and the values that may stay on chip.

    `spare`: bits, by block and scratchpad; `before`: its input, held from the layer in front;
    `after`: its result, held for the next layer; `inside`: values that only its blocks use.
    """

    spare: tuple[tuple[int, ...], ...]
    before: Life | None
    after: Life | None
    inside: tuple[Life, ...]

    def border_rows(self, life: Life, pad: Pad) -> int:
        """Rows of the input or result that fit a scratchpad, beside the other one of the two."""
        pitch = life.value.pitch
        for other in (self.before, self.after):
            if other is not None and other is not life and other.meets(life):
                pitch += other.value.pitch
        return min(self.spare[b][pad] for b in range(life.first, life.last + 1)) // pitch

    def places(self, before: Place | None, after: Place | None) -> list[tuple[Life, Place]]:
        """All values that stay, given where input and result do."""
        found: list[tuple[Life, Place]] = []
        for life, place in ((self.before, before), (self.after, after)):
            if life is not None and place is not None:
                found.append((life, place))
        for life in self.inside:
            rows = [(self._rows_beside(life, pad, found), pad) for pad in Pad]
            best, pad = max(rows, key=lambda r: r[0])
            if best:
                found.append((life, Place(pad, best)))
        return found

    def _rows_beside(self, life: Life, pad: Pad, held: Sequence[tuple[Life, Place]]) -> int:
        """Rows that fit beside all that was placed before."""
        limit = -1
        for block in range(life.first, life.last + 1):
            pitch = life.value.pitch + sum(
                other.value.pitch
                for other, place in held
                if place.pad == pad and other.first <= block <= other.last
            )
            rows = self.spare[block][pad] // pitch
            limit = rows if limit < 0 else min(limit, rows)
        return limit


def spare_bits(block: Block, machine: Machine) -> tuple[int, ...]:
    """Bits that a block's tiles leave free, by scratchpad.

    Tiles that change lie in every bank; what is loaded once for the block lies there once.
    """
    once = {move.stream for move in block.loads if move.loop == BLOCK_START}
    left = [machine.capacity(pad) * BANKS[pad] for pad in Pad]
    for stream in block.streams:
        bits = stream.width
        for axis in stream.axes:
            bits *= block.loops[axis.loop].step
        left[stream.pad] -= bits * (1 if stream.id in once else BANKS[stream.pad])
    return tuple(left)


def agree(front: LayerChain, back: LayerChain) -> Place | None:
    """Where the result of one layer stays for the next one: where most rows fit both."""
    assert front.after is not None
    assert back.before is not None
    most: Place | None = None
    for pad in Pad:
        rows = min(front.border_rows(front.after, pad), back.border_rows(back.before, pad))
        if rows and (most is None or rows > most.rows):
            most = Place(pad, rows)
    return most


def layer_chain(
    blocks: Sequence[Block],
    values: Iterable[Value],
    machine: Machine,
    *,
    before: Value | None = None,
    after: Value | None = None,
) -> LayerChain:
    """The chain of one layer's blocks.

    Args:
        blocks: of the layer, in their order.
        values: candidates that only they use.
        machine: the target.
        before: the layer's input, if the layer in front may hold it.
        after: the layer's result, if the next layer may read it from the chip.
    """
    inside = [life for v in values if (life := _life(blocks, v)) is not None]
    inside.sort(key=lambda one: (one.first, one.value.address))
    first, last = (None if v is None else _life(blocks, v) for v in (before, after))
    return LayerChain(
        tuple(spare_bits(block, machine) for block in blocks),
        None if first is None else replace(first, first=0),
        None if last is None else replace(last, last=len(blocks) - 1),
        tuple(inside),
    )


def _life(blocks: Sequence[Block], value: Value) -> Life | None:
    """First and last block that moves a value."""
    found = [n for n, block in enumerate(blocks) if any(touches(block, value))]
    return Life(value, found[0], found[-1]) if found else None


def moved(blocks: Sequence[Block], value: Value) -> bool:
    """Whether blocks both store and load a value."""
    found = [touches(block, value) for block in blocks]
    return any(s for s, _ in found) and any(loads for _, loads in found)


def touches(block: Block, value: Value) -> tuple[bool, bool]:
    """Whether a block (stores, loads) a value."""
    moved = [m for m in block.moves if value.has(block.streams[m.stream].address)]
    loads = any(isinstance(m, LdMem) for m in moved)
    return any(not isinstance(m, LdMem) for m in moved), loads


def hold(
    blocks: Sequence[Block], places: Iterable[tuple[Life, Place]], max_rows: int
) -> list[Block]:
    """The blocks of a layer, compiled for up to `max_rows` rows, with the values held in them."""
    held: list[dict[int, Hold]] = [{} for _ in blocks]
    for life, place in places:
        value = life.value
        for number in range(life.first, life.last + 1):
            rows = min(place.rows, max_rows)
            held[number][value.address] = Hold(place.pad, value.address, value.pitch, rows)
    return [
        replace(block, holds=tuple(one for _, one in sorted(found.items())))
        for block, found in zip(blocks, held, strict=True)
    ]
