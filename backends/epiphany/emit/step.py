"""C of one time step: loops over a core's units, between exchanges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mohaq.backends.epiphany.emit.names import Unit, vector_name
from mohaq.backends.epiphany.emit.scalars import Writer, c_type
from mohaq.backends.epiphany.lowering.nodes import (
    FIRST_HAND,
    Exchange,
    Node,
    Product,
)
from mohaq.backends.epiphany.plan.shapes import per_core, split_of
from mohaq.compiler.files import safe_name


class StepWriter:
    """Writes the function of a step; `q` is the quad in the block, `s` the step in the quad."""

    def __init__(self, unit: Unit, number: int) -> None:
        self.unit, self.number = unit, number
        self.stage = unit.staged.stages[number]
        self.plan = unit.plan.stages[number]
        self.writer = Writer(unit.bits, unit.tables())
        self.names = {n: f"{_title(n)}{i}" for i, n in enumerate(self.stage.nodes)}
        self.spills = {n: i for i, n in enumerate(self.stage.spills())}

    def lines(self) -> Iterator[str]:
        """The body of the function."""
        for number, exchange in enumerate(self.stage.exchanges):
            split, columns = exchange.split, self.columns(number)
            yield (
                f"int32_t *const all{number} = {self._field(f'gathered{number}')} "
                f"+ parity * {columns}u;"
            )
            yield f"int32_t *const mine{number} = all{number} + core * {split.segment}u;"
        for level in range(self.stage.levels):
            for units in self.stage.classes:
                yield from self._loop(level, units)
            yield from self._exchanged(level)
        if self.stage.buffered:
            yield from self._new_states()

    def columns(self, exchange: int) -> int:
        """Columns of an exchange, padded for the products that read it."""
        for product in self.plan.products:
            if not product.shape.batched and product.shape.source == exchange:
                return sum(t.columns * t.count for t in product.tiles)
        raise AssertionError(exchange)

    def _field(self, name: str) -> str:
        return self.unit.field(self.number, name)

    def _loop(self, level: int, units: int) -> Iterator[str]:
        body, counts = self._body(level, units)
        if not body:
            return
        each = per_core(self.stage, units)
        yield f"if (core < {split_of(self.stage, units).active}u) {{"
        yield f"    for (uint32_t j = 0; j < {each}u; j++) {{"
        yield from (f"        {line}" for line in body)
        yield "    }"
        for kind, count in sorted(counts.items()):
            yield f"    MOHAQ_COUNT_ELEMENTS(MOHAQ_{kind.upper()}, {count * each}u);"
        yield "}"

    def _body(self, level: int, units: int) -> tuple[list[str], Counter[str]]:
        """Statements of a loop and what they count."""
        goals = list(self._goals(level, units))
        needed: dict[Node, None] = {}

        def need(node: Node) -> None:
            if node in needed:
                return
            if node.level == level and node.kind not in FIRST_HAND:
                for arg in node.args:
                    need(arg)
            needed[node] = None

        for node, _ in goals:
            need(node)
        order = {n: i for i, n in enumerate(self.stage.nodes)}
        lines: list[str] = []
        for node in sorted(needed, key=lambda n: order[n]):
            lines.append(
                f"const {c_type(self.unit.bits(node))} {self.names[node]} = {self._value(node, level)};"
            )
        lines += [line for _, line in goals]
        counts: Counter[str] = Counter()
        for node in self.stage.nodes:
            if node.level == level and node.units == units:
                kind = {"sum": "rescale", "lookup": "lookup"}.get(node.kind)
                if kind:
                    counts[kind] += 1
        if level == 0:
            counts["convert"] += sum(f.split.units == units for f in self.stage.fetches)
        for title, amount in self._written(level, units).items():
            counts[title] += amount
        return lines, Counter({k: v for k, v in counts.items() if v})

    def _value(self, node: Node, level: int) -> str:
        if node.kind in FIRST_HAND:
            return self._read(node)
        if node.level < level:
            return f"{self._field(f'held{self.spills[node]}')}[j]"
        return self.writer.expression(node, [self.names[a] for a in node.args])

    def _read(self, node: Node) -> str:
        each = per_core(self.stage, node.units)
        match node.kind:
            case "state":
                at = f"{node.group * each}u + j" if node.group else "j"
                return f"{self._field('state' + str(node.facts['state']))}[{at}]"
            case "param":
                name = vector_name(self.stage, node.facts["name"], node.group)
                return f"{self._field('vectors')}.{name}[j]"
            case "fetch":
                return (
                    f"{self._field('own' + str(node.facts['fetch']))}[(q * {each}u + j) * 4u + s]"
                )
            case _:
                return self._sum(node, each)

    def _sum(self, node: Node, each: int) -> str:
        product: Product = node.facts["product"]
        number = self.stage.products.index(product)
        shape = self.plan.products[number].shape
        row = f"{node.facts['position'] * each}u + j" if node.facts["position"] else "j"
        name = self._field(f"{'wide' if shape.wide else 'sums'}{number}")
        if shape.batched:
            place = f"mohaq_at4({row}, q, s, {self.plan.quads}u)"
            spare = f"mohaq_at4({shape.spare}u, q, s, {self.plan.quads}u)"
        else:
            place, spare = row, f"{shape.spare}u"
        if shape.wide:
            text = f"{name}[{place}]"
            return f"(int32_t){text}" if self.unit.bits(node) <= 32 else text
        return f"(int32_t)({name}[{place}] - {name}[{spare}])"

    def _written(self, level: int, units: int) -> dict[str, int]:
        """Element counts of what a loop writes."""
        found: Counter[str] = Counter()
        for exchange in self.stage.exchanges:
            if exchange.level == level and exchange.split.units == units:
                found["store"] += len(exchange.nodes)
        for output in self.stage.outputs:
            found["store"] += sum(_when(n) == level and n.units == units for n in output.nodes)
        for state in self.stage.states:
            found["state"] += sum(_when(n) == level and n.units == units for n in state.following)
        return dict(found)

    def _goals(self, level: int, units: int) -> Iterator[tuple[Node, str]]:
        """(node, statement that uses it) of a loop, states last."""
        for node, number in self.spills.items():
            if node.level == level and node.units == units:
                yield node, f"{self._field(f'held{number}')}[j] = {self.names[node]};"
        for number, exchange in enumerate(self.stage.exchanges):
            if exchange.level == level and exchange.split.units == units:
                each = exchange.split.per_core
                for group, node in enumerate(exchange.nodes):
                    at = f"{group * each}u + j" if group else "j"
                    target = f"mine{number}[{at}]"
                    yield node, f"{target} = {self.names[node]};"
        place = 0
        for output in self.stage.outputs:
            for _ in output.planes:
                for node in output.nodes:
                    if _when(node) == level and node.units == units:
                        each = output.split.per_core
                        at = f"{self._field(f'out{place}')}[(q * {each}u + j) * 4u + s]"
                        yield node, f"{at} = (int16_t){self.names[node]};"
                place += 1
        for number, state in enumerate(self.stage.states):
            name = "next" if self.stage.buffered else "state"
            for group, node in enumerate(state.following):
                if _when(node) == level and node.units == units:
                    each = state.split.per_core
                    at = f"{group * each}u + j" if group else "j"
                    yield node, f"{self._field(f'{name}{number}')}[{at}] = {self.names[node]};"

    def _exchanged(self, level: int) -> Iterator[str]:
        """Pushes, one barrier and the products with what has arrived."""
        here = [(n, e) for n, e in enumerate(self.stage.exchanges) if e.level == level]
        for number, exchange in here:
            yield from self._pushes(number, exchange)
        if not here:
            return
        yield "mohaq_barrier();"
        for number, product in enumerate(self.stage.products):
            if isinstance(product.source, Exchange) and product.source in [e for _, e in here]:
                source = self.stage.exchanges.index(product.source)
                yield f"if (core < {product.split.active}u)"
                yield f"    {self.product_name(number, 0)}(core, all{source});"

    def product_name(self, number: int, piece: int) -> str:
        """Function of a product's kernel calls."""
        weights = safe_name(self.stage.products[number].weights)
        return f"multiply_{number}_{piece}_{weights}"

    def _pushes(self, number: int, exchange: Exchange) -> Iterator[str]:
        size = 4 * exchange.split.segment
        yield f"if (core < {exchange.split.active}u)"
        yield f"    for (uint32_t to = 0; to < {self.stage.active}u; to++)"
        yield "        if (to != core)"
        yield f"            mohaq_push(to, mine{number}, mine{number}, {size}u);"

    def _new_states(self) -> Iterator[str]:
        for number, state in enumerate(self.stage.states):
            target, source = self._field(f"state{number}"), self._field(f"next{number}")
            yield f"for (uint32_t j = 0; j < {state.split.segment}u; j++)"
            yield f"    {target}[j] = {source}[j];"


def _when(node: Node) -> int:
    """The level whose loop writes a scalar: where it is computed."""
    return node.level


def _title(node: Node) -> str:
    return {"requantize": "q", "saturate": "clamped", "lookup": "f", "rsub": "rest"}.get(
        node.kind, node.kind.replace("sum", "acc")
    )
