"""The flat layer table: what search, legality and cost models need to know of a program.

Taken once before a search, so that no candidate ever touches the IR (DESIGN D1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import networkx as nx
from xdsl.dialects.func import ReturnOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from mohaq.compiler.analysis.functions import is_bounded
from mohaq.compiler.analysis.table_form import form_of
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import (
    POOLINGS,
    FunctionAttr,
    GruOp,
    LayerOp,
    LiGruOp,
    LinearOp,
    LstmOp,
    QrnnOp,
    RnnOp,
    SruOp,
)
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.program import Program

HOST_HINT = "such operations run on the host: partition the program before calibration"


@dataclass(frozen=True)
class Layer:
    """One layer op, flat.

    `outputs` is the number of rows N of its matrix product (for a recurrent layer: D * gates *
    H), so the product is [T*B, window * inputs] x [window * inputs, outputs]. `source` is the
    layer that computes its input (None: the program's input). `direct` names the one layer whose
    input grid the result is stored in; None means that the result is stored in a 16-bit grid of
    its own (rule in `storage_consumer`). `returned`: the program returns the result.

    The product inside the recurrence, of all directions together, has `recurrent_outputs` rows
    (D * gates * H) of `recurrent_inputs` values (P: the channels of h of one direction); both
    are 0 for layers without one. `fixed` are the slots that always have 16 bits and a grid;
    those of `unit` are bounded by one and held in Q0.15. `peepholes` counts the recurrent
    vectors of a direction. `functions` are the functions of a cell with their parameters,
    direction by direction; a table of one has `table_points` points. `clipped`: the sums in
    front of them are limited.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    slots: tuple[str, ...]
    source: str | None
    direct: str | None
    bias: bool
    hidden: int = 0
    directions: int = 1
    gates: int = 1
    skip: str = "none"
    window: int = 1
    recurrent_inputs: int = 0
    recurrent_outputs: int = 0
    recurrent_bias: bool = False
    reset_after: bool = True
    projected: bool = False
    peepholes: int = 0
    functions: tuple[str, ...] = ()
    table_points: int = TABLE_SIZE
    clipped: bool = False
    fixed: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    returned: bool = False

    @property
    def width(self) -> int:
        """Channels of the result: N for a linear layer, D * P for a recurrent one."""
        if not self.hidden:
            return self.outputs
        return self.directions * (self.recurrent_inputs or self.hidden)

    @property
    def held(self) -> str:
        """Slot in whose grid the result is held when no layer's input grid fixes it."""
        return "output" if "output" in self.fixed else "state"

    @property
    def weights(self) -> int:
        """Elements of the searched matrix that reads the layer's input."""
        return self.window * self.inputs * self.outputs

    @property
    def recurrent_weights(self) -> int:
        """Elements of the searched matrix that reads the previous h."""
        return self.recurrent_inputs * self.recurrent_outputs

    @property
    def projection_weights(self) -> int:
        """Elements of the 16-bit matrix that makes h of an LSTM with projection."""
        return self.directions * self.recurrent_inputs * self.hidden if self.projected else 0

    @property
    def vector_words(self) -> int:
        """16-bit words beside the searched matrices: biases, vectors, a projection."""
        units = self.directions * self.hidden
        if self.kind == "sru":
            return 4 * units
        words = self.outputs if self.bias else 0
        words += self.peepholes * units + self.projection_weights
        return words + (units if self.recurrent_bias else 0)


@dataclass(frozen=True)
class LayerTable:
    """All layers of a program in program order."""

    layers: tuple[Layer, ...]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in program order."""
        return tuple(layer.name for layer in self.layers)

    def graph(self) -> nx.DiGraph:
        """Dataflow between layers; node attribute `layer`."""
        graph = nx.DiGraph()
        for layer in self.layers:
            graph.add_node(layer.name, layer=layer)
        for layer in self.layers:
            if layer.source:
                graph.add_edge(layer.source, layer.name)
        return graph


def storage_consumer(value: SSAValue) -> LayerOp | None:
    """The layer in whose input grid a value may be stored, or None for a 16-bit grid.

    A linear layer's sums are rounded once, straight to the grid of the next matrix product,
    when that product is their only use. Everything else (program inputs, SRU outputs, values
    with several uses, results of the program) is held in 16 bits, as in MOHAQ.
    """
    producer = value.owner
    if not isinstance(producer, LinearOp):
        return None
    uses = list(value.uses)
    if len(uses) != 1:
        return None
    user = uses[0].operation
    if not isinstance(user, LayerOp) or uses[0].index != 0:
        return None
    if isinstance(user, SruOp) and user.skip.data == "identity":
        return None  # the skip path reads the 16-bit value as well
    return user


def layer_table(program: Program) -> LayerTable:
    """Flatten the entry function.

    Raises:
        MohaqError: it holds an op that is not a layer, or a layer without an integer form.
    """
    rows: list[Layer] = []
    for op in program.entry.body.block.ops:
        if isinstance(op, LayerOp):
            rows.append(_row(op))
        elif op.name not in {"param.load", ReturnOp.name}:
            raise MohaqError(
                f"'{op.name}' is no layer of a target: the layer table needs recurrent and "
                "linear layers alone",
                hint=HOST_HINT,
            )
    if not rows:
        raise MohaqError("the program has no layers")
    return LayerTable(tuple(rows))


def _row(op: LayerOp) -> Layer:
    owner: Operation | object = op.operands[0].owner
    if not isinstance(op.operands[0], BlockArgument) and not isinstance(owner, LayerOp):
        raise MohaqError(f"the input of '{op.label}' comes from neither a layer nor the program")
    source = owner.label if isinstance(owner, LayerOp) else None
    consumer = storage_consumer(op.results[0])
    row = Layer(
        name=op.label,
        kind=op.name.removeprefix("nn."),
        inputs=shape_of(op.operands[0])[-1],
        outputs=0,
        slots=op.SEARCHED_SLOTS,
        source=source,
        direct=consumer.label if consumer else None,
        bias=True,
        table_points=form_of(op).points,
        returned=any(isinstance(u.operation, ReturnOp) for u in op.results[0].uses),
    )
    match op:
        case LinearOp():
            n, _ = shape_of(op.weight)
            return replace(row, outputs=n, bias=op.bias is not None, fixed=("output",))
        case SruOp():
            count, gates, hidden, _ = shape_of(op.weight)
            return replace(
                _recurrent(row, count, gates, hidden),
                skip=op.skip.data,
                functions=("sigmoid", op.activation.data),
                fixed=("vector", "gate", "state"),
            )
        case QrnnOp():
            count, gates, hidden, window, _ = shape_of(op.weight)
            return replace(
                _recurrent(row, count, gates, hidden),
                bias=op.bias is not None,
                window=window,
                functions=("sigmoid", "tanh"),
                fixed=("gate", "state"),
                # f and fo are convex combinations of tanh values; ifo may grow.
                unit=("state",) if POOLINGS[op.pooling.data] < POOLINGS["ifo"] else (),
            )
        case LstmOp():
            return _lstm_row(row, op)
        case GruOp() | RnnOp() | LiGruOp():
            return _simple_row(row, op)
        case _:
            raise MohaqError(
                f"'{op.name}' has no integer form", where=f"layer '{op.label}'", hint=HOST_HINT
            )


def _recurrent(row: Layer, count: int, gates: int, hidden: int) -> Layer:
    return replace(
        row, outputs=count * gates * hidden, hidden=hidden, directions=count, gates=gates
    )


def _simple_row(row: Layer, op: GruOp | RnnOp | LiGruOp) -> Layer:
    """A cell whose one state is its output."""
    count, gates, hidden, _ = shape_of(op.weight)
    functions = [op.functions(d) for d in range(count)]
    return replace(
        _recurrent(row, count, gates, hidden),
        bias=op.bias is not None,
        recurrent_inputs=hidden,
        recurrent_outputs=count * gates * hidden,
        recurrent_bias=isinstance(op, GruOp) and op.recurrent_bias is not None,
        reset_after=not isinstance(op, GruOp) or op.resets_after,
        functions=tuple(_function_text(f) for one in functions for f in one),
        clipped=op.limit is not None,
        fixed=("gate", "state"),
        # A rounded convex combination of bounded candidates, or a bounded value itself.
        unit=("state",) if all(is_bounded(one[-1]) for one in functions) else (),
    )


def _lstm_row(row: Layer, op: LstmOp) -> Layer:
    count, _, hidden, _ = shape_of(op.weight)
    gates = 3 if op.is_coupled else 4  # a coupled f gate needs no product
    functions = [op.functions(d) for d in range(count)]
    extra = ("peephole",) * (op.peephole is not None)
    extra += ("projection",) * (op.projection is not None)
    bounded = all(is_bounded(one[-1]) for one in functions) and op.projection is None
    return replace(
        _recurrent(row, count, gates, hidden),
        bias=op.bias is not None,
        recurrent_inputs=op.outputs,
        recurrent_outputs=count * gates * hidden,
        projected=op.projection is not None,
        peepholes=(gates - 1) * (op.peephole is not None),
        functions=tuple(_function_text(f) for one in functions for f in one),
        clipped=op.limit is not None,
        fixed=("gate", "state", "output", *extra),
        unit=("output",) if bounded else (),
    )


def _function_text(function: FunctionAttr) -> str:
    return " ".join([function.kind, *(repr(v) for v in function.values)])
