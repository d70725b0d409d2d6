"""C of one stage: the blocks of time steps, products over many steps, and the step function."""

from __future__ import annotations

from collections.abc import Iterator

from mohaq.backends.epiphany.emit.names import Unit
from mohaq.backends.epiphany.emit.scalars import linked
from mohaq.backends.epiphany.emit.step import StepWriter
from mohaq.backends.epiphany.lowering.nodes import Operand
from mohaq.backends.epiphany.lowering.split import STEPS
from mohaq.backends.epiphany.plan.shapes import constant_bytes
from mohaq.backends.epiphany.plan.tiles import ColumnTiles


def layer_file(unit: Unit, number: int) -> str:
    """The whole file of a stage."""
    return "\n".join(_LayerWriter(unit, number).lines()) + "\n"


class _LayerWriter:
    def __init__(self, unit: Unit, number: int) -> None:
        self.unit, self.number = unit, number
        self.stage = unit.staged.stages[number]
        self.plan = unit.plan.stages[number]
        self.name = unit.stage_name(number)
        self.step = StepWriter(unit, number)
        self.cores = unit.machine.cores
        self.phase = unit.phase(number)

    def lines(self) -> Iterator[str]:
        """All lines."""
        yield from self._head()
        for number, product in enumerate(self.plan.products):
            for piece in range(len(product.tiles)):
                yield ""
                yield from self._multiply(number, piece)
        for number, operand in enumerate(self.stage.operands):
            for piece in range(len(operand.pieces)):
                yield ""
                yield from self._gather(number, piece, operand)
        yield ""
        if self.uses_parity:
            yield "static void step(uint32_t core, uint32_t q, uint32_t s, uint32_t parity)"
        else:
            yield "static void step(uint32_t core, uint32_t q, uint32_t s)"
        yield "{"
        yield "    (void)q;"
        yield "    (void)s;"
        yield from _indented(self.step.lines())
        yield "}"
        yield ""
        yield from self._run()

    @property
    def uses_parity(self) -> bool:
        """Whether steps exchange values."""
        return bool(self.stage.exchanges)

    def _field(self, name: str) -> str:
        return self.unit.field(self.number, name)

    def _head(self) -> Iterator[str]:
        stage, plan = self.stage, self.plan
        yield f"/* Layer {_comment(stage.layer)}, {'last step first' if stage.reverse else 'first step first'}."
        yield " *"
        for number, operand in enumerate(stage.operands):
            planes = ", ".join(
                f"{_comment(p.plane.name)} [{p.plane.split.groups} x {p.plane.split.units}]"
                for p in operand.pieces
            )
            yield f" * operand {number}: {planes}, {operand.bits} bits"
        for number, product in enumerate(stage.products):
            shape = plan.products[number].shape
            where = "resident" if plan.products[number].resident else "streamed"
            yield (
                f" * product {number}: {_comment(product.weights)}, {shape.rows} rows a core of "
                f"{sum(shape.columns)} columns, {shape.bits}-bit weights, {where}, "
                f"{64 if shape.wide else 32}-bit sums"
            )
        for number, state in enumerate(stage.states):
            yield f" * state {number}: {state.split.units} units, {state.split.per_core} a core"
        for output in stage.outputs:
            goals = ", ".join(f"{_comment(p.name)} part {g}" for p, g in output.planes)
            yield f" * writes: {output.split.units} units to {goals}"
        yield " */"
        yield '#include "layers.h"'

    def _weights(self, number: int, piece: int) -> str:
        """Offset in shared memory of a core's weights of the first tile of a piece."""
        plan = self.plan.products[number]
        start = self.unit.blob.weights[self.number][number]
        start += sum(t.count * plan.tile_bytes(n) for n, t in enumerate(plan.tiles[:piece]))
        return f"MOHAQ_WEIGHTS_OFFSET + {start}u + core * {plan.bytes}u"

    def _multiply(self, number: int, piece: int) -> Iterator[str]:
        plan = self.plan.products[number]
        shape, tiles = plan.shape, plan.tiles[piece]
        name = self.step.product_name(number, piece)
        arguments = "uint32_t core, uint32_t tile, uint32_t quads, const int32_t *x"
        yield (
            f"/* {_comment(shape.name)}: {shape.rows} rows in {shape.blocks} blocks of "
            f"{shape.block}, tiles of {tiles.columns} columns; the spare row gives what the "
            "offset adds. */"
        )
        if shape.batched:
            yield f"static void {name}({arguments})"
        else:
            yield f"static void {name}(uint32_t core, const int32_t *all)"
        yield "{"
        body = self._tile(number, piece)
        if shape.batched:
            yield from _indented(body)
        else:
            place = f"{shape.blocks * shape.block}u"
            yield f"    for (uint32_t i = 0; i < {place}; i++)"
            yield f"        {self._field(f'sums{number}')}[i] = 0;"
            if shape.wide:
                yield f"    for (uint32_t i = 0; i < {place}; i++)"
                yield f"        {self._field(f'wide{number}')}[i] = 0;"
            yield f"    for (uint32_t tile = 0; tile < {tiles.count}u; tile++) {{"
            yield f"        const int32_t *const x = all + tile * {tiles.columns}u;"
            yield from _indented(body, 2)
            yield "    }"
        yield "}"

    def _tile(self, number: int, piece: int) -> Iterator[str]:
        """Kernel calls of all row blocks of a tile."""
        plan = self.plan.products[number]
        size = plan.block_bytes(piece)
        if plan.resident:
            first = sum(t.count * plan.tile_bytes(n) for n, t in enumerate(plan.tiles[:piece]))
            bank = self.unit.plan.residents[self.number, number]
            held = f"MOHAQ_LOCAL({bank})->{self.unit.resident_name(self.number, number)}"
            yield f"const uint8_t *const w = {held} + {first}u + tile * {plan.tile_bytes(piece)}u;"
            yield "(void)core;"
            yield f"for (uint32_t i = 0; i < {plan.shape.blocks}u; i++) {{"
            yield from _indented(self._calls(number, piece, "w", "i"))
            yield "}"
        else:
            chunk, last = (
                plan.blocks_at_once,
                plan.shape.blocks - (plan.chunks - 1) * plan.blocks_at_once,
            )
            first, second = self._field("weights0"), self._field("weights1")
            yield f"const uint32_t from = {self._weights(number, piece)} + tile * {plan.tile_bytes(piece)}u;"
            some = f"{chunk if plan.chunks > 1 else last}u"
            yield f"mohaq_dma_start(0, {first}, mohaq_dram(from), {some} * {size}u);"
            yield f"for (uint32_t chunk = 0; chunk < {plan.chunks}u; chunk++) {{"
            yield f"    const uint32_t blocks = chunk + 1 < {plan.chunks}u ? {chunk}u : {last}u;"
            yield f"    const uint8_t *const w = chunk & 1 ? {second} : {first};"
            yield "    mohaq_dma_wait(0);"
            yield f"    if (chunk + 1 < {plan.chunks}u)"
            yield f"        mohaq_dma_start(0, chunk & 1 ? {first} : {second},"
            yield f"                        mohaq_dram(from + (chunk + 1) * {chunk * size}u),"
            yield f"                        (chunk + 2 < {plan.chunks}u ? {chunk}u : {last}u) * {size}u);"
            yield "    for (uint32_t i = 0; i < blocks; i++) {"
            yield from _indented(self._calls(number, piece, "w", f"(chunk * {chunk}u + i)"), 2)
            yield "    }"
            yield "}"
        if plan.shape.wide:
            yield from self._flush(number)

    def _calls(self, number: int, piece: int, weights: str, block: str) -> Iterator[str]:
        plan = self.plan.products[number]
        shape, columns = plan.shape, plan.tiles[piece].columns
        size, sums = plan.block_bytes(piece), self._field(f"sums{number}")
        kind = "tile4" if shape.batched else "mv8"
        count = f"MOHAQ_COUNT_KERNEL(MOHAQ_{kind.upper()}_W{shape.bits}, {columns}u);"
        call = f"mohaq_{kind}_w{shape.bits}({weights} + i * {size}u, "
        if shape.batched:
            quads = self.plan.quads
            yield "for (uint32_t q = 0; q < quads; q++) {"
            yield (
                f"    {call}x + q * {columns * STEPS}u, "
                f"{sums} + ({block} * {quads}u + q) * 16u, {columns}u);"
            )
            yield f"    {count}"
            yield "}"
        else:
            yield f"{call}x, {sums} + {block} * 8u, {columns}u);"
            yield count

    def _flush(self, number: int) -> Iterator[str]:
        """Sums of a tile to the 64-bit sums."""
        shape, quads = self.plan.products[number].shape, self.plan.quads
        sums, wide = self._field(f"sums{number}"), self._field(f"wide{number}")
        if shape.batched:
            yield f"for (uint32_t row = 0; row < {shape.rows}u; row++)"
            yield "    for (uint32_t q = 0; q < quads; q++)"
            yield f"        for (uint32_t s = 0; s < {STEPS}u; s++)"
            place = f"mohaq_at4(row, q, s, {quads}u)"
            spare = f"mohaq_at4({shape.spare}u, q, s, {quads}u)"
            pad, count = "            ", f"{shape.rows * STEPS}u * quads"
            size = shape.blocks * quads * STEPS * STEPS
        else:
            yield f"for (uint32_t row = 0; row < {shape.rows}u; row++)"
            place, spare, pad, count = "row", f"{shape.spare}u", "    ", f"{shape.rows}u"
            size = shape.blocks * shape.block
        yield f"{pad}{wide}[{place}] += (int32_t)({sums}[{place}] - {sums}[{spare}]);"
        yield f"for (uint32_t i = 0; i < {size}u; i++)"
        yield f"    {sums}[i] = 0;"
        yield f"MOHAQ_COUNT_ELEMENTS(MOHAQ_FLUSH, {count});"

    def _gather(self, number: int, piece: int, operand: Operand) -> Iterator[str]:
        tiles = self.plan.operands[number][piece]
        share = self.plan.share(tiles, self.cores)
        plane = operand.pieces[piece].plane
        yield (
            f"/* Columns of {_comment(plane.name)} for all cores: each reads its share of a tile "
            f"({share} of {tiles.columns})\n * and pushes it to all others. */"
        )
        yield f"static void gather_{number}_{piece}(uint32_t core, uint32_t from, uint32_t tile, uint32_t quads)"
        yield "{"
        yield from _indented(self._gathering(number, piece, operand, tiles, share))
        yield "}"

    def _gathering(
        self, number: int, piece: int, operand: Operand, tiles: ColumnTiles, share: int
    ) -> Iterator[str]:
        plane, chain = operand.pieces[piece].plane, operand.pieces[piece].chain
        local, held = self._field("operand"), self._field("share")
        last = tiles.inside(tiles.count - 1)
        yield f"const uint32_t real = tile + 1 < {tiles.count}u ? {tiles.columns}u : {last}u;"
        yield f"const uint32_t first = core * {share}u;"
        yield f"const uint32_t left = first < real ? real - first : 0;"
        yield f"const uint32_t mine = left < {share}u ? left : {share}u;"
        yield "if (mine == 0)"
        yield "    return;"
        yield "for (uint32_t q = 0; q < quads; q++)"
        yield f"    mohaq_dma_start(1, {held} + q * {share * STEPS}u,"
        yield (
            f"                    mohaq_dram(from + (q * {plane.split.columns}u + "
            f"tile * {tiles.columns}u + first) * 8u), mine * 8u);"
        )
        yield "mohaq_dma_wait(1);"
        yield "for (uint32_t q = 0; q < quads; q++) {"
        yield f"    int32_t *const x = {local} + (q * {tiles.columns}u + first) * 4u;"
        yield f"    const int16_t *const raw = {held} + q * {share * STEPS}u;"
        yield "    for (uint32_t i = 0; i < mine * 4u; i++) {"
        yield "        const int32_t value = raw[i];"
        yield f"        x[i] = {linked('value', 16, chain)};"
        yield "    }"
        yield "}"
        yield "MOHAQ_COUNT_ELEMENTS(MOHAQ_CONVERT, quads * mine * 4u);"
        yield f"for (uint32_t to = 0; to < {self.stage.active}u; to++)"
        yield "    if (to != core)"
        yield "        for (uint32_t q = 0; q < quads; q++) {"
        yield f"            int32_t *const x = {local} + (q * {tiles.columns}u + first) * 4u;"
        yield "            mohaq_push(to, x, x, mine * 16u);"
        yield "        }"

    def _run(self) -> Iterator[str]:
        stage, plan = self.stage, self.plan
        yield f"void {self.name}(uint32_t frames, uint32_t batch, uint32_t b)"
        yield "{"
        yield "    const uint32_t core = mohaq_core();"
        yield "    const uint32_t all_quads = (frames + 3u) / 4u;"
        yield f"    const uint32_t blocks = (all_quads + {plan.quads - 1}u) / {plan.quads}u;"
        if self.uses_parity:
            yield "    uint32_t parity = 0;"
        yield "    (void)batch;"
        yield "    (void)b;"
        yield from _indented(self._begin())
        yield "    for (uint32_t i = 0; i < blocks; i++) {"
        order = "blocks - 1u - i" if stage.reverse else "i"
        yield f"        const uint32_t first = ({order}) * {plan.quads}u;"
        yield f"        const uint32_t quads = all_quads - first < {plan.quads}u ? all_quads - first : {plan.quads}u;"
        yield f"        const uint32_t steps = frames - first * 4u < quads * 4u ? frames - first * 4u : quads * 4u;"
        yield from _indented(self._block(), 2)
        yield "    }"
        yield from _indented(self._end())
        yield "}"

    def _begin(self) -> Iterator[str]:
        stage = self.stage
        size = constant_bytes(stage)
        if size:
            yield f"if (core < {stage.active}u) {{"
            yield f"    mohaq_dma_start(1, &{self._field('vectors')},"
            start = self.unit.blob.vectors[self.number]
            yield f"                    mohaq_dram(MOHAQ_WEIGHTS_OFFSET + {start}u + core * {size}u), {size}u);"
            yield "    mohaq_dma_wait(1);"
            yield "}"
        for number, state in enumerate(stage.states):
            name, count = self._field(f"state{number}"), state.split.segment
            if state.start:
                plane, group = state.start
                yield "mohaq_phase(0);"
                yield f"if (core < {state.split.active}u) {{"
                yield f"    mohaq_dma_start(1, {self._field('carry')}, mohaq_dram({self._own(plane, group)}), {count * 8}u);"
                yield "    mohaq_dma_wait(1);"
                yield f"    for (uint32_t j = 0; j < {count}u; j++)"
                yield f"        {name}[j] = {self._field('carry')}[4u * j];"
                yield "}"
                yield f"mohaq_phase({self.phase}u);"
            else:
                yield f"for (uint32_t j = 0; j < {count}u; j++)"
                yield f"    {name}[j] = 0;"
        if self.plan.operands:
            yield "/* Columns that only pad a tile must hold small numbers. */"
            yield f"for (uint32_t i = 0; i < {self.plan.operand_bytes // 4}u; i++)"
            yield f"    {self._field('operand')}[i] = 0;"
        for number, exchange in enumerate(stage.exchanges):
            columns = self.step.columns(number)
            if columns > exchange.split.columns:
                yield f"for (uint32_t i = {exchange.split.columns}u; i < {columns}u; i++) {{"
                yield f"    {self._field(f'gathered{number}')}[i] = 0;"
                yield f"    {self._field(f'gathered{number}')}[{columns}u + i] = 0;"
                yield "}"
        if not self.plan.operands:
            yield "mohaq_barrier();"

    def _own(self, plane: object, group: int, quad: str = "") -> str:
        """Offset of a core's own units of a plane."""
        from mohaq.backends.epiphany.lowering.nodes import Plane

        assert isinstance(plane, Plane)
        split = plane.split
        column = f"core * {split.segment}u" + (f" + {group * split.per_core}u" if group else "")
        if quad:
            column = f"({quad}) * {split.columns}u + {column}"
        return f"mohaq_plane_start({plane.number}u, frames, batch, b) + ({column}) * 8u"

    def _block(self) -> Iterator[str]:
        stage, plan = self.stage, self.plan
        for number, product in enumerate(plan.products):
            if product.shape.batched:
                shape = product.shape
                size = shape.blocks * plan.quads * STEPS * STEPS
                yield f"for (uint32_t n = 0; n < {size}u; n++)"
                yield f"    {self._field(f'sums{number}')}[n] = 0;"
                if shape.wide:
                    yield f"for (uint32_t n = 0; n < {size}u; n++)"
                    yield f"    {self._field(f'wide{number}')}[n] = 0;"
        for number, operand in enumerate(stage.operands):
            for piece, tiles in enumerate(plan.operands[number]):
                plane = operand.pieces[piece].plane
                yield f"for (uint32_t tile = 0; tile < {tiles.count}u; tile++) {{"
                yield "    mohaq_barrier();"
                yield (
                    f"    gather_{number}_{piece}(core, mohaq_plane_start({plane.number}u, frames, "
                    f"batch, b) + first * {plane.split.columns * 8}u, tile, quads);"
                )
                yield "    mohaq_barrier();"
                for p, product in enumerate(plan.products):
                    if product.shape.batched and product.shape.source == number:
                        yield f"    if (core < {product.shape.active}u)"
                        yield f"        {self.step.product_name(p, piece)}(core, tile, quads, {self._field('operand')});"
                yield "}"
        for number, fetch in enumerate(stage.fetches):
            yield from self._fetch(number, fetch)
        yield "for (uint32_t n = 0; n < steps; n++) {"
        yield f"    const uint32_t t = {'steps - 1u - n' if stage.reverse else 'n'};"
        if self.uses_parity:
            yield "    step(core, t / 4u, t % 4u, parity);"
            yield "    parity ^= 1u;"
        else:
            yield "    step(core, t / 4u, t % 4u);"
        yield "}"
        place = 0
        for output in stage.outputs:
            each = output.split.per_core
            for plane, group in output.planes:
                yield f"if (core < {output.split.active}u)"
                yield "    for (uint32_t q = 0; q < quads; q++)"
                yield f"        mohaq_dma_start(1, mohaq_dram({self._own(plane, group, 'first + q')}),"
                yield f"                        {self._field(f'out{place}')} + q * {each * STEPS}u, {each * 8}u);"
                place += 1
        if place:
            yield "mohaq_dma_wait(1);"

    def _fetch(self, number: int, fetch: object) -> Iterator[str]:
        from mohaq.backends.epiphany.lowering.nodes import Fetch

        assert isinstance(fetch, Fetch)
        each, own = fetch.split.per_core, self._field(f"own{number}")
        yield f"if (core < {fetch.split.active}u) {{"
        yield "    for (uint32_t q = 0; q < quads; q++)"
        if fetch.aligned:
            yield f"        mohaq_dma_start(1, {own} + q * {each * STEPS}u,"
            yield f"                        mohaq_dram({self._own(fetch.plane, fetch.group, 'first + q')}), {each * 8}u);"
        else:
            columns = f"{self._field('vectors')}.columns{number}[j]"
            start = f"mohaq_plane_start({fetch.plane.number}u, frames, batch, b)"
            yield f"        for (uint32_t j = 0; j < {each}u; j++)"
            yield f"            mohaq_dma_start(1, {own} + (q * {each}u + j) * 4u,"
            yield (
                f"                            mohaq_dram({start} + ((first + q) * "
                f"{fetch.plane.split.columns}u + {columns}) * 8u), 8u);"
            )
        yield "    mohaq_dma_wait(1);"
        yield "}"

    def _end(self) -> Iterator[str]:
        for number, state in enumerate(self.stage.states):
            for plane, group in state.ends:
                count = state.split.segment
                yield "mohaq_phase(0);"
                yield f"if (core < {state.split.active}u) {{"
                yield f"    for (uint32_t j = 0; j < {count}u; j++) {{"
                yield f"        {self._field('carry')}[4u * j] = (int16_t){self._field(f'state{number}')}[j];"
                for s in range(1, STEPS):
                    yield f"        {self._field('carry')}[4u * j + {s}u] = 0;"
                yield "    }"
                yield f"    mohaq_dma_start(1, mohaq_dram({self._own(plane, group)}), {self._field('carry')}, {count * 8}u);"
                yield "    mohaq_dma_wait(1);"
                yield "}"


def _indented(lines: Iterator[str], times: int = 1) -> Iterator[str]:
    return ("    " * times + line for line in lines)


def _comment(text: str) -> str:
    """A model's name inside a comment."""
    return "".join(c if c.isalnum() or c in "._- []" else "_" for c in text)[:64]
