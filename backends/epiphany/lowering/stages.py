"""Cuts a legalized program into stages and writes what a core does as scalars."""

from __future__ import annotations

from xdsl.ir import BlockArgument, Operation, SSAValue

from mohaq.backends.epiphany.lowering.nodes import (
    Exchange,
    Fetch,
    Node,
    Operand,
    Output,
    Piece,
    Plane,
    Product,
    Stage,
    State,
)
from mohaq.backends.epiphany.lowering.split import Split
from mohaq.backends.epiphany.lowering.staged import Staged, layer_name, qnn_tables
from mohaq.backends.epiphany.lowering.stored import Stored, edges
from mohaq.backends.epiphany.lowering.units import Units
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_width, shape_of
from mohaq.compiler.program import Program


def build(program: Program, cores: int) -> Staged:
    """Stages of a legalized program on so many cores.

    Raises:
        MohaqError: something that the generated code cannot express.
    """
    return _Builder(program, cores).run()


class _Builder:
    def __init__(self, program: Program, cores: int) -> None:
        self.program = program
        self.cores = cores
        self.stored = Stored(program)
        self._planes: list[Plane] = []
        self.home: dict[SSAValue, tuple[Plane, int]] = {}
        """Stored value -> plane and first group."""
        self._joined: dict[SSAValue, Plane] = {}
        self.goals: dict[SSAValue, list[tuple[Plane, int]]] = {}

    def run(self) -> Staged:
        entry = self.program.entry
        arguments = tuple(entry.args)
        inputs = [self._argument(number, arg) for number, arg in enumerate(arguments)]
        results = self.stored.results()
        outputs = [self._result(number, value) for number, value in enumerate(results)]
        for op in entry.body.block.ops:
            if isinstance(op, qnn.MatmulOp):
                for value, _ in self.stored.pieces(op.input):
                    self._place(value)
        stages: list[Stage] = []
        previous = "program"
        for op in entry.body.block.ops:
            previous = layer_name(op) or previous
            if isinstance(op, qnn.ScanOp):
                stages.append(_StageBuilder(self, previous, len(stages)).scan(op))
            elif op.results and op.results[0] in self.goals:
                stages.append(_StageBuilder(self, previous, len(stages)).values(op.results[0]))
        for number, value in enumerate(results):
            if isinstance(value, BlockArgument):
                stages.append(_StageBuilder(self, f"result{number}", len(stages)).values(value))
        for number, plane in enumerate(self._planes):
            plane.number = number
        return Staged(
            stages,
            self._planes,
            inputs,
            outputs,
            arguments,
            results,
            qnn_tables(self.program),
        )

    def _argument(self, number: int, value: SSAValue) -> Plane:
        shape = shape_of(value)
        depth = shape[0] if len(shape) == 3 and shape[0] > 0 else 1
        sequence = not (len(shape) == 3 and shape[0] > 0)
        plane = self._plane(f"input {number}", shape[-1], depth, sequence=sequence, batched=True)
        self.home[value] = (plane, 0)
        return plane

    def _result(self, number: int, value: SSAValue) -> Plane:
        parts = self.stored.parts(value)
        sizes = {shape_of(p)[-1] for p in parts}
        if len(sizes) > 1:
            raise MohaqError(
                "Epiphany writes results whose parts have one size", why=f"sizes {sorted(sizes)}"
            )
        state = shape_of(parts[0])[:1] != shape_of(value)[:1] or len(shape_of(parts[0])) == 2
        owner = parts[0].owner
        state = state and isinstance(owner, qnn.ScanOp) and _is_state(owner, parts[0])
        plane = self._plane(
            f"output {number}", sizes.pop(), len(parts), sequence=not state, batched=True
        )
        for group, part in enumerate(parts):
            self.goals.setdefault(part, []).append((plane, group))
        return plane

    def _place(self, value: SSAValue) -> None:
        """A plane for a stored value that a product reads."""
        if value in self.home or value in self._joined:
            return
        parts = self.stored.parts(value)
        if any(p in self.home and p.owner is self.program.entry.body.block for p in parts):
            if len(parts) > 1:
                raise MohaqError("Epiphany does not join arguments with computed values")
            return
        sizes = {shape_of(p)[-1] for p in parts}
        if len(sizes) > 1:
            raise MohaqError("Epiphany joins sequences of one size", why=f"sizes {sorted(sizes)}")
        name = layer_name(parts[0].owner) if isinstance(parts[0].owner, Operation) else None
        plane = self._plane(
            name or "sequence", sizes.pop(), len(parts), sequence=True, batched=False
        )
        for group, part in enumerate(parts):
            self.goals.setdefault(part, []).append((plane, group))
            self.home.setdefault(part, (plane, group))
        self._joined[value] = plane

    def _plane(self, name: str, units: int, groups: int, *, sequence: bool, batched: bool) -> Plane:
        plane = Plane(name, Split.over(self.cores, units, groups), sequence, batched)
        self._planes.append(plane)
        return plane

    def plane_of(self, value: SSAValue) -> Plane:
        """The plane that holds all of a stored value."""
        if value in self._joined:
            return self._joined[value]
        if value not in self.home:
            self._place(value)
        plane, group = self.home[value]
        if plane.split.groups * plane.split.units != shape_of(value)[-1] or group:
            raise MohaqError("a part of a joined sequence is read by a product on its own")
        return plane


