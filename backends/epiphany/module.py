"""Between plans and the operations of `epiphany`, both ways."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block

from mohaq.backends.epiphany.dialect.ops import (
    BANKS,
    ElementsOp,
    ExchangeOp,
    FieldOp,
    Ints,
    OperandOp,
    ProductOp,
    ProgramOp,
    StageOp,
    TransferOp,
    listed,
)
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.plan.memory import Field, Placed
from mohaq.backends.epiphany.plan.program import ProgramPlan
from mohaq.backends.epiphany.plan.shapes import (
    ExchangeShape,
    ProductShape,
    StageShape,
    TransferShape,
)
from mohaq.backends.epiphany.plan.tiles import ColumnTiles, ProductPlan, StagePlan
from mohaq.compiler.diagnostics import MohaqError

WAYS = {"start": "starts", "end": "ends", "fetch": "fetches", "output": "outputs"}


def to_program_op(plan: ProgramPlan, target: str, cores: int, size: int) -> ProgramOp:
    """A plan as operations."""
    body = Block([_stage_op(plan, number) for number in range(len(plan.stages))])
    return ProgramOp(target, cores, [plan.room[b] for b in BANKS], size, body)


def _stage_op(plan: ProgramPlan, number: int) -> StageOp:
    stage, placed = plan.stages[number], plan.places[number]
    shape, body = stage.shape, Block()
    for tiles in stage.operands:
        body.add_op(
            OperandOp([t.real for t in tiles], [t.columns for t in tiles], [t.count for t in tiles])
        )
    for place, product in enumerate(stage.products):
        one = product.shape
        body.add_op(
            ProductOp(
                one.name,
                "tile4" if one.batched else "mv8",
                [(t.real, t.columns, t.count) for t in product.tiles],
                source=one.source,
                rows=one.rows,
                bits=one.bits,
                accumulator=64 if one.wide else 32,
                active=one.active,
                at_once=product.blocks_at_once,
                resident=plan.residents.get((number, place), 0),
            )
        )
    for exchange in shape.exchanges:
        body.add_op(ExchangeOp(exchange.values, exchange.level, exchange.active))
    for way, title in WAYS.items():
        for transfer in getattr(shape, title):
            body.add_op(TransferOp(way, transfer.values, transfer.count, transfer.active))
    for kind, count, active in shape.elements:
        body.add_op(ElementsOp(kind, count, active))
    for bank, fields in placed.banks.items():
        for field in fields:
            body.add_op(FieldOp(field.name, field.kind, field.count, bank))
    return StageOp(
        shape.name,
        shape.states,
        shape.spills,
        body,
        active=shape.active,
        quads=stage.quads,
        levels=shape.levels,
        buffered=int(shape.buffered),
        constants=shape.constants,
        scalars=shape.scalars,
    )


def program_op(module: ModuleOp) -> ProgramOp:
    """The schedule of a lowered module.

    Raises:
        MohaqError: it has none, or several.
    """
    found = [op for op in module.walk() if isinstance(op, ProgramOp)]
    if len(found) != 1:
        raise MohaqError("the module holds no Epiphany program", hint="run lower-to-epiphany first")
    return found[0]


def read_plan(op: ProgramOp, machine: Machine) -> ProgramPlan:
    """The plan that operations describe.

    Raises:
        MohaqError: it is for another number of cores, or a bank overflows.
    """
    if op.cores.value.data != machine.cores:
        raise MohaqError(
            f"the program is for {op.cores.value.data} cores, the target has {machine.cores}"
        )
    room = dict(zip(BANKS, listed(op.banks), strict=True))
    stages: list[StagePlan] = []
    places: list[Placed] = []
    residents: dict[tuple[int, int], int] = {}
    for stage in op.body.block.ops:
        assert isinstance(stage, StageOp)
        made, banks = _stage(stage)
        for place, bank in enumerate(banks):
            if bank:
                residents[len(stages), place] = bank
        held: dict[int, list[Field]] = {bank: [] for bank in BANKS}
        for field in stage.body.block.ops:
            if isinstance(field, FieldOp):
                bank = field.bank.value.data
                held[bank].append(
                    Field(field.sym.data, field.kind.data, field.count.value.data, bank)
                )
        stages.append(made)
        places.append(Placed({bank: tuple(fields) for bank, fields in held.items()}))
    plan = ProgramPlan(tuple(stages), tuple(places), residents, room)
    for bank, size in room.items():
        if plan.used(bank) > size:
            raise MohaqError(f"bank {bank} has {size} bytes for data, {plan.used(bank)} are taken")
    return plan


def _stage(op: StageOp) -> tuple[StagePlan, list[int]]:
    ops = list(op.body.block.ops)
    operands = tuple(_tiles_of(o.columns, o.tile, o.count) for o in ops if isinstance(o, OperandOp))
    products, banks = [], []
    for one in ops:
        if isinstance(one, ProductOp):
            tiles = _tiles_of(one.columns, one.tile, one.count)
            shape = ProductShape(
                one.weights.data,
                one.rows.value.data,
                one.source.value.data,
                tuple(t.real for t in tiles),
                one.bits.value.data,
                one.accumulator.value.data == 64,
                one.kernel.data == "tile4",
                one.active.value.data,
            )
            banks.append(one.resident.value.data)
            products.append(ProductPlan(shape, tiles, one.at_once.value.data, banks[-1] > 0))
    moved: dict[str, tuple[TransferShape, ...]] = {
        title: tuple(
            TransferShape(t.values.value.data, t.count.value.data, t.active.value.data)
            for t in ops
            if isinstance(t, TransferOp) and t.way.data == way
        )
        for way, title in WAYS.items()
    }
    shape_ = StageShape(
        op.layer.data,
        op.active.value.data,
        tuple(tuple(t.real for t in tiles) for tiles in operands),
        tuple(p.shape for p in products),
        tuple(
            ExchangeShape(e.values.value.data, e.level.value.data, e.active.value.data)
            for e in ops
            if isinstance(e, ExchangeOp)
        ),
        op.levels.value.data,
        tuple(
            (e.kind.data, e.count.value.data, e.active.value.data)
            for e in ops
            if isinstance(e, ElementsOp)
        ),
        listed(op.states),
        moved["starts"],
        moved["ends"],
        moved["fetches"],
        moved["outputs"],
        listed(op.spills),
        bool(op.buffered.value.data),
        op.constants.value.data,
        op.scalars.value.data,
    )
    return StagePlan(shape_, op.quads.value.data, tuple(products), operands), banks


def _tiles_of(columns: Ints, tile: Ints, count: Ints) -> tuple[ColumnTiles, ...]:
    rows = zip(listed(columns), listed(tile), listed(count), strict=True)
    return tuple(ColumnTiles(real, width, tiles) for real, width, tiles in rows)
