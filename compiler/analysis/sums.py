"""Is every sum proved? Ranges against an accumulator's width, and what would make a sum fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.analysis.ranges import Interval, Ranges, layer_of, signed_bits_of
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.matmul import NEUTRAL_ACCUMULATOR
from mohaq.compiler.dialects.types import int_width
from mohaq.compiler.parameters import ParameterStore

Ints = npt.NDArray[np.int64]
BYTE = 8
WIDTHS = (8, 4, 2)


@dataclass(frozen=True)
class SumRange:
    """A sum of the program: the products of a layer, or these and their bias.

    Attributes:
        op: `qnn.matmul` or `qnn.bias`.
        layer: the layer it belongs to, or nothing.
        weights: name of the weights, or of the bias.
        low, high: what the sum can reach, partial sums in any order included.
        stated: the bound that the program gives, for products.
    """

    op: Operation
    layer: str
    weights: str
    low: int
    high: int
    stated: int | None

    @property
    def bits(self) -> int:
        """Accumulator bits that it needs."""
        return signed_bits_of(self.low, self.high)

    @property
    def bound(self) -> int:
        """Largest |sum|."""
        return max(-self.low, self.high)

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        layer = f" of layer '{self.layer}'" if self.layer else ""
        return f"{self.op.name} with '{self.weights}'{layer}"


def sums(ranges: Ranges) -> Iterator[SumRange]:
    """All sums in program order."""
    for op in ranges.operations():
        if isinstance(op, qnn.MatmulOp):
            low, high = ranges.partial[op].bounds
            yield SumRange(op, layer_of(op), _name(op.weight), low, high, op.acc.bound.data)
        elif isinstance(op, qnn.BiasOp):
            low, high = ranges[op.result].bounds
            yield SumRange(op, layer_of(op), _name(op.bias), low, high, None)


def check_sums(
    ranges: Ranges, parameters: ParameterStore, accumulator: int = NEUTRAL_ACCUMULATOR
) -> None:
    """Prove every sum.

    Args:
        ranges: of the program.
        parameters: of the program.
        accumulator: bits of the accumulator that products and their biases are summed in.

    Raises:
        MohaqError: a sum that does not fit, with its bound and what would make it fit; a sum
            that exceeds the bound in the program.
    """
    for found in sums(ranges):
        if found.stated is not None and found.bound > found.stated:
            raise MohaqError(
                f"a sum can reach {found.bound}, the program says {found.stated}",
                where=found.place,
                hint="the bound of `acc` is false: lower the model again",
            )
        if found.bits > accumulator:
            raise MohaqError(
                f"a sum needs {found.bits} bits, the accumulator has {accumulator}",
                where=found.place,
                why=f"it can reach {found.low}..{found.high}",
                hint="; ".join(remedies(found, ranges, parameters, accumulator)),
            )


def remedies(
    found: SumRange, ranges: Ranges, parameters: ParameterStore, accumulator: int
) -> list[str]:
    """What makes a sum fit, smallest first: exact means, then those that cost precision."""
    excess = found.bits - accumulator
    if not isinstance(found.op, qnn.MatmulOp):
        return [f"align the bias {excess} bits coarser, or add it after the accumulator"]
    op = found.op
    load = op.weight.owner
    if not isinstance(load, LoadOp):
        return [f"an accumulator of {found.bits} bits"]
    work = _Product(ranges[op.input], parameters[load.symbol].astype(np.int64), accumulator)
    wide_x, wide_w = (int_width(v)[0] == 2 * BYTE for v in (op.input, op.weight))
    made = list(work.splits(input_too=wide_x, weights_too=wide_w))
    if cut := work.cut():
        made.append(f"cut the sum into {cut} pieces, joined outside the accumulator")
    if shift := work.shift():
        made.append(f"shift the input right by {shift} bits")
    if narrow := work.narrower(int_width(op.weight)[0]):
        made.append(f"about {narrow} bits for the weights")
    return made or [f"an accumulator of {found.bits} bits"]


@dataclass(frozen=True)
class _Product:
    """A product whose sums are too large for `accumulator` bits."""

    x: Interval
    weights: Ints
    accumulator: int

    def _fits(self, low: Ints, high: Ints, weights: Ints) -> bool:
        least = np.minimum(low, 0).reshape(-1, weights.shape[1]).min(axis=0)
        most = np.maximum(high, 0).reshape(-1, weights.shape[1]).max(axis=0)
        up, down = np.maximum(weights, 0).T, np.minimum(weights, 0).T
        worst = int((least @ up + most @ down).min()), int((most @ up + least @ down).max())
        return signed_bits_of(*worst) <= self.accumulator

    def splits(self, *, input_too: bool, weights_too: bool) -> Iterator[str]:
        """The cheapest way to take 16-bit operands apart, if one helps."""
        whole = [(self.x.low, self.x.high)]
        zero = np.zeros_like(self.x.low)
        halves = [(self.x.low >> BYTE, self.x.high >> BYTE), (zero, zero + 255)]
        pieces = [self.weights >> BYTE, self.weights & 255]
        for possible, title, xs, ws in (
            (input_too, "the input", halves, [self.weights]),
            (weights_too, "the weights", whole, pieces),
            (input_too and weights_too, "both operands", halves, pieces),
        ):
            if possible and all(self._fits(low, high, w) for low, high in xs for w in ws):
                yield f"split {title} into high and low bytes ({len(xs) * len(ws)} passes)"
                return

    def cut(self) -> int:
        """Pieces of equal length along K, or 0 when single products are too large."""
        columns, count = int(self.weights.shape[1]), 1
        while count < columns:
            count = min(2 * count, columns)
            edges = [columns * i // count for i in range(count + 1)]
            runs = [slice(a, b) for a, b in pairwise(edges)]
            if all(
                self._fits(self.x.low[..., r], self.x.high[..., r], self.weights[:, r])
                for r in runs
            ):
                return count
        return 0

    def shift(self) -> int:
        """Smallest right shift of the input, or 0."""
        for amount in range(1, 16):
            if self._fits(self.x.low >> amount, self.x.high >> amount, self.weights):
                return amount
        return 0

    def narrower(self, bits: int) -> int:
        """Most weight bits below the present ones, with the clip kept, or 0."""
        top = (1 << (bits - 1)) - 1
        for width in (w for w in WIDTHS if w < bits):
            ratio = ((1 << (width - 1)) - 1) / top
            fewer = np.floor(self.weights * ratio + 0.5).astype(np.int64)
            if self._fits(self.x.low, self.x.high, fewer):
                return width
        return 0


def _name(value: SSAValue) -> str:
    owner = value.owner
    return owner.symbol if isinstance(owner, LoadOp) else "a computed value"