def _is_state(op: qnn.ScanOp, value: SSAValue) -> bool:
    return value in op.outs[op.output_count :]


class _StageBuilder:
    """One stage."""

    def __init__(self, owner: _Builder, layer: str, number: int) -> None:
        self._owner = owner
        self._cores = owner.cores
        self._units = Units()
        self._memo: dict[tuple[SSAValue, int], Node] = {}
        self._products: dict[SSAValue, Product] = {}
        self._operands: dict[SSAValue, Operand] = {}
        self._exchanges: dict[SSAValue, Exchange] = {}
        self._states: dict[SSAValue, int] = {}
        self._given: dict[SSAValue, SSAValue] = {}
        self._own: set[SSAValue] = set()
        self.stage = Stage(layer, layer, reverse=False)
        del number

    def values(self, value: SSAValue) -> Stage:
        """A stage that computes one value of many steps."""
        self._own = {value}
        self._units.walk(value, self._leaf)
        self._units.settle()
        self._output(value, value)
        return self.stage

    def scan(self, op: qnn.ScanOp) -> Stage:
        """A stage that walks over the steps of a loop."""
        stage, body = self.stage, op.body.block
        stage.reverse = op.direction.data == "reverse"
        count = len(op.inputs)
        end = body.last_op
        assert isinstance(end, qnn.YieldOp)
        for arg, given in zip(body.args, op.inputs, strict=False):
            self._given[arg] = given
            self._units.join(arg, given)
            self._units.walk(given, self._leaf)
        following = end.values[op.output_count :]
        for number, arg in enumerate(body.args[count:]):
            self._states[arg] = number
            self._units.join(arg, following[number])
        for inner in body.walk():
            if isinstance(inner, qnn.MatmulOp):
                self._units.walk(inner.input, self._leaf)
        for value in end.values:
            self._units.walk(value, self._leaf)
        self._units.settle()
        for number, arg in enumerate(body.args[count:]):
            split = self._split(arg)
            start = self._start(op.init[number]) if op.init else None
            final = op.outs[op.output_count + number]
            ends = tuple(self._owner.goals.get(final, ()))
            for plane, _ in ends:
                _require_whole(plane, split)
            stage.states.append(State(arg, split, start, (), ends))
        for number, state in enumerate(stage.states):
            state.following = self._all(following[number])
        for number in range(op.output_count):
            self._output(end.values[number], op.outs[number])
        return stage

    def _leaf(self, value: SSAValue) -> bool:
        owner = self._owner
        if value in self._own:
            return False
        return owner.stored.is_stored(value) or value in owner.home

    def _start(self, value: SSAValue) -> tuple[Plane, int]:
        group = 0
        if isinstance(value.owner, qnn.SelectOp):
            group = value.owner.index.value.data
            value = value.owner.input
        found = self._owner.home.get(value)
        if found is None or found[0].sequence:
            raise MohaqError("the start of a state must be an argument of the program")
        return found[0], group

    def _split(self, value: SSAValue) -> Split:
        units = self._units[value]
        return Split.over(self._cores, units, shape_of(value)[-1] // units)

    def _all(self, value: SSAValue) -> tuple[Node, ...]:
        return tuple(self._scalar(value, g) for g in range(self._split(value).groups))

    def _output(self, value: SSAValue, result: SSAValue) -> None:
        goals = tuple(self._owner.goals.get(result, ()))
        if not goals:
            return
        nodes, split = self._all(value), self._split(value)
        for plane, _ in goals:
            _require_whole(plane, split)
        self.stage.outputs.append(Output(nodes, split, goals))

    def _scalar(self, value: SSAValue, group: int) -> Node:
        if value in self._given:
            return self._scalar(self._given[value], group)
        key = (value, group)
        if key not in self._memo:
            node = self._made(value, group)
            node.units = self._units[value]
            self._memo[key] = node
            if node not in self.stage.nodes:
                self.stage.nodes.append(node)
        return self._memo[key]

    def _made(self, value: SSAValue, group: int) -> Node:
        if value in self._states:
            return Node("state", value, group, facts={"state": self._states[value]})
        if self._leaf(value):
            return self._fetched(value, group)
        op = value.owner
        if isinstance(op, LoadOp):
            split = self._split(value)
            self.stage.params.setdefault((op.symbol, group), (split, int_width(value)[0]))
            return Node("param", value, group, facts={"name": op.symbol})
        if isinstance(op, qnn.MatmulOp):
            return self._sum(op, group)
        match op:
            case qnn.SliceOp():
                return self._scalar(op.input, group + op.offset.value.data // self._units[value])
            case qnn.ConcatOp():
                for part in op.parts:
                    count = shape_of(part)[-1] // self._units[value]
                    if group < count:
                        return self._scalar(part, group)
                    group -= count
        if not isinstance(op, Operation):
            raise MohaqError(f"Epiphany cannot read a value of type {value.type} here")
        args = tuple(
            self._scalar(v, min(group, shape_of(v)[-1] // self._units[v] - 1)) for v in op.operands
        )
        facts = self._facts(op, value, group)
        return Node(
            op.name.removeprefix("qnn."), value, group, args, max(a.level for a in args), 0, facts
        )

    def _facts(self, op: Operation, value: SSAValue, group: int) -> dict[str, object]:
        match op:
            case qnn.RequantizeOp():
                run = shape_of(value)[-1] // len(op.scales())
                if run % self._units[value]:
                    raise MohaqError("a rescale changes its multiplier within the units of a core")
                m, s = op.scales()[group * self._units[value] // run]
                return {"m": m, "s": s, "edges": edges(value)}
            case qnn.SaturateOp():
                return {"edges": edges(value)}
            case qnn.ShrOp():
                run = shape_of(value)[-1] // len(op.amounts())
                if run % self._units[value]:
                    raise MohaqError("a shift changes its amount within the units of a core")
                s = op.amounts()[group * self._units[value] // run]
                return {"s": s, "edges": edges(value)}
            case qnn.BiasOp():
                return {"a": op.acc_shift.value.data, "b": op.bias_shift.value.data}
            case qnn.ShlOp():
                return {"s": op.amount.value.data}
            case qnn.RsubOp():
                return {"k": op.constant.value.data}
            case qnn.LookupOp():
                return {"table": op.table.root_reference.data}
            case qnn.SplitOp():
                return {"high": value is op.high}
            case qnn.AddOp() | qnn.MulOp():
                return {}
            case _:
                raise MohaqError(f"Epiphany does not run '{op.name}'")

    def _fetched(self, value: SSAValue, group: int) -> Node:
        plane = self._owner.plane_of(value)
        split = Split.over(self._cores, self._units[value], 1)
        for number, found in enumerate(self.stage.fetches):
            if (found.plane, found.group, found.split) == (plane, group, split):
                return Node("fetch", value, group, facts={"fetch": number})
        self.stage.fetches.append(Fetch(plane, group, split))
        return Node("fetch", value, group, facts={"fetch": len(self.stage.fetches) - 1})

    def _sum(self, op: qnn.MatmulOp, group: int) -> Node:
        if op.result not in self._products:
            assert isinstance(op.weight.owner, LoadOp)
            source: Operand | Exchange
            if isinstance(op.parent_op(), qnn.ScanOp):
                source = self._exchange(op.input)
            else:
                source = self._operand(op.input)
            product = Product(
                op.weight.owner.symbol,
                self._split(op.result),
                source,
                int_width(op.weight)[0],
                op.acc.width.data > 32,
            )
            self._products[op.result] = product
            self.stage.products.append(product)
        product = self._products[op.result]
        level = product.source.level + 1 if isinstance(product.source, Exchange) else 0
        facts = {"product": product, "position": product.position(group)}
        return Node("sum", op.result, group, (), level, 0, facts)

    def _operand(self, value: SSAValue) -> Operand:
        if value not in self._operands:
            owner = self._owner
            pieces = tuple(
                Piece(owner.plane_of(v), chain) for v, chain in owner.stored.pieces(value)
            )
            made = Operand(value, pieces, int_width(value)[0] + (not int_width(value)[1]))
            self._operands[value] = made
            self.stage.operands.append(made)
        return self._operands[value]

    def _exchange(self, value: SSAValue) -> Exchange:
        if value not in self._exchanges:
            nodes = self._all(value)
            bits = int_width(value)[0] + (not int_width(value)[1])
            level = max(n.level for n in nodes)
            made = Exchange(value, nodes, self._split(value), level, bits)
            self._exchanges[value] = made
            self.stage.exchanges.append(made)
        return self._exchanges[value]


def _require_whole(plane: Plane, split: Split) -> None:
    """A value fills whole groups of its plane.

    Raises:
        MohaqError: its units are not those of the plane.
    """
    if plane.split.units != split.units or split.groups != 1:
        raise MohaqError(
            "a stored sequence must have one run of units",
            why=f"{split.groups} runs of {split.units} for places of {plane.split.units}",
        )
