"""Tile sizes of a recurrence with products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from mohaq.backends.base import NoRoom
from mohaq.backends.bitfusion.schedule.steps import StepSection, Unit, step_of
from mohaq.backends.bitfusion.schedule.tiling import MAX_CHUNK, TileTask

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
    tile: tables. `fed_*`: of the products over all steps, bits of a step's operand of one sequence
    and of a unit's weights.
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
    fed_act_bits: int = 0
    fed_weight_bits: int = 0

    @property
    def load(self) -> int:
        """IBUF bits of one step of one sequence."""
        return self.hidden * self.in_bits + self.fed_act_bits

    @property
    def store(self) -> int:
        """OBUF bits of one step of one sequence, with the sums over all steps."""
        sums = 32 if self.fed_weight_bits else 0
        return self.hidden * (self.out_bits + sums)

    @property
    def inner(self) -> bool:
        """Whether steps have products."""
        return any(s.jobs and not s.whole for s in self.sections)


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
    Those of the products over all steps always stay.

    Raises:
        NoRoom: the recurrence does not fit the buffers of the target, with the numbers.
    """
    hidden = shape.hidden
    wbuf = task.wbuf - hidden * shape.fed_weight_bits
    resident = hidden * shape.weight_bits <= wbuf
    room = task.pbuf - shape.fixed_bits - hidden * shape.vector_bits
    sums = 32 if shape.inner else 0
    for pad, what, need, have in (
        ("PBUF", "one sequence", hidden * shape.state_bits, room),
        ("IBUF", "one sequence", shape.load + hidden * shape.act_bits, task.ibuf),
        ("OBUF", "one sequence", shape.store + sums, task.obuf),
        ("WBUF", "one unit", 0 if resident else shape.weight_bits, wbuf),
    ):
        if need > have:
            raise NoRoom(
                f"a recurrence of {hidden} units does not fit {pad}",
                why=f"{what} needs {need} bits there, a bank leaves {max(have, 0)}",
                hint="fewer units, narrower operands or a target with larger scratchpads",
                excess=(need - max(have, 0)) / max(have, 1),
            )
    chunk = _best_chunk(shape, task, unit, wbuf, resident=resident) if shape.inner else hidden
    # Fetched weights are shared by the sequences of a tile, so more of them go before more steps.
    least = RESIDENT_STEPS if resident else 1
    batch = 1
    while batch < MOST_SEQUENCES and _fits(shape, task, room, sums * chunk, batch + 1, least):
        batch += 1
    steps = min(
        (task.ibuf - batch * hidden * shape.act_bits) // max(1, batch * shape.load),
        (task.obuf - sums * chunk * batch) // max(1, batch * shape.store),
        MAX_CHUNK,
    )
    return StepTiles(chunk, batch, max(1, steps), resident)


def _best_chunk(shape: StepShape, task: TileTask, unit: Unit, wbuf: int, *, resident: bool) -> int:
    hidden, sections = shape.hidden, shape.sections
    if resident:
        sections = tuple(replace(s, fetched=0) for s in sections)
    best: tuple[int, int] | None = None
    for chunk in _chunks(hidden, unit.columns):
        if shape.store + 32 * chunk > task.obuf:
            continue
        if not resident and chunk * shape.weight_bits > wbuf:
            continue
        sizes = [min(chunk, hidden - at) for at in range(0, hidden, chunk)]
        cycles = step_of(sections, hidden, sizes, 1, unit).cycles(NOMINAL_STEPS)
        if best is None or (cycles, -chunk) < best:
            best = cycles, -chunk
    assert best is not None
    return -best[1]


def _chunks(hidden: int, columns: int) -> list[int]:
    """All units, whole groups of columns, or parts of one group."""
    groups = range(columns, hidden, columns)
    parts = range(1, min(columns, hidden))
    return sorted({hidden, *groups, *parts})


def _fits(shape: StepShape, task: TileTask, room: int, sums: int, batch: int, steps: int) -> bool:
    """Whether so many sequences leave room for so many steps."""
    good = batch * shape.hidden * shape.state_bits <= room
    good = good and batch * (steps * shape.load + shape.hidden * shape.act_bits) <= task.ibuf
    return good and batch * (steps * shape.store + sums) <= task.obuf
