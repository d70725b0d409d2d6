"""What the lowerings of recurrent layers share: input streams, loops, recurrent products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Block, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import RecurrentOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import element_of, int_tensor, shape_of
from mohaq.passes.lowering.builder import Builder, Floats, Rows

BITS = 16


@dataclass(frozen=True)
class Surroundings:
    """What a recurrent layer is lowered with.

    x: its input, held in `stored_input`; init: integer initial states [D, B, H] by slot; grids:
    of its slots.
    """

    x: SSAValue
    stored_input: GridAttr
    init: Mapping[str, SSAValue]
    grids: Mapping[str, GridAttr]
    build: Builder

    def start(self, slot: str, d: int) -> SSAValue | None:
        """Initial state [B, H] of a direction, None for zero."""
        if slot not in self.init:
            return None
        return self.build.add(qnn.SelectOp(self.init[slot], d))

    def read(self) -> SSAValue:
        """The input in the grid of its slot."""
        return self.build.convert(self.x, self.stored_input, self.grids["input"])

    def rows(self, value: SSAValue, slot: str, shape: Sequence[int] | None = None) -> Rows:
        """Data of a weight with the steps of its rows; `shape` [..., K] if not its own."""
        return self.build.rows(symbol(value), self.grids[slot], shape)

    def floats(self, value: SSAValue) -> Floats:
        """Data of a parameter."""
        return np.asarray(self.build.floats[symbol(value)], dtype=np.float32)


def symbol(value: SSAValue) -> str:
    """Name of a parameter."""
    if not isinstance(value.owner, LoadOp):
        raise MohaqError("weights must be parameters of the program")
    return value.owner.symbol


def input_streams(
    op: RecurrentOp,
    around: Surroundings,
    weight: Rows,
    name: str,
    bias: Floats | None,
    targets: Sequence[Sequence[GridAttr]],
    *,
    read: SSAValue | None = None,
    title: str = "bias",
) -> list[list[SSAValue]]:
    """One product for all directions and gates, rounded to the grid of each gate.

    Args:
        op: the layer.
        around: input, grids and builder.
        weight: [D, G, H, K].
        name: of the weight.
        bias: [D, G, H].
        targets: grid of each direction's gates.
        read: what the product reads, in the grid of the input slot (default: the input).
        title: of the bias.

    Returns:
        16-bit sequences [T, B, H] by direction and gate.
    """
    build, grids = around.build, around.grids
    count, gates, hidden, _ = weight.values.shape
    given = around.read() if read is None else read
    sums = build.product(given, grids["input"], name, weight, grids["weight"])
    flat = None if bias is None else bias.reshape(-1)
    sums = build.biased(sums, f"{op.label}.{title}", flat)
    u = build.rescale(sums.value, sums.steps, [grid for one in targets for grid in one])
    return [
        [build.add(qnn.SliceOp(u, (d * gates + g) * hidden, hidden)) for g in range(gates)]
        for d in range(count)
    ]


class Loop:
    """The scan of one direction under construction.

    Args:
        build: builder around the loop.
        streams: sequences [T, B, F].
        states: (channels, bits) of each carried state.
    """

    def __init__(
        self, build: Builder, streams: Sequence[SSAValue], states: Sequence[tuple[int, int]]
    ) -> None:
        self._streams = list(streams)
        self._lead = list(shape_of(self._streams[0])[:2])
        batch = self._lead[1]
        self._states = [int_tensor([batch, size], bits) for size, bits in states]
        block = Block(
            arg_types=[
                *(TensorType(element_of(s), list(shape_of(s)[1:])) for s in self._streams),
                *self._states,
            ]
        )
        self._block, self._build = block, build
        self.body = Builder(
            build.module,
            block,
            build.floats,
            build.integers,
            build.tables,
            build.form,
            outer=build,
        )
        self.steps = list(block.args[: len(self._streams)])
        self.states = list(block.args[len(self._streams) :])

    def close(
        self,
        init: Sequence[SSAValue | None],
        output: SSAValue,
        states: Sequence[SSAValue],
        *,
        reverse: bool,
    ) -> list[SSAValue]:
        """End the body; gives the output sequence and the final states.

        Raises:
            MohaqError: some initial states are given and some are not.
        """
        given = [value for value in init if value is not None]
        if given and len(given) != len(init):
            raise MohaqError("either all initial states of a layer are given or none")
        self._block.add_op(qnn.YieldOp([output, *states]))
        kind = TensorType(element_of(output), [*self._lead, *shape_of(output)[1:]])
        scan = qnn.ScanOp(
            self._streams,
            given,
            self._block,
            [kind, *self._states],
            "reverse" if reverse else "forward",
        )
        self._build.add(scan)
        return list(scan.results)


def joined(build: Builder, outputs: Sequence[SSAValue]) -> SSAValue:
    """Directions side by side."""
    return outputs[0] if len(outputs) == 1 else build.add(qnn.ConcatOp(outputs))


def stacked(build: Builder, wanted: SSAValue, finals: Sequence[SSAValue]) -> SSAValue:
    """Final states [D, B, H] when the program uses them."""
    return build.add(qnn.StackOp(finals)) if list(wanted.uses) else finals[0]


@dataclass(frozen=True)
class RecurrentProduct:
    """Products of h' with the recurrent weights of one direction.

    held: grid of h'; hidden: grid that the product reads it in.
    """

    held: GridAttr
    hidden: GridAttr
    weight: GridAttr

    def read(self, body: Builder, h: SSAValue) -> SSAValue:
        """h' as the product reads it."""
        return body.convert(h, self.held, self.hidden)

    def gates(
        self,
        body: Builder,
        read: SSAValue,
        name: str,
        weight: Rows,
        targets: Sequence[GridAttr],
        bias: tuple[str, Floats] | None = None,
    ) -> list[SSAValue]:
        """R h' of all gates at once, 16 bits each.

        Args:
            body: builder of the loop's body.
            read: h' from `read`.
            name: of the weight.
            weight: [G, H, P].
            targets: grid of each gate.
            bias: name and values [G, H] of a bias inside the loop.
        """
        gates, hidden, _ = weight.values.shape
        sums = body.product(read, self.hidden, name, weight, self.weight)
        if bias is not None:
            sums = body.biased(sums, bias[0], bias[1].reshape(-1))
        r = body.rescale(sums.value, sums.steps, targets)
        if gates == 1:
            return [r]
        return [body.add(qnn.SliceOp(r, g * hidden, hidden)) for g in range(gates)]
