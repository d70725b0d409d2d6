"""Scalar operations that a core does for every unit of its own, as a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xdsl.ir import SSAValue

from mohaq.backends.epiphany.lowering.split import Split


@dataclass(eq=False)
class Node:
    """One scalar of a unit: value `value` in group `group` of its channels.

    kind: `sum` of a product, `state`, `param`, `fetch` of a stored sequence, or an operation
    of `qnn`. `level` counts the recurrent products in front of it within a step.
    """

    kind: str
    value: SSAValue
    group: int
    args: tuple[Node, ...] = ()
    level: int = 0
    units: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Plane:
    """A sequence or state in shared memory, laid out core by core.

    Attributes:
        name: for comments.
        split: its channels.
        sequence: four steps side by side for all steps; else one row.
        batched: a copy for each sequence of the batch (arguments and results).
        number: position in shared memory.
    """

    name: str
    split: Split
    sequence: bool
    batched: bool
    number: int = -1


@dataclass(frozen=True)
class Link:
    """One operation on the way from a stored sequence to the operand of a product."""

    kind: str
    facts: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """Columns of a product's operand: a whole plane, changed elementwise."""

    plane: Plane
    chain: tuple[Link, ...]


@dataclass(eq=False)
class Operand:
    """The input of products over many steps: pieces side by side, the same on all cores."""

    value: SSAValue
    pieces: tuple[Piece, ...]
    bits: int


@dataclass(eq=False)
class Exchange:
    """Values of one step that every core needs from all others.

    nodes: of one core, by group. `level` is the level that computes them.
    """

    value: SSAValue
    nodes: tuple[Node, ...]
    split: Split
    level: int
    bits: int


@dataclass(eq=False)
class Product:
    """Rows of a matrix product that one core computes for its units.

    source: the operand of many steps, or the exchange inside a step.
    """

    weights: str
    split: Split
    source: Operand | Exchange
    bits: int
    wide: bool
    groups: list[int] = field(default_factory=list)

    @property
    def batched(self) -> bool:
        """Whether it runs over many steps at once."""
        return isinstance(self.source, Operand)

    def position(self, group: int) -> int:
        """Place of a group among the computed ones, added when it is new."""
        if group not in self.groups:
            self.groups.append(group)
        return self.groups.index(group)


@dataclass(eq=False)
class State:
    """A state of a loop: where it starts, the nodes that update it, where it ends."""

    value: SSAValue
    split: Split
    start: tuple[Plane, int] | None
    following: tuple[Node, ...] = ()
    ends: tuple[tuple[Plane, int], ...] = ()


@dataclass(eq=False)
class Output:
    """A sequence that the stage writes: nodes by group, and the planes and groups they go to."""

    nodes: tuple[Node, ...]
    split: Split
    planes: tuple[tuple[Plane, int], ...]


@dataclass(eq=False)
class Fetch:
    """A core's own units of a stored sequence, read without an exchange.

    columns: None where they lie side by side in the plane; else each is looked up.
    """

    plane: Plane
    group: int
    split: Split

    @property
    def aligned(self) -> bool:
        """Whether the plane is split in the same way."""
        return (self.plane.split.units, self.plane.split.per_core) == (
            self.split.units,
            self.split.per_core,
        )


@dataclass(eq=False)
class Stage:
    """Everything of one pass over the time steps."""

    name: str
    layer: str
    reverse: bool
    operands: list[Operand] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    fetches: list[Fetch] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    params: dict[tuple[str, int], tuple[Split, int]] = field(default_factory=dict)
    """(name, group) -> (split, bits) of the vectors it reads."""
    nodes: list[Node] = field(default_factory=list)
    """All scalars, operands first."""

    @property
    def active(self) -> int:
        """Cores that have something to compute."""
        splits = [p.split for p in self.products] + [o.split for o in self.outputs]
        return max(s.active for s in (*splits, *(s.split for s in self.states)))

    @property
    def levels(self) -> int:
        """Levels of a step."""
        return 1 + max((n.level for n in self.nodes), default=0)

    @property
    def classes(self) -> list[int]:
        """Units of the loops of a step, in the order of their first scalars."""
        return list(dict.fromkeys(n.units for n in self.nodes))

    @property
    def buffered(self) -> bool:
        """Whether an old state is still read in a loop after the one that replaces it."""
        return self.levels > 1 or len(self.classes) > 1

    def spills(self) -> list[Node]:
        """Scalars that a later level, or the end of a step, reads."""
        found: dict[Node, None] = {}
        for node in self.nodes:
            for arg in node.args:
                if arg.level < node.level and arg.kind not in FIRST_HAND:
                    found[arg] = None
        return list(found)


FIRST_HAND = frozenset({"param", "fetch", "state", "sum"})
"""Scalars that any loop of a step can read where they lie."""
