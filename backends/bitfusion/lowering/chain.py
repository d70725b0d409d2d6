"""Values between blocks stay on chip where they fit: which ones, for a whole program.

The rule works layer by layer (`schedule/chain`), so that the cost model finds the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.isa.holds import check_holds
from mohaq.backends.bitfusion.isa.instructions import Extent
from mohaq.backends.bitfusion.lowering.placement import Region
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.schedule.chain import (
    LayerChain,
    Place,
    Value,
    agree,
    hold,
    layer_chain,
    touches,
)


def candidates(regions: Iterable[Region], ports: Iterable[int]) -> list[Value]:
    """Values with a row for every step and sequence that the host neither gives nor takes.

    Args:
        regions: of the program.
        ports: first bits of its arguments and results.
    """
    given = list(ports)
    return [
        Value(r.address, r.pitch)
        for r in regions
        if r.pitch and not any(r.address <= at < r.address + r.bits for at in given)
    ]


def chain(
    blocks: Sequence[Block], values: Sequence[Value], machine: Machine, max_rows: int
) -> tuple[Block, ...]:
    """The blocks of a program with the values that stay on chip between them."""
    layers = [list(run) for _, run in groupby(blocks, key=lambda block: block.layer)]
    inside: list[list[Value]] = [[] for _ in layers]
    crossing: list[list[Value]] = [[] for _ in layers]
    for value in values:
        touched = [[touches(block, value) for block in run] for run in layers]
        stored = [n for n, run in enumerate(touched) if any(s for s, _ in run)]
        loaded = [n for n, run in enumerate(touched) if any(read for _, read in run)]
        if len(stored) != 1 or not loaded:
            continue
        (home,) = stored
        if loaded == stored:
            inside[home].append(value)
        elif set(loaded) <= {home, home + 1} and _read_whole(layers[home + 1], value):
            crossing[home].append(value)
    borders = [found[0] if len(found) == 1 else None for found in crossing]
    chains = [
        layer_chain(run, within, machine, before=front, after=back)
        for run, within, front, back in zip(layers, inside, [None, *borders], borders, strict=False)
    ]
    places: list[Place | None] = [None]
    for front, back in pairwise(chains):
        places.append(_agreed(front, back))
    places.append(None)
    found: list[Block] = []
    for number, run in enumerate(layers):
        found += hold(run, chains[number].places(places[number], places[number + 1]), max_rows)
    check_holds(found)
    return tuple(found)


def _agreed(front: LayerChain, back: LayerChain) -> Place | None:
    return agree(front, back) if front.after is not None else None


def _read_whole(blocks: Sequence[Block], value: Value) -> bool:
    """Whether a layer reads all channels of its input, as a cost model takes it to do."""
    for block in blocks:
        for move in block.loads:
            stream = block.streams[move.stream]
            fixed = [a for a in stream.axes if block.loops[a.loop].source == Extent.FIXED]
            if value.has(stream.address) and any(
                block.loops[a.loop].extent * a.stride == value.pitch for a in fixed
            ):
                return True
    return False
