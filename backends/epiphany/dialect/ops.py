"""Operations of `epiphany`."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, ArrayAttr, IntegerAttr, StringAttr, i64
from xdsl.ir import Block, Region
from xdsl.irdl import IRDLOperation, irdl_op_definition, prop_def, region_def, traits_def
from xdsl.traits import NoTerminator
from xdsl.utils.exceptions import VerifyException

Int = IntegerAttr[I64]
Ints = ArrayAttr[Int]
WAYS = ("start", "end", "fetch", "output")
BANKS = (1, 2, 3)
COLUMNS = 256


def number(value: int) -> Int:
    """A plain integer attribute."""
    return IntegerAttr(value, i64)


def numbers(values: Sequence[int]) -> Ints:
    """A list of integers."""
    return ArrayAttr([number(v) for v in values])


def listed(values: Ints) -> tuple[int, ...]:
    """The integers of a list."""
    return tuple(v.value.data for v in values)


def _positive(**values: Int) -> None:
    for name, value in values.items():
        if value.value.data < 1:
            raise VerifyException(f"{name} must be positive, got {value.value.data}")


def _tiles(columns: Ints, tile: Ints, count: Ints) -> None:
    rows = list(zip(listed(columns), listed(tile), listed(count), strict=False))
    if not rows or len({len(listed(a)) for a in (columns, tile, count)}) != 1:
        raise VerifyException("every piece has columns, columns of a tile and a number of tiles")
    for real, width, tiles in rows:
        if width < 1 or width % 8 or width > COLUMNS or tiles < 1:
            raise VerifyException(f"a tile has 8, 16, .. {COLUMNS} columns, got {width}")
        if not (tiles - 1) * width < real <= tiles * width:
            raise VerifyException(f"{tiles} tiles of {width} do not cover {real} columns")


@irdl_op_definition
class OperandOp(IRDLOperation):
    """Operand of products over many steps: columns of its pieces and their tiles."""

    name = "epiphany.operand"
    columns = prop_def(Ints)
    tile = prop_def(Ints)
    count = prop_def(Ints)

    assembly_format = "`columns` $columns `tiles` $count `of` $tile attr-dict"

    def __init__(self, columns: Sequence[int], tile: Sequence[int], count: Sequence[int]) -> None:
        super().__init__(
            properties={"columns": numbers(columns), "tile": numbers(tile), "count": numbers(count)}
        )

    def verify_(self) -> None:
        _tiles(self.columns, self.tile, self.count)


@irdl_op_definition
class ProductOp(IRDLOperation):
    """Rows of a product on each of `active` cores.

    kernel: `tile4` (four steps at once) or `mv8`. source: number of the operand or exchange.
    at_once: row blocks of one weight buffer. resident: bank of weights that stay, 0: streamed.
    """

    name = "epiphany.product"
    weights = prop_def(StringAttr)
    kernel = prop_def(StringAttr)
    source = prop_def(Int)
    rows = prop_def(Int)
    bits = prop_def(Int)
    accumulator = prop_def(Int)
    active = prop_def(Int)
    columns = prop_def(Ints)
    tile = prop_def(Ints)
    count = prop_def(Ints)
    at_once = prop_def(Int)
    resident = prop_def(Int)

    assembly_format = (
        "$weights $kernel `source` $source `rows` $rows `bits` $bits `accumulator` $accumulator "
        "`active` $active `columns` $columns `tiles` $count `of` $tile `at_once` $at_once "
        "`resident` $resident attr-dict"
    )

    def __init__(
        self,
        weights: str,
        kernel: str,
        tiles: Sequence[tuple[int, int, int]],
        **values: int,
    ) -> None:
        super().__init__(
            properties={
                "weights": StringAttr(weights),
                "kernel": StringAttr(kernel),
                "columns": numbers([t[0] for t in tiles]),
                "tile": numbers([t[1] for t in tiles]),
                "count": numbers([t[2] for t in tiles]),
                **{name: number(value) for name, value in values.items()},
            }
        )

    def verify_(self) -> None:
        if self.kernel.data not in {"tile4", "mv8"}:
            raise VerifyException(f"kernel '{self.kernel.data}' is neither tile4 nor mv8")
        if self.bits.value.data not in {2, 4, 8, 16}:
            raise VerifyException("weights have 2, 4, 8 or 16 bits")
        if self.accumulator.value.data not in {32, 64}:
            raise VerifyException("sums have 32 or 64 bits")
        if self.resident.value.data not in {0, *BANKS}:
            raise VerifyException("weights stay in bank 1, 2 or 3, or nowhere (0)")
        _positive(rows=self.rows, active=self.active, at_once=self.at_once)
        _tiles(self.columns, self.tile, self.count)


@irdl_op_definition
class ExchangeOp(IRDLOperation):
    """Values of a step that each of `active` cores pushes to all that work."""

    name = "epiphany.exchange"
    values = prop_def(Int)
    level = prop_def(Int)
    active = prop_def(Int)

    assembly_format = "`values` $values `level` $level `active` $active attr-dict"

    def __init__(self, values: int, level: int, active: int) -> None:
        super().__init__(
            properties={
                "values": number(values),
                "level": number(level),
                "active": number(active),
            }
        )

    def verify_(self) -> None:
        _positive(values=self.values, active=self.active)


@irdl_op_definition
class TransferOp(IRDLOperation):
    """A core's own units between local and shared memory, in `count` transfers.

    `start` and `end` move a state once a sequence, `fetch` and `output` four steps at a time.
    """

    name = "epiphany.transfer"
    way = prop_def(StringAttr)
    values = prop_def(Int)
    count = prop_def(Int)
    active = prop_def(Int)

    assembly_format = "$way `values` $values `count` $count `active` $active attr-dict"

    def __init__(self, way: str, values: int, count: int, active: int) -> None:
        super().__init__(
            properties={
                "way": StringAttr(way),
                "values": number(values),
                "count": number(count),
                "active": number(active),
            }
        )

    def verify_(self) -> None:
        if self.way.data not in WAYS:
            raise VerifyException(f"a transfer is one of {', '.join(WAYS)}")
        _positive(values=self.values, count=self.count, active=self.active)


@irdl_op_definition
class ElementsOp(IRDLOperation):
    """Scalars of one kind that each of `active` cores computes in a step."""

    name = "epiphany.elements"
    kind = prop_def(StringAttr)
    count = prop_def(Int)
    active = prop_def(Int)

    assembly_format = "$kind `count` $count `active` $active attr-dict"

    def __init__(self, kind: str, count: int, active: int) -> None:
        super().__init__(
            properties={
                "kind": StringAttr(kind),
                "count": number(count),
                "active": number(active),
            }
        )


@irdl_op_definition
class FieldOp(IRDLOperation):
    """An array in a bank of local memory."""

    name = "epiphany.field"
    sym = prop_def(StringAttr)
    kind = prop_def(StringAttr)
    count = prop_def(Int)
    bank = prop_def(Int)

    assembly_format = "$sym $kind `count` $count `bank` $bank attr-dict"

    def __init__(self, sym: str, kind: str, count: int, bank: int) -> None:
        super().__init__(
            properties={
                "sym": StringAttr(sym),
                "kind": StringAttr(kind),
                "count": number(count),
                "bank": number(bank),
            }
        )

    def verify_(self) -> None:
        if self.bank.value.data not in BANKS:
            raise VerifyException("data lie in bank 1, 2 or 3")
        _positive(count=self.count)


@irdl_op_definition
class StageOp(IRDLOperation):
    """One pass over the time steps, `4 * quads` of them at a time."""

    name = "epiphany.stage"
    layer = prop_def(StringAttr)
    active = prop_def(Int)
    quads = prop_def(Int)
    levels = prop_def(Int)
    buffered = prop_def(Int)
    constants = prop_def(Int)
    scalars = prop_def(Int)
    states = prop_def(Ints)
    spills = prop_def(Ints)
    body = region_def("single_block")

    traits = traits_def(NoTerminator())
    assembly_format = (
        "$layer `active` $active `quads` $quads `levels` $levels `buffered` $buffered "
        "`constants` $constants `scalars` $scalars `states` $states `spills` $spills $body attr-dict"
    )

    def __init__(
        self,
        layer: str,
        states: Sequence[int],
        spills: Sequence[int],
        body: Block,
        **values: int,
    ) -> None:
        super().__init__(
            properties={
                "layer": StringAttr(layer),
                "states": numbers(states),
                "spills": numbers(spills),
                **{name: number(value) for name, value in values.items()},
            },
            regions=[Region(body)],
        )

    def verify_(self) -> None:
        _positive(active=self.active, quads=self.quads, levels=self.levels)


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """The schedule of `main` on a target: stages in order, bytes of the banks for data."""

    name = "epiphany.program"
    target = prop_def(StringAttr)
    cores = prop_def(Int)
    banks = prop_def(Ints)
    size = prop_def(Int)
    body = region_def("single_block")

    traits = traits_def(NoTerminator())
    assembly_format = "$target `cores` $cores `banks` $banks `size` $size $body attr-dict"

    def __init__(
        self, target: str, cores: int, banks: Sequence[int], size: int, body: Block
    ) -> None:
        super().__init__(
            properties={
                "target": StringAttr(target),
                "cores": number(cores),
                "banks": numbers(banks),
                "size": number(size),
            },
            regions=[Region(body)],
        )

    def verify_(self) -> None:
        if len(listed(self.banks)) != len(BANKS):
            raise VerifyException("the banks 1, 2 and 3 have a size")
        for stage in self.body.block.ops:
            if not isinstance(stage, StageOp):
                raise VerifyException(f"a program holds stages, not '{stage.name}'")
