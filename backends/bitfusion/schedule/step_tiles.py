"""Tile sizes of a recurrence with products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from mohaq.backends.bitfusion.schedule.steps import StepSection, Unit, step_of
from mohaq.backends.bitfusion.schedule.tiling import MAX_CHUNK, TileTask
from mohaq.compiler.diagnostics import MohaqError

MOST_SEQUENCES = 16
"""Most sequences in one tile: more of them share each fetch of the weights."""

RESIDENT_STEPS = 8
"""Steps that a tile of several sequences has at least while the weights stay in WBUF."""

NOMINAL_STEPS = 100


@dataclass(frozen=True)
class StepShape:
    """What the tiles of a recurrence with products depend on.

    Bits of one unit of one sequence: step inputs with operands of products in IBUF, step
    outputs, states with what else lies in PBUF; of one unit: vectors, weights; of the whole
    tile: tables.
    """

    hidden: int
    in_bits: int
    act_bits: int
    out_bits: int
    state_bits: int
    vector_bits: int
    weight_bits: int
    fixed_bits: int
    sections: tuple[StepSection, ...]


@dataclass(frozen=True)
class StepTiles:
    """Units of a chunk, sequences and steps of a tile; whether the weights stay in WBUF."""

    chunk: int
    batch: int
    steps: int
    resident: bool


@lru_cache(maxsize=4096)
def step_tiles(shape: StepShape, task: TileTask, unit: Unit) -> StepTiles:
    """The chunk with the fastest steps of one sequence, then sequences and steps that fit.

    Weights that fit half of WBUF stay there; otherwise each step fetches them, a chunk at a time.

    Raises:
        MohaqError: the recurrence does not fit the buffers of the target, with the numbers.
    """
    hidden = shape.hidden
    resident = hidden * shape.weight_bits <= task.wbuf
    room = task.pbuf - shape.fixed_bits - hidden * shape.vector_bits
    for pad, what, need, have in (
        ("PBUF", "one sequence", hidden * shape.state_bits, room),
        ("IBUF", "one sequence", hidden * (shape.in_bits + shape.act_bits), task.ibuf),
        ("OBUF", "one sequence", hidden * shape.out_bits + 32, task.obuf),
        ("WBUF", "one unit", 0 if resident else shape.weight_bits, task.wbuf),
    ):
        if need > have:
            raise MohaqError(
                f"a recurrence of {hidden} units does not fit {pad}",
                why=f"{what} needs {need} bits there, a bank leaves {max(have, 0)}",
                hint="fewer units, narrower operands or a target with larger scratchpads",
            )
    sections = shape.sections
    if resident:
        sections = tuple(replace(s, fetched=0) for s in sections)
    best: tuple[int, int] | None = None
    for chunk in _chunks(hidden, unit.columns):
        if hidden * shape.out_bits + 32 * chunk > task.obuf:
            continue
        if not resident and chunk * shape.weight_bits > task.wbuf:
            continue
        sizes = [min(chunk, hidden - at) for at in range(0, hidden, chunk)]
        cycles = step_of(sections, hidden, sizes, 1, unit).cycles(NOMINAL_STEPS)
        if best is None or (cycles, -chunk) < best:
            best = cycles, -chunk
    assert best is not None
    chunk = -best[1]
    # Fetched weights are shared by the sequences of a tile, so more of them go before more steps.
    least = RESIDENT_STEPS if resident else 1
    batch = 1
    while batch < MOST_SEQUENCES and _fits(shape, task, room, chunk, batch + 1, least):
        batch += 1
    acc = 32 * chunk * batch
    steps = min(
        (task.ibuf - batch * hidden * shape.act_bits) // max(1, batch * hidden * shape.in_bits),
        (task.obuf - acc) // max(1, batch * hidden * shape.out_bits),
        MAX_CHUNK,
    )
    return StepTiles(chunk, batch, max(1, steps), resident)


def _chunks(hidden: int, columns: int) -> list[int]:
    """All units, whole groups of columns, or parts of one group."""
    groups = range(columns, hidden, columns)
    parts = range(1, min(columns, hidden))
    return sorted({hidden, *groups, *parts})


def _fits(shape: StepShape, task: TileTask, room: int, chunk: int, batch: int, steps: int) -> bool:
    """Whether so many sequences leave room for so many steps."""
    each = batch * shape.hidden
    good = each * shape.state_bits <= room
    good = good and each * (steps * shape.in_bits + shape.act_bits) <= task.ibuf
    return good and each * steps * shape.out_bits + 32 * chunk * batch <= task.obuf
