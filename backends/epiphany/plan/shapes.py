"""What planning and costs need to know of a stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mohaq.backends.epiphany.lowering.nodes import Exchange, Stage
from mohaq.backends.epiphany.lowering.split import Split

WORD = 8
"""Bytes that all transfers and fields are multiples of."""


def padded(count: int, to: int) -> int:
    """The next multiple."""
    return -(-count // to) * to


@dataclass(frozen=True)
class ProductShape:
    """Rows of a matrix product on one core.

    Attributes:
        name: of the weights.
        rows: real ones, without padding.
        source: number of the operand (batched) or exchange.
        columns: of each piece of the operand.
        bits: of the weights.
        wide: sums need a pair of registers.
        batched: four steps at a time; else one.
        active: cores that hold rows.
    """

    name: str
    rows: int
    source: int
    columns: tuple[int, ...]
    bits: int
    wide: bool
    batched: bool
    active: int

    @property
    def block(self) -> int:
        """Rows of one kernel call."""
        return 4 if self.batched else 8

    @property
    def blocks(self) -> int:
        """Kernel calls for all rows.

        There is always a spare row of zero weights: its sum is what the offset of the weights
        adds to every row.
        """
        return self.rows // self.block + 1

    @property
    def spare(self) -> int:
        """Number of the first spare row."""
        return self.rows


@dataclass(frozen=True)
class ExchangeShape:
    """Values that a core gives to all others in a step."""

    values: int
    level: int
    active: int

    @property
    def columns(self) -> int:
        """Values of all cores."""
        return self.values * self.active


@dataclass(frozen=True)
class TransferShape:
    """A transfer of a core's own units: `values` of one step, or of every four steps."""

    values: int
    count: int
    """Transfers that it takes."""

    active: int
    """Cores that do it."""


SCALAR_BYTES, CELL_BYTES = 4, 48
"""Room for the numbers and places of a cell: for a scalar, and whatever it computes."""


@dataclass(frozen=True)
class StageShape:
    """A stage as sizes.

    Attributes:
        name: of the layer.
        active: cores that compute.
        operands: columns of the pieces of each operand.
        products, exchanges: see there.
        levels: of a step.
        elements: (kind, scalars of a core in a step, cores that have some).
        states: elements of each state of a core.
        starts, ends: transfers of states before and after.
        fetches, outputs: transfers of four steps.
        spills: elements of each value that lives between loops of a step.
        buffered: whether new states are kept apart until the end of a step.
        constants: bytes of vectors that a core reads before it starts.
        scalars: of a unit and a step, for the size of the stage's tables.
    """

    name: str
    active: int
    operands: tuple[tuple[int, ...], ...]
    products: tuple[ProductShape, ...]
    exchanges: tuple[ExchangeShape, ...]
    levels: int
    elements: tuple[tuple[str, int, int], ...]
    states: tuple[int, ...]
    starts: tuple[TransferShape, ...]
    ends: tuple[TransferShape, ...]
    fetches: tuple[TransferShape, ...]
    outputs: tuple[TransferShape, ...]
    spills: tuple[int, ...]
    buffered: bool
    constants: int
    scalars: int

    @property
    def description_bytes(self) -> int:
        """Room for the constants of the stage in local memory: at least what they take."""
        moves = len(self.starts) + len(self.ends) + len(self.fetches) + len(self.outputs)
        pieces = sum(len(p) for p in self.operands)
        listed = 16 * moves + 32 * pieces + 8 * len(self.operands) + 36 * len(self.products)
        listed += 10 * len(self.exchanges) + 4 * len(self.states)
        cell = CELL_BYTES + SCALAR_BYTES * self.scalars
        # The last summand: arrays start at multiples of 8.
        return padded(96 + listed + cell + 48, WORD)


def shape_of_stage(stage: Stage) -> StageShape:
    """Sizes of a stage."""
    products = tuple(
        ProductShape(
            p.weights,
            len(p.groups) * p.split.per_core,
            stage.exchanges.index(p.source)
            if isinstance(p.source, Exchange)
            else stage.operands.index(p.source),
            (p.source.split.columns,)
            if isinstance(p.source, Exchange)
            else tuple(piece.plane.split.columns for piece in p.source.pieces),
            p.bits,
            p.wide,
            p.batched,
            p.split.active,
        )
        for p in stage.products
    )
    return StageShape(
        stage.layer,
        stage.active,
        tuple(tuple(p.plane.split.columns for p in o.pieces) for o in stage.operands),
        products,
        tuple(ExchangeShape(e.split.segment, e.level, e.split.active) for e in stage.exchanges),
        stage.levels,
        elements_of(stage),
        tuple(s.split.segment for s in stage.states),
        tuple(_own(s.split, s.split.groups) for s in stage.states if s.start),
        tuple(_own(s.split, s.split.groups) for s in stage.states for _ in s.ends),
        tuple(
            TransferShape(f.split.per_core, 1 if f.aligned else f.split.per_core, f.split.active)
            for f in stage.fetches
        ),
        tuple(_own(o.split, 1) for o in stage.outputs for _ in o.planes),
        tuple(per_core(stage, n.units) for n in stage.spills()),
        stage.buffered,
        constant_bytes(stage),
        len(stage.nodes),
    )


def elements_of(stage: Stage) -> tuple[tuple[str, int, int], ...]:
    """What the loops of a step count: (kind, scalars of a core, cores that have some)."""
    found: Counter[tuple[str, int]] = Counter()
    for node in stage.nodes:
        if node.kind in COUNTED:
            split = split_of(stage, node.units)
            found[COUNTED[node.kind], split.active] += split.per_core
    groups: dict[str, list[Split]] = {
        "convert": [f.split for f in stage.fetches],
        "store": [o.split for o in stage.outputs] + [e.split for e in stage.exchanges],
        "state": [s.split for s in stage.states],
    }
    for title, splits in groups.items():
        for split in splits:
            found[title, split.active] += split.segment
    return tuple((kind, count, active) for (kind, active), count in sorted(found.items()))


COUNTED = {"sum": "rescale", "lookup": "lookup"}


def split_of(stage: Stage, units: int) -> Split:
    """A split of the units of a class."""
    return next(s for s in _splits(stage) if s.units == units)


def per_core(stage: Stage, units: int) -> int:
    """Units of a class on one core."""
    return split_of(stage, units).per_core


def _splits(stage: Stage) -> list[Split]:
    return [
        *(p.split for p in stage.products),
        *(s.split for s in stage.states),
        *(o.split for o in stage.outputs),
        *(e.split for e in stage.exchanges),
        *(f.split for f in stage.fetches),
        *(s for s, _ in stage.params.values()),
    ]


def _own(split: Split, groups: int) -> TransferShape:
    return TransferShape(split.per_core * groups, 1, split.active)


def vector_bytes(bits: int) -> int:
    """Bytes of an element of a vector."""
    return 2 if bits <= 16 else 4


def constant_bytes(stage: Stage) -> int:
    """Bytes of the vectors of one core, each padded to whole words."""
    total = sum(
        padded(split.per_core * vector_bytes(bits), WORD) for split, bits in stage.params.values()
    )
    return total + sum(padded(4 * f.split.per_core, WORD) for f in stage.fetches if not f.aligned)
