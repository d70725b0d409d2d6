"""The flat layer table: what search, legality and cost models need to know of a program.

Taken once before a search, so that no candidate ever touches the IR (DESIGN D1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx
from xdsl.dialects.func import ReturnOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp, LinearOp, SruOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.program import Program


@dataclass(frozen=True)
class Layer:
    """One layer op, flat.

    `outputs` is the number of rows N of its matrix product (for an SRU: D * gates * H), so the
    product is [T*B, inputs] x [inputs, outputs]. `source` is the layer that computes its input
    (None: the program's input). `direct` names the one layer whose input grid the result is
    stored in; None means that the result is stored in a 16-bit grid of its own (rule in
    `storage_consumer`).
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

    @property
    def width(self) -> int:
        """Channels of the result: N for a linear layer, D * H for a recurrent one."""
        return self.directions * self.hidden if self.hidden else self.outputs

    @property
    def weights(self) -> int:
        """Elements of the searched weight matrix."""
        return self.inputs * self.outputs

    @property
    def vector_words(self) -> int:
        """16-bit words beside the matrix: biases and recurrent vectors."""
        if self.kind == "sru":
            return 4 * self.directions * self.hidden
        return self.outputs if self.bias else 0


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
        MohaqError: it holds an op that is not a layer.
    """
    rows: list[Layer] = []
    for op in program.entry.body.block.ops:
        if isinstance(op, LayerOp):
            rows.append(_row(op))
        elif op.name not in {"param.load", ReturnOp.name}:
            raise MohaqError(f"'{op.name}' is no layer; the layer table needs an nn program")
    if not rows:
        raise MohaqError("the program has no layers")
    return LayerTable(tuple(rows))


def _row(op: LayerOp) -> Layer:
    owner: Operation | object = op.operands[0].owner
    if not isinstance(op.operands[0], BlockArgument) and not isinstance(owner, LayerOp):
        raise MohaqError(f"the input of '{op.label}' comes from neither a layer nor the program")
    source = owner.label if isinstance(owner, LayerOp) else None
    consumer = storage_consumer(op.results[0])
    direct = consumer.label if consumer else None
    if isinstance(op, LinearOp):
        n, k = shape_of(op.weight)
        return Layer(
            op.label, "linear", k, n, op.SEARCHED_SLOTS, source, direct, op.bias is not None
        )
    if isinstance(op, SruOp):
        count, gates, hidden, features = shape_of(op.weight)
        return Layer(
            op.label,
            "sru",
            features,
            count * gates * hidden,
            op.SEARCHED_SLOTS,
            source,
            direct,
            bias=True,
            hidden=hidden,
            directions=count,
            gates=gates,
            skip=op.skip.data,
        )
    raise MohaqError(f"layer '{op.label}' ({op.name}) has no row in the layer table yet")
