"""Elementwise code as passes of the datapath, and its cut into program segments.

A pass is one DPU mode over the elements of a chunk. Values are numbered; a segment fetches up to
12 of them, computes in the register file (16 slots of 4 words) and leaves up to 4.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import networkx as nx

from mohaq.backends.silago.isa.instructions import Mode
from mohaq.compiler.diagnostics import MohaqError

WIDTHS = (4, 8, 16)
"""Elements that a cell computes at once. More take fewer edges each and leave fewer slots."""

WORDS, BLOCK_WORDS = 64, 16
BEFORE_RESULTS = 48
"""Words for inputs; results lie in block 3."""

PRODUCT_MODES = frozenset({Mode.MULT})
NACU_MODES = frozenset({Mode.SIGM, Mode.TANHYP})


@dataclass(frozen=True)
class Pass:
    """result = mode(a, b); a, b, result are numbers of values. `shift` is that of wide_acc."""

    mode: Mode
    a: int
    b: int | None
    result: int
    shift: int = 0

    @property
    def reads(self) -> tuple[int, ...]:
        """Operands."""
        return (self.a,) if self.b is None else (self.a, self.b)


@dataclass(frozen=True)
class Placed:
    """A pass with the slots of its operands and result."""

    mode: Mode
    a: int
    b: int | None
    result: int
    shift: int


@dataclass(frozen=True)
class Segment:
    """Passes that run without the host in between.

    A slot has `width` elements. The first `fixed` rows of inputs hold values that do not change from one run to the next. An
    input may stand twice, to fill such a row.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    passes: tuple[Placed, ...]
    width: int
    fixed: int = 0

    @property
    def rows(self) -> int:
        """Memory rows that a chunk's inputs take."""
        return -(-len(self.inputs) // self.per_row)

    @property
    def per_row(self) -> int:
        """Slots of a memory row."""
        return BLOCK_WORDS // self.width

    @property
    def fetched(self) -> int:
        """Rows that are read: all four blocks where block 3 is not filled with results."""
        return self.rows if len(self.outputs) == self.per_row else WORDS // BLOCK_WORDS


def in_order(passes: Sequence[Pass]) -> list[Pass]:
    """Passes so that operands come first, and equal formats of operands stand together.

    Products in Q4.11 need another operand format than the NACU's functions; a list schedule over
    the dependence graph takes what needs no change of format while there is any.
    """
    made = {p.result: i for i, p in enumerate(passes)}
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(passes)))
    for i, one in enumerate(passes):
        graph.add_edges_from((made[v], i) for v in one.reads if v in made)
    left = {i: graph.in_degree(i) for i in graph}
    ready, order, product = [i for i in graph if not left[i]], [], False
    while ready:
        ready.sort(key=lambda i: (_changes(passes[i], product=product), i))
        best = ready.pop(0)
        order.append(passes[best])
        mode = passes[best].mode
        product = mode in PRODUCT_MODES or (product and mode not in NACU_MODES)
        for after in graph.successors(best):
            left[after] -= 1
            if not left[after]:
                ready.append(after)
    return order


def live(passes: Sequence[Pass], results: Iterable[int]) -> list[Pass]:
    """The passes that the results depend on."""
    needed, kept = set(results), []
    for one in reversed(passes):
        if one.result in needed:
            needed |= set(one.reads)
            kept.append(one)
    return kept[::-1]


def _changes(one: Pass, *, product: bool) -> bool:
    return (one.mode in PRODUCT_MODES and not product) or (one.mode in NACU_MODES and product)


def segments(
    passes: Sequence[Pass],
    results: Iterable[int],
    words: int,
    *,
    wide: bool,
    latched: bool = True,
    fixed: Collection[int] = (),
    width: int = WIDTHS[0],
) -> tuple[Segment, ...]:
    """Cut passes into segments.

    Args:
        passes: in an order in which operands come first.
        results: values that are needed after the last pass.
        words: instruction words that the passes of a segment may take.
        wide: whether products need no change of format.
        latched: whether a format holds until the next change, or for one result.
        fixed: inputs that do not change from one run to the next.
        width: elements of a slot.

    Raises:
        MohaqError: a single pass does not fit; with 4 or 8 elements every one does.
    """
    final = set(results)
    passes = live(passes, final)
    made: list[Segment] = []
    start = 0
    while start < len(passes):
        best: Segment | None = None
        stop = start + 1
        while stop <= len(passes):
            later = final | {v for p in passes[stop:] for v in p.reads}
            one = _segment(passes[start:stop], later, fixed, width)
            if one is None or word_count(one.passes, wide=wide, latched=latched) > words:
                # More passes may need fewer results; a few more are worth a look.
                if stop - start > BEFORE_RESULTS // width:
                    break
            else:
                best, end = one, stop
            stop += 1
        if best is None:
            raise MohaqError("an elementwise pass does not fit a segment")
        made.append(best)
        start = end
    return tuple(made)


def word_count(passes: Sequence[Placed], *, wide: bool, latched: bool = True) -> int:
    """Upper bound of the words of passes: DPU, REFIs, a WAIT, changes of format."""
    total, product = 0, False
    for one in passes:
        total += 4 + (one.b is not None)
        if not wide and not latched:
            total += 3 * (one.mode in PRODUCT_MODES)
            continue
        if not wide and (
            (one.mode in PRODUCT_MODES and not product) or (one.mode in NACU_MODES and product)
        ):
            total, product = total + 2, not product
    return total + (2 if product else 0)


def _rows(
    inputs: Sequence[int], fixed: Collection[int], per_row: int
) -> tuple[tuple[int, ...], int]:
    """Inputs in the order of their slots, and rows of fixed ones; never more rows than needed."""
    still = [v for v in inputs if v in fixed]
    other = [v for v in inputs if v not in fixed]
    filled = -(-len(still) // per_row)
    if filled + -(-len(other) // per_row) > -(-len(inputs) // per_row):
        return (*still, *other), len(still) // per_row
    if other:
        still += still[:1] * (filled * per_row - len(still))
    return (*still, *other), filled


def _segment(
    passes: Sequence[Pass], later: set[int], fixed: Collection[int], width: int
) -> Segment | None:
    """Slots for a run of passes, or None when they do not fit."""
    slots, per_row, most = WORDS // width, BLOCK_WORDS // width, BEFORE_RESULTS // width
    inside = {p.result for p in passes}
    read = tuple(dict.fromkeys(v for p in passes for v in p.reads if v not in inside))
    inputs, still = _rows(read, fixed, per_row)
    outputs = tuple(p.result for p in passes if p.result in later)
    if len(inputs) > most or not 1 <= len(outputs) <= per_row:
        return None
    last = {v: i for i, p in enumerate(passes) for v in p.reads}
    slot = {v: i for i, v in enumerate(inputs)}
    reserved = {v: most + i for i, v in enumerate(outputs)}
    free = [s for s in range(len(inputs), slots) if s not in reserved.values()]
    placed = []
    for i, one in enumerate(passes):
        a, b = slot[one.a], None if one.b is None else slot[one.b]
        free += [slot[v] for v in set(one.reads) if last[v] == i and v not in reserved]
        if one.result in reserved:
            slot[one.result] = reserved[one.result]
        elif not free:
            return None
        else:
            slot[one.result] = free.pop(0)
        placed.append(Placed(one.mode, a, b, slot[one.result], one.shift))
    return Segment(inputs, outputs, tuple(placed), width, still)
