"""C of one time step of a stage, written so that stages of one structure share it.

Places in local memory and numbers that differ between layers are read through the stage: the
text of a cell holds neither, so equal texts are one function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mohaq.backends.epiphany.emit.names import Unit, vector_name
from mohaq.backends.epiphany.emit.scalars import INT, Writer, c_type
from mohaq.backends.epiphany.lowering.nodes import FIRST_HAND, Exchange, Node, Product
from mohaq.backends.epiphany.plan.shapes import split_of, vector_bytes
from mohaq.compiler.diagnostics import MohaqError

KINDS = {"sum": "rescale", "lookup": "lookup"}


class CellWriter:
    """The function of a step; `q` is the quad in the block, `s` the step in the quad.

    Attributes:
        places: (bank, field) that it works with, in order.
        numbers: (value, meaning), in order.
        text: lines of the body.
    """

    def __init__(self, unit: Unit, number: int) -> None:
        self.unit, self.number = unit, number
        self.stage = unit.staged.stages[number]
        self.plan = unit.plan.stages[number]
        self.places: list[tuple[str, str]] = []
        self.numbers: list[tuple[int, str]] = []
        self._declared: list[str] = []
        self._pointers: dict[str, str] = {}
        self._shared: dict[str, str] = {}
        self._about = ""
        self.names = {n: f"{_title(n)}{i}" for i, n in enumerate(self.stage.nodes)}
        self.spills = {n: i for i, n in enumerate(self.stage.spills())}
        if any(unit.bits(node) > INT for node in self.spills):
            raise MohaqError(
                "a value of more than 32 bits lives between the loops of a step",
                where=f"layer '{self.stage.layer}'",
            )
        self.writer = Writer(unit.bits, unit.tables(), self._number)
        body = list(self._lines())
        self.text = [*self._declared, *body]

    def _number(self, value: int) -> str:
        self.numbers.append((value, self._about))
        return f"k[{len(self.numbers) - 1}]"

    def _count(self, title: str, value: int) -> str:
        """A count that several expressions read."""
        if title not in self._shared:
            self.numbers.append((value, title.replace("_", " ")))
            self._shared[title] = title
            place = len(self.numbers) - 1
            self._declared.append(f"const uint32_t {title} = (uint32_t)k[{place}];")
        return title

    def _pointer(self, field: str, kind: str, within: str = "") -> str:
        """A local array."""
        name = within.split("_", maxsplit=1)[0] if within else field
        if name not in self._pointers:
            bank = self.unit.bank_of(self.number, field)
            path = f"at.{self.unit.stage_name(self.number)}.{field}"
            self.places.append((str(bank), f"{path}.{within}" if within else path))
            self._pointers[name] = name
            place = len(self.places) - 1
            self._declared.append(f"{kind} *const {name} = mohaq_local(at[{place}]);")
        return name

    def _units(self, units: int) -> str:
        number = self.stage.classes.index(units)
        return self._count(f"units{number}", split_of(self.stage, units).per_core)

    def _active(self, units: int) -> str:
        number = self.stage.classes.index(units)
        return self._count(f"active{number}", split_of(self.stage, units).active)

    def _lines(self) -> Iterator[str]:
        for number in range(len(self.stage.exchanges)):
            yield f"int32_t *const mine{number} = mohaq_mine(stage, {number}u, core, parity);"
        for level in range(self.stage.levels):
            for units in self.stage.classes:
                yield from self._loop(level, units)
            yield from self._exchanged(level)
        if self.stage.buffered:
            yield from self._new_states()

    def _loop(self, level: int, units: int) -> Iterator[str]:
        body, counts = self._body(level, units)
        if not body:
            return
        each = self._units(units)
        yield f"if (core < {self._active(units)}) {{"
        yield f"    for (uint32_t j = 0; j < {each}; j++) {{"
        yield from (f"        {line}" for line in body)
        yield "    }"
        for kind, count in sorted(counts.items()):
            yield f"    MOHAQ_COUNT_ELEMENTS(MOHAQ_{kind.upper()}, {count}u * {each});"
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
        lines = []
        for node in sorted(needed, key=lambda n: order[n]):
            self._about = self.names[node]
            kind, value = c_type(self.unit.bits(node)), self._value(node, level)
            lines.append(f"const {kind} {self.names[node]} = {value};")
        lines += [line for _, line in goals]
        return lines, self._counted(level, units)

    def _counted(self, level: int, units: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        for node in self.stage.nodes:
            if node.level == level and node.units == units and node.kind in KINDS:
                counts[KINDS[node.kind]] += 1
        if level == 0:
            counts["convert"] += sum(f.split.units == units for f in self.stage.fetches)
        for exchange in self.stage.exchanges:
            if exchange.level == level and exchange.split.units == units:
                counts["store"] += len(exchange.nodes)
        for output in self.stage.outputs:
            counts["store"] += sum(n.level == level and n.units == units for n in output.nodes)
        for state in self.stage.states:
            counts["state"] += sum(n.level == level and n.units == units for n in state.following)
        return Counter({kind: count for kind, count in counts.items() if count})

    def _value(self, node: Node, level: int) -> str:
        if node.kind in FIRST_HAND:
            return self._read(node)
        if node.level < level:
            return f"{self._pointer(f'held{self.spills[node]}', 'int32_t')}[j]"
        return self.writer.expression(node, [self.names[a] for a in node.args])

    def _at(self, node: Node, group: int) -> str:
        """Place of a unit within runs of them."""
        return f"{group}u * {self._units(node.units)} + j" if group else "j"

    def _read(self, node: Node) -> str:
        match node.kind:
            case "state":
                name = self._pointer(f"state{node.facts['state']}", "int32_t")
                return f"{name}[{self._at(node, node.group)}]"
            case "param":
                _, bits = self.stage.params[node.facts["name"], node.group]
                within = vector_name(self.stage, node.facts["name"], node.group)
                kind = f"const int{8 * vector_bytes(bits)}_t"
                return f"{self._pointer('vectors', kind, within)}[j]"
            case "fetch":
                name = self._pointer(f"own{node.facts['fetch']}", "int16_t")
                return f"{name}[(q * {self._units(node.units)} + j) * 4u + s]"
            case _:
                return self._sum(node)

    def _sum(self, node: Node) -> str:
        product: Product = node.facts["product"]
        number = self.stage.products.index(product)
        shape = self.plan.products[number].shape
        row = self._at(node, node.facts["position"])
        quads = self._count("quads", self.plan.quads) if shape.batched else ""
        place = f"mohaq_at4({row}, q, s, {quads})" if shape.batched else row
        if shape.wide:
            text = f"{self._pointer(f'wide{number}', 'const int64_t')}[{place}]"
            return f"(int32_t){text}" if self.unit.bits(node) <= 32 else text
        spare = self._count(f"spare{number}", shape.spare)
        if shape.batched:
            spare = f"mohaq_at4({spare}, q, s, {quads})"
        name = self._pointer(f"sums{number}", "const uint32_t")
        return f"(int32_t)({name}[{place}] - {name}[{spare}])"

    def _goals(self, level: int, units: int) -> Iterator[tuple[Node, str]]:
        """(node, statement that uses it) of a loop, states last."""
        for node, number in self.spills.items():
            if node.level == level and node.units == units:
                held = self._pointer(f"held{number}", "int32_t")
                yield node, f"{held}[j] = {self.names[node]};"
        for number, exchange in enumerate(self.stage.exchanges):
            if exchange.level == level and exchange.split.units == units:
                for group, node in enumerate(exchange.nodes):
                    at = f"{group}u * {self._units(units)} + j" if group else "j"
                    yield node, f"mine{number}[{at}] = {self.names[node]};"
        place = 0
        for output in self.stage.outputs:
            for _ in output.planes:
                for node in output.nodes:
                    if node.level == level and node.units == units:
                        out = self._pointer(f"out{place}", "int16_t")
                        at = f"(q * {self._units(units)} + j) * 4u + s"
                        yield node, f"{out}[{at}] = (int16_t){self.names[node]};"
                place += 1
        for number, state in enumerate(self.stage.states):
            name = f"{'next' if self.stage.buffered else 'state'}{number}"
            for group, node in enumerate(state.following):
                if node.level == level and node.units == units:
                    at = f"{group}u * {self._units(units)} + j" if group else "j"
                    yield node, f"{self._pointer(name, 'int32_t')}[{at}] = {self.names[node]};"

    def _exchanged(self, level: int) -> Iterator[str]:
        """Pushes, one barrier and the products with what has arrived."""
        here = [n for n, e in enumerate(self.stage.exchanges) if e.level == level]
        for number in here:
            yield f"mohaq_give(stage, {number}u, core, parity);"
        if not here:
            return
        yield "mohaq_barrier();"
        for number, product in enumerate(self.stage.products):
            source = product.source
            if isinstance(source, Exchange) and self.stage.exchanges.index(source) in here:
                yield f"mohaq_take(stage, {number}u, core, parity);"

    def _new_states(self) -> Iterator[str]:
        for number, state in enumerate(self.stage.states):
            target = self._pointer(f"state{number}", "int32_t")
            source = self._pointer(f"next{number}", "int32_t")
            count = self._count(f"held_by_state{number}", state.split.segment)
            yield f"for (uint32_t j = 0; j < {count}; j++)"
            yield f"    {target}[j] = {source}[j];"


def _title(node: Node) -> str:
    return {"requantize": "q", "saturate": "clamped", "lookup": "f", "rsub": "rest"}.get(
        node.kind, node.kind.replace("sum", "acc")
    )
