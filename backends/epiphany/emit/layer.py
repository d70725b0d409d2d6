"""C of one stage: its constants, for mohaq_stage.c and its cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mohaq.backends.epiphany.counters import KERNELS
from mohaq.backends.epiphany.emit.cell import CellWriter
from mohaq.backends.epiphany.emit.names import Unit
from mohaq.backends.epiphany.emit.scalars import linked
from mohaq.backends.epiphany.lowering.nodes import Exchange, Operand, Plane
from mohaq.backends.epiphany.plan.shapes import CELL_BYTES, SCALAR_BYTES, constant_bytes
from mohaq.compiler.diagnostics import MohaqError

CELL = "(const struct mohaq_stage *stage, uint32_t core, uint32_t q, uint32_t s, uint32_t parity)"
CONVERT = "(int32_t *x, const int16_t *raw, uint32_t count, const int32_t *k)"


class Shared:
    """Functions that several stages use: equal texts get one name."""

    def __init__(self, title: str, arguments: str) -> None:
        self.title, self.arguments = title, arguments
        self._known: dict[tuple[str, ...], list[str]] = {}

    def name(self, body: Sequence[str], user: str) -> str:
        """The function with this body."""
        users = self._known.setdefault(tuple(body), [])
        if user not in users:
            users.append(user)
        return f"{self.title}_{list(self._known).index(tuple(body))}"

    def prototypes(self) -> list[str]:
        """Declarations."""
        return [f"void {self.title}_{n}{self.arguments};" for n in range(len(self._known))]

    def lines(self) -> Iterator[str]:
        """Definitions."""
        for number, (body, users) in enumerate(self._known.items()):
            yield ""
            yield f"/* Of {', '.join(users)}. */"
            yield f"void {self.title}_{number}{self.arguments}"
            yield "{"
            yield from (f"    {line}" for line in body)
            yield "}"


class LayerWriter:
    """Writes the file of a stage and registers what it shares."""

    def __init__(self, unit: Unit, number: int, cells: Shared, converts: Shared) -> None:
        self.unit, self.number = unit, number
        self.stage = unit.staged.stages[number]
        self.plan = unit.plan.stages[number]
        self.name = unit.stage_name(number)
        self.cell = CellWriter(unit, number)
        room = CELL_BYTES + SCALAR_BYTES * self.plan.shape.scalars
        taken = 2 * len(self.cell.places) + 4 * len(self.cell.numbers)
        if taken > room:
            raise MohaqError(
                f"the numbers of layer '{self.stage.layer}' take {taken} bytes, {room} are reserved"
            )
        used = [
            "const uint16_t *const at = stage->at;",
            "const int32_t *const k = stage->k;",
            *self.cell.text,
            *(f"(void){name};" for name in ("at", "k", "core", "q", "s", "parity")),
        ]
        self.cell_name = cells.name(used, self.name)
        self._converts = converts

    def lines(self) -> Iterator[str]:
        """All lines of the file."""
        yield from self._head()
        yield from self._operands()
        yield from self._products()
        yield from self._exchanges()
        yield from self._states()
        moves = list(self._moves())
        for title, rows in moves:
            if rows:
                yield f"\nstatic const struct mohaq_move {title}[] MOHAQ_CONST = {{"
                yield from (f"    {row}," for row in rows)
                yield "};"
        yield "\nstatic const uint16_t at[] MOHAQ_CONST = {"
        places = [f"    MOHAQ_PLACE({bank}, {path})," for bank, path in self.cell.places]
        yield from places or ["    0,"]
        yield "};"
        yield "\nstatic const int32_t k[] MOHAQ_CONST = {"
        numbers = [
            f"    {_int(v)}, /* {n}: {about} */" for n, (v, about) in enumerate(self.cell.numbers)
        ]
        yield from numbers or ["    0,"]
        yield "};"
        yield from self._stage({title: len(rows) for title, rows in moves})

    def _place(self, field: str) -> str:
        try:
            bank = self.unit.bank_of(self.number, field)
        except KeyError:
            return "0"
        return f"MOHAQ_PLACE({bank}, at.{self.name}.{field})"

    def _head(self) -> Iterator[str]:
        stage, plan = self.stage, self.plan
        order = "last step first" if stage.reverse else "first step first"
        yield f"/* Layer {comment(stage.layer)}, {order}, {4 * plan.quads} steps at once."
        yield " *"
        for number, operand in enumerate(stage.operands):
            planes = ", ".join(
                f"{comment(p.plane.name)} [{p.plane.split.groups} x {p.plane.split.units}]"
                for p in operand.pieces
            )
            yield f" * operand {number}: {planes}, {operand.bits} bits"
        for number, product in enumerate(stage.products):
            shape = plan.products[number].shape
            where = "resident" if plan.products[number].resident else "streamed"
            yield (
                f" * product {number}: {comment(product.weights)}, {shape.rows} rows a core of "
                f"{sum(shape.columns)} columns,"
            )
            yield (f" *   {shape.bits}-bit weights, {where}, {64 if shape.wide else 32}-bit sums")
        for number, state in enumerate(stage.states):
            yield f" * state {number}: {state.split.units} units, {state.split.per_core} a core"
        for output in stage.outputs:
            goals = ", ".join(f"{comment(p.name)} part {g}" for p, g in output.planes)
            yield f" * writes: {output.split.units} units to {goals}"
        yield " */"
        yield '#include "layers.h"'

    def _operands(self) -> Iterator[str]:
        for number, operand in enumerate(self.stage.operands):
            rows = []
            for piece, tiles in enumerate(self.plan.operands[number]):
                name, numbers = self._convert(operand, piece)
                if numbers:
                    values = ", ".join(_int(v) for v in numbers)
                    yield f"\nstatic const int32_t scale{number}_{piece}[] MOHAQ_CONST = {{{values}}};"
                plane = operand.pieces[piece].plane
                share = self.plan.share(tiles, self.unit.machine.cores)
                rows.append(
                    f"{{.plane = {plane.number}, .columns = {plane.split.columns}, "
                    f".tiles = {tiles.count}, .width = {tiles.columns}, "
                    f".last = {tiles.inside(tiles.count - 1)}, .share = {share},\n"
                    f"     .convert = {name}, .k = {f'scale{number}_{piece}' if numbers else '0'}}}"
                )
            yield f"\nstatic const struct mohaq_piece pieces{number}[] MOHAQ_CONST = {{"
            yield from (f"    {row}," for row in rows)
            yield "};"
        if self.stage.operands:
            yield "\nstatic const struct mohaq_operand operands[] MOHAQ_CONST = {"
            for number, operand in enumerate(self.stage.operands):
                yield f"    {{.pieces = {len(operand.pieces)}, .piece = pieces{number}}},"
            yield "};"

    def _convert(self, operand: Operand, piece: int) -> tuple[str, list[int]]:
        numbers: list[int] = []

        def number(value: int) -> str:
            numbers.append(value)
            return f"k[{len(numbers) - 1}]"

        text = linked("value", 16, operand.pieces[piece].chain, number)
        body = [
            "for (uint32_t i = 0; i < count; i++) {",
            "    const int32_t value = raw[i];",
            f"    x[i] = {text};",
            "}",
            *([] if numbers else ["(void)k;"]),
        ]
        return self._converts.name(body, self.name), numbers

    def _products(self) -> Iterator[str]:
        if not self.stage.products:
            return
        yield "\nstatic const struct mohaq_product products[] MOHAQ_CONST = {"
        for number, plan in enumerate(self.plan.products):
            shape, source = plan.shape, self.stage.products[number].source
            kernel = f"{'tile4' if shape.batched else 'mv8'}_w{shape.bits}"
            bank = self.unit.plan.residents.get((self.number, number))
            local = "0"
            if bank:
                local = f"MOHAQ_PLACE({bank}, {self.unit.resident_name(self.number, number)})"
            tiles = plan.tiles[0] if isinstance(source, Exchange) else None
            yield f"    {{.weights = {self.unit.blob.weights[self.number][number]}, .stride = {plan.bytes},"
            yield f"     .kernel = mohaq_{kernel}, .id = {KERNELS.index(kernel)}, .source = {shape.source},"
            yield f"     .active = {shape.active}, .rows = {shape.rows}, .blocks = {shape.blocks}, .at_once = {plan.blocks_at_once},"
            yield f"     .local = {local},"
            yield f"     .sums = {self._place('scratch' if shape.wide else f'sums{number}')}, .wide = {self._place(f'wide{number}')},"
            yield f"     .tiles = {tiles.count if tiles else 0}, .width = {tiles.columns if tiles else 0}}},"
        yield "};"

    def _exchanges(self) -> Iterator[str]:
        if not self.stage.exchanges:
            return
        yield "\nstatic const struct mohaq_exchange exchanges[] MOHAQ_CONST = {"
        for number, exchange in enumerate(self.stage.exchanges):
            split = exchange.split
            yield (
                f"    {{.place = {self._place(f'gathered{number}')}, .columns = {self._columns(number)}, "
                f".real = {split.columns},"
            )
            yield f"     .segment = {split.segment}, .active = {split.active}}},"
        yield "};"

    def _columns(self, exchange: int) -> int:
        for product in self.plan.products:
            if not product.shape.batched and product.shape.source == exchange:
                return sum(t.columns * t.count for t in product.tiles)
        raise AssertionError(exchange)

    def _states(self) -> Iterator[str]:
        if not self.stage.states:
            return
        yield "\nstatic const struct mohaq_held states[] MOHAQ_CONST = {"
        for number, state in enumerate(self.stage.states):
            yield f"    {{.place = {self._place(f'state{number}')}, .count = {state.split.segment}}},"
        yield "};"

    def _moves(self) -> Iterator[tuple[str, list[str]]]:
        starts, ends = [], []
        for number, state in enumerate(self.stage.states):
            place = self._place(f"state{number}")
            if state.start:
                starts.append(_move(*state.start, place))
            ends += [_move(plane, group, place) for plane, group in state.ends]
        yield "starts", starts
        yield "ends", ends
        fetches = []
        for number, fetch in enumerate(self.stage.fetches):
            table = "0" if fetch.aligned else self._place(f"vectors.columns{number}")
            if not fetch.aligned:
                bank = self.unit.bank_of(self.number, "vectors")
                table = f"MOHAQ_PLACE({bank}, at.{self.name}.vectors.columns{number})"
            own = self._place(f"own{number}")
            fetches.append(
                _move(
                    fetch.plane, fetch.group, own, fetch.split.per_core, fetch.split.active, table
                )
            )
        yield "fetches", fetches
        outputs: list[str] = []
        for output in self.stage.outputs:
            for plane, group in output.planes:
                outputs.append(_move(plane, group, self._place(f"out{len(outputs)}")))
        yield "outputs", outputs

    def _stage(self, moves: dict[str, int]) -> Iterator[str]:
        stage, plan = self.stage, self.plan
        size = constant_bytes(stage)
        yield f"\nconst struct mohaq_stage {self.name} MOHAQ_CONST = {{"
        for title, value in (
            ("phase", self.unit.phase(self.number)),
            ("active", stage.active),
            ("quads", plan.quads),
            ("reverse", int(stage.reverse)),
            ("vectors", self.unit.blob.vectors[self.number]),
            ("vector_bytes", size),
            ("vector_place", self._place("vectors")),
            ("carry", self._place("carry")),
            ("operand", self._place("operand")),
            ("share", self._place("share")),
            ("operand_words", plan.operand_bytes // 4),
            ("weights0", self._place("weights0")),
            ("weights1", self._place("weights1")),
        ):
            yield f"    .{title} = {value},"
        for title, count in (
            ("operands", len(stage.operands)),
            ("products", len(stage.products)),
            ("exchanges", len(stage.exchanges)),
            ("states", len(stage.states)),
            *moves.items(),
        ):
            yield f"    .{title} = {count},"
            yield f"    .all_{title} = {title if count else '0'},"
        yield f"    .cell = {self.cell_name},"
        yield "    .at = at,"
        yield "    .k = k,"
        yield "};"


def _move(
    plane: Plane,
    group: int,
    place: str,
    count: int | None = None,
    active: int | None = None,
    table: str = "0",
) -> str:
    split = plane.split
    return (
        f"{{.plane = {plane.number}, .columns = {split.columns}, .segment = {split.segment}, "
        f".first = {group * split.per_core},\n"
        f"     .count = {count or split.per_core}, .active = {active or split.active}, "
        f".place = {place}, .table = {table}}}"
    )


def _int(value: int) -> str:
    return "INT32_MIN" if value == -(1 << 31) else str(value)


def comment(text: str) -> str:
    """A model's name inside a comment."""
    return "".join(c if c.isalnum() or c in "._- []" else "_" for c in text)[:64]
