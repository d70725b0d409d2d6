"""A block: the instructions between setup and block-end in structured form.

Lowering builds blocks and flattens them; the estimate and the simulator read them back from
instructions, the simulator from decoded words. The order of instructions is canonical.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mohaq.backends.bitfusion.isa.instructions import (
    BLOCK_START,
    NO_STREAM,
    BaseAddr,
    BlockEnd,
    Compute,
    Extent,
    GenAddr,
    Hold,
    Instruction,
    Kind,
    LdMem,
    Load,
    Lookup,
    LoopOf,
    Pad,
    PostOp,
    PostStart,
    Product,
    RdBuf,
    Section,
    Setup,
    State,
    StMem,
    Store,
    WrBuf,
)
from mohaq.compiler.diagnostics import MohaqError

EXTENTS = 3
"""Level of loops that are extents only: points of tables, inputs of products in a step."""

PART_BITS = 8
"""Width of the parts of a 16-bit operand."""

CHUNKS = 4
"""Level of the loop that cuts the units inside a time step."""


@dataclass(frozen=True)
class Axis:
    """A stream along a loop: `stride` bits an element, times the batch if `by_batch`."""

    loop: int
    stride: int
    by_batch: bool = False


@dataclass(frozen=True)
class Stream:
    """Elements of `width` bits that pass through one scratchpad; its tile spans its axes."""

    id: int
    pad: Pad
    width: int
    signed: bool
    address: int
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class Pass:
    """One multiply-accumulate over a tile: acc += act times weight."""

    act: int
    weight: int
    acc: int
    loop: int


@dataclass(frozen=True)
class Block:
    """One block; `loads` and `stores` are (stream, loop) pairs.

    `holds`: the values that may stay on chip while it runs.
    """

    kind: Kind
    layer: int
    a_bits: int
    w_bits: int
    loops: tuple[LoopOf, ...]
    streams: tuple[Stream, ...]
    loads: tuple[LdMem, ...]
    stores: tuple[StMem, ...]
    passes: tuple[Pass, ...]
    post_loop: int
    post: tuple[PostOp, ...]
    holds: tuple[Hold, ...] = ()

    @property
    def moves(self) -> tuple[LdMem | StMem, ...]:
        """All transfers."""
        return (*self.loads, *self.stores)

    def hold_of(self, stream: Stream) -> Hold | None:
        """The value that a stream moves, if it may stay on chip."""
        for hold in self.holds:
            if hold.address <= stream.address < hold.address + hold.pitch:
                return hold
        return None

    @property
    def is_scan(self) -> bool:
        """Whether the block walks over time steps."""
        return self.kind in {Kind.FORWARD, Kind.REVERSE}

    @property
    def products(self) -> tuple[Product, ...]:
        """Products inside the time steps of a scan."""
        return tuple(op for op in self.post if isinstance(op, Product))

    def sections(self) -> list[tuple[int, tuple[PostOp, ...]]]:
        """Sections of a time step: the loop that cuts the units (31: none) and what runs.

        Without section instructions the whole microprogram is one.
        """
        found: list[tuple[int, list[PostOp]]] = []
        for op in self.post:
            if isinstance(op, Section):
                found.append((op.loop, []))
            elif not isinstance(op, State):
                if not found:
                    found.append((BLOCK_START, []))
                found[-1][1].append(op)
        return [(loop, tuple(ops)) for loop, ops in found]

    def level(self, number: int) -> tuple[LoopOf, ...]:
        """Loops of one level."""
        return tuple(loop for loop in self.loops if loop.level == number)

    @property
    def columns(self) -> LoopOf:
        """The loop over channels: the only fixed one of levels 0 and 1."""
        return next(p for p in self.loops if p.level < 2 and p.source == Extent.FIXED)

    def instructions(self, next_block: int) -> Iterator[Instruction]:
        """The canonical sequence; `next_block` is the word address for block-end."""
        yield Setup(self.kind, self.a_bits, self.w_bits, self.layer)
        yield from self.holds
        yield from self.loops
        for s in self.streams:
            yield BaseAddr(s.id, s.pad, s.width, int(s.signed), s.address)
            for axis in s.axes:
                yield GenAddr(s.id, axis.loop, int(axis.by_batch), axis.stride)
        yield from self.loads
        for p in self.passes:
            yield RdBuf(Pad.IBUF, p.act, p.loop)
            yield RdBuf(Pad.WBUF, p.weight, p.loop)
            yield WrBuf(Pad.OBUF, p.acc, p.loop)
            yield Compute(0, p.loop)
        yield PostStart(self.post_loop)
        yield from self.post
        yield from self.stores
        yield BlockEnd(next_block)


def split_blocks(instructions: Sequence[Instruction]) -> list[tuple[Block, int]]:
    """All blocks of a program with their block-end addresses.

    Raises:
        MohaqError: instructions outside a block or out of order.
    """
    found: list[tuple[Block, int]] = []
    start = 0
    for position, instruction in enumerate(instructions):
        if isinstance(instruction, BlockEnd):
            found.append((read_block(instructions[start:position]), instruction.next))
            start = position + 1
    if start != len(instructions):
        raise MohaqError("the last block does not end")
    if not found:
        raise MohaqError("the program has no blocks")
    return found


def read_block(given: Sequence[Instruction]) -> Block:
    """Structure of the instructions from setup to before block-end.

    Raises:
        MohaqError: they are not a canonical block.
    """
    if not given or not isinstance(given[0], Setup):
        raise MohaqError("a block must start with setup")
    setup = given[0]
    loops = tuple(i for i in given if isinstance(i, LoopOf))
    axes: dict[int, list[Axis]] = {}
    for i in given:
        if isinstance(i, GenAddr):
            axes.setdefault(i.stream, []).append(Axis(i.loop, i.stride, bool(i.by_batch)))
    streams = tuple(
        Stream(i.stream, Pad(i.pad), i.width, bool(i.signed), i.address,
               tuple(axes.get(i.stream, ())))
        for i in given
        if isinstance(i, BaseAddr)
    )  # fmt: skip
    starts = [i for i in given if isinstance(i, PostStart)]
    if len(starts) != 1:
        raise MohaqError("a block has exactly one post-start")
    block = Block(
        Kind(setup.kind),
        setup.layer,
        setup.a_bits,
        setup.w_bits,
        loops,
        streams,
        tuple(i for i in given if isinstance(i, LdMem)),
        tuple(i for i in given if isinstance(i, StMem)),
        _passes(given),
        starts[0].loop,
        tuple(i for i in given if isinstance(i, PostOp)),
        tuple(i for i in given if isinstance(i, Hold)),
    )
    if list(block.instructions(0))[:-1] != list(given):
        raise MohaqError("the instructions of a block are out of order")
    check_block(block)
    return block


def _passes(given: Sequence[Instruction]) -> tuple[Pass, ...]:
    found: list[Pass] = []
    pending: list[RdBuf | WrBuf] = []
    for i in given:
        if isinstance(i, (RdBuf, WrBuf)):
            pending.append(i)
        elif isinstance(i, Compute):
            if [type(p) for p in pending] != [RdBuf, RdBuf, WrBuf]:
                raise MohaqError("compute needs two rd-buf and one wr-buf before it")
            act, weight, acc = pending
            found.append(Pass(act.stream, weight.stream, acc.stream, i.loop))
            pending = []
    if pending:
        raise MohaqError("rd-buf or wr-buf without a compute")
    return tuple(found)


def check_block(block: Block) -> None:
    """Cross-field rules that make a block executable.

    Raises:
        MohaqError: one does not hold.
    """
    for position, loop in enumerate(block.loops):
        if loop.id != position or loop.step > loop.extent:
            raise MohaqError(f"loop {position} of a block is malformed")
    for position, stream in enumerate(block.streams):
        if stream.id != position:
            raise MohaqError(f"stream {position} of a block is malformed")
    count = len(block.loops)
    used = [a.loop for s in block.streams for a in s.axes]
    used += [p.loop for p in block.passes] + [block.post_loop]
    used += [t.loop for t in block.moves if t.loop != BLOCK_START]
    used += [p.loop for p in block.post if isinstance(p, Section) and p.loop != BLOCK_START]
    if any(loop >= count for loop in used):
        raise MohaqError("a block names a loop that it does not have")
    if any(s >= len(block.streams) for s in _named_streams(block)):
        raise MohaqError("a block names a stream that it does not have")
    _check_nest(block)
    _check_pads(block)
    _check_firing(block)


def fires(axes: Sequence[Axis], loops: Sequence[LoopOf]) -> int:
    """The loop whose iterations need a new tile of a stream with these axes.

    The innermost loop among the axes that has more than one tile (loops set at launch may).
    """
    found, deepest = BLOCK_START, -1
    for axis in axes:
        loop = loops[axis.loop]
        single = loop.source == Extent.FIXED and loop.step >= loop.extent
        if loop.level != EXTENTS and not single and loop.level > deepest:
            found, deepest = loop.id, loop.level
    return found


def _check_firing(block: Block) -> None:
    """Loads fire as seldom as they can, stores when their tile is complete."""
    for move in block.moves:
        stream = block.streams[move.stream]
        expected = fires(stream.axes, block.loops)
        if isinstance(move, StMem):
            steps = not block.is_scan or any(a.loop == block.post_loop for a in stream.axes)
            expected = block.post_loop if steps else block.level(1)[0].id
        if move.loop != expected:
            raise MohaqError(f"stream {move.stream} is moved at loop {move.loop}, not {expected}")


def _named_streams(block: Block) -> Iterator[int]:
    for t in block.moves:
        yield t.stream
    for p in block.passes:
        yield from (p.act, p.weight, p.acc)
    for op in block.post:
        if isinstance(op, (Load, Store)):
            yield op.stream
        elif isinstance(op, Lookup):
            yield op.table
        elif isinstance(op, Product):
            yield from (op.act, op.weight, op.acc)
        elif isinstance(op, State):
            yield op.stream
            if op.init != NO_STREAM:
                yield op.init


def _check_nest(block: Block) -> None:
    sources = [[p.source for p in block.level(n)] for n in range(4)]
    two = {Extent.FIXED, Extent.BATCH}, {Extent.FIXED, Extent.ROWS}
    fixed = all(s == Extent.FIXED for s in sources[EXTENTS])
    fixed = fixed and all(p.step == p.extent for p in block.level(EXTENTS))
    if block.is_scan:
        good = sources[:3] == [[Extent.FIXED], [Extent.BATCH], [Extent.STEPS]]
        good = good and block.post_loop == block.level(2)[0].id and _sections_fit(block)
    else:
        outer = sources[0] + sources[1]
        good = len(sources[0]) == len(sources[1]) == 1 and set(outer) in two
        good = good and block.post_loop == block.level(1)[0].id
        good = good and all(s == Extent.FIXED for s in sources[2])
        good = good and bool(sources[2]) == bool(block.passes) == (block.kind == Kind.GEMM)
        inner = {p.id for p in block.level(2)}
        good = good and not any(isinstance(p, (Section, Product)) for p in block.post)
        good = good and not block.level(CHUNKS)
        good = good and {p.loop for p in block.passes} == (inner if block.passes else set())
    multiplies = block.kind == Kind.GEMM or bool(block.products)
    wide = (block.a_bits and block.w_bits) if multiplies else not (block.a_bits or block.w_bits)
    good = good and bool(wide)
    if not (good and fixed):
        raise MohaqError(f"the loop nest of a {block.kind.name} block is malformed")


def _sections_fit(block: Block) -> bool:
    """Products need all units in one tile, and sections that say over what they run."""
    chunks, units = block.level(CHUNKS), block.level(0)[0]
    cut = [p.loop for p in block.post if isinstance(p, Section)]
    if not block.products:
        return not chunks and not cut
    if len(chunks) > 1 or units.step < units.extent:
        return False
    good = all(p.source == Extent.FIXED and p.extent == units.extent for p in chunks)
    first = next(p for p in block.post if not isinstance(p, State))
    sections = block.sections()
    good = good and isinstance(first, Section) and sections[-1][0] != block.post_loop
    allowed = {*(p.id for p in chunks), block.post_loop, BLOCK_START}
    for (loop, ops), before in zip(sections, [block.post_loop, *cut], strict=False):
        good = good and loop in allowed
        good = good and (loop != block.post_loop or before == block.post_loop)
        good = good and (loop != BLOCK_START or not any(isinstance(p, Product) for p in ops))
    return good


def _product_operands(block: Block) -> Iterator[tuple[int, Pad, int]]:
    """(stream, scratchpad, width) that the products of a scan need."""
    for p in block.products:
        act, weight = block.streams[p.act], block.streams[p.weight]
        narrow = min(act.width, PART_BITS)
        yield p.act, Pad.PBUF if act.pad == Pad.PBUF else Pad.IBUF, 16 if p.part else narrow
        yield p.weight, Pad.WBUF, min(weight.width, PART_BITS)
        yield p.acc, Pad.OBUF, 32


def _check_pads(block: Block) -> None:
    moved = {t.stream for t in block.moves}
    for stream in block.streams:
        idle = stream.address == 0 and not any(a.stride or a.by_batch for a in stream.axes)
        if stream.id not in moved and not idle:
            raise MohaqError(f"stream {stream.id} has an address but is never moved")
    want = [(p.act, Pad.IBUF, block.a_bits) for p in block.passes]
    want += [(p.weight, Pad.WBUF, block.w_bits) for p in block.passes]
    want += [(p.acc, Pad.OBUF, 32) for p in block.passes]
    want += list(_product_operands(block))
    for number, pad, width in want:
        stream = block.streams[number]
        unsigned_sum = pad == Pad.OBUF and not stream.signed
        if stream.pad != pad or stream.width != width or unsigned_sum:
            raise MohaqError(f"stream {number} cannot be an operand of compute")
