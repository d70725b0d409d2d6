"""`equalize`: ranges of weights balanced across layers, the function staying the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.context import store
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp, UnaryOp
from mohaq.compiler.program import Program
from mohaq.passes.channel_scales import BETWEEN, Scales
from mohaq.passes.operands import give_parameter

Factors = npt.NDArray[np.float64]

ROUNDS = 40
"""Sweeps over all links at most; factors settle within a few."""

SETTLED = 1e-3
"""Largest change of a factor in a sweep after which the sweeps end."""


@dataclass
class Link:
    """A layer and all layers that read its result.

    factors [C]: what each channel of the result has been divided by so far.
    """

    producer: LayerOp
    consumers: tuple[LayerOp, ...]
    factors: Factors

    def line(self) -> str:
        """For a report."""
        readers = ", ".join(f"'{c.label}'" for c in self.consumers)
        low, high = float(self.factors.min()), float(self.factors.max())
        return (
            f"'{self.producer.label}' -> {readers}: {self.factors.size} channels, "
            f"divided by {low:.3g} to {high:.3g}"
        )


@dataclass(frozen=True)
class Untouched:
    """A layer whose channels keep their scales."""

    layer: str
    why: str

    def line(self) -> str:
        """For a report."""
        return f"'{self.layer}' stays: {self.why}"


@dataclass(frozen=True)
class Equalized:
    """What was balanced and what was not."""

    links: Sequence[Link]
    untouched: Sequence[Untouched]


def equalize(program: Program, *, limit: float = 16.0) -> Equalized:
    """Balance in place the weights of layers that follow each other.

    A factor s > 0 of a channel moves from one layer to the next where nothing between them sees
    it (Nagel, van Baalen, Blankevoort, Welling, ICCV 2019, arXiv 1906.04721, section 4.1): row n
    of the first matrix and of its bias are divided by s, column n of the following ones is
    multiplied, s = sqrt(r1/r2) with the largest magnitudes r1 and r2 of both, so both become
    sqrt(r1 r2). Sweeps go on until the factors settle.

    The first layer may be a linear one, an RNN with relu, leaky_relu or identity, a LiGRU with
    such a candidate, an LSTM with projection, an SRU without identity skip; see
    `passes/channel_scales.py`. Between may stand relu, leaky_relu, abs and identity. All readers
    must be layers that multiply what they read by a weight. Everything else keeps its scales, and
    the answer says why. Layers that change lose their calibration and grids.

    Args:
        program: `nn`, batch normalizations folded.
        limit: no channel is divided or multiplied by more; a row of almost nothing would
            otherwise make its bias enormous.

    Raises:
        MohaqError: a limit below 1.
    """
    if not limit >= 1:
        raise MohaqError(f"a limit of factors is at least 1, got {limit:g}")
    held = {op: Scales(program, op) for op in program.layers()}
    links: list[Link] = []
    untouched: list[Untouched] = []
    for op, scales in held.items():
        consumers = _readers(op.results[0])
        why = scales.outward_obstacle()
        if why is None and isinstance(consumers, str):
            why = consumers
        if why is None and not isinstance(consumers, str):
            whys = [held[one].inward_obstacle() for one in consumers]
            why = next((w for w in whys if w is not None), None)
            if why is None:
                links.append(Link(op, consumers, np.ones(scales.output_range().size)))
        if why is not None:
            untouched.append(Untouched(op.label, why))
    for _ in range(ROUNDS):
        if not max((_balance(link, held, limit) for link in links), default=0.0) > SETTLED:
            break
    changed = {one for link in links for one in (link.producer, *link.consumers)}
    for op in [op for op in program.layers() if op in changed]:
        for slot, values in held[op].changed():
            give_parameter(program, op, slot, values, f"{op.label}.{slot}.equalized")
        for key in ("calibration", "quant"):
            op.attributes.pop(key, None)
    program.prune_parameters()
    return Equalized(links, untouched)


def _readers(value: SSAValue) -> tuple[LayerOp, ...] | str:
    """The layers that read a result, through functions that let scales pass; or why not."""
    found: list[LayerOp] = []
    for use in value.uses:
        reader = use.operation
        if isinstance(reader, UnaryOp) and reader.function.kind in BETWEEN:
            behind = _readers(reader.result)
            if isinstance(behind, str):
                return behind
            found += behind
        elif isinstance(reader, UnaryOp):
            return f"{reader.function.kind} stands behind it"
        elif isinstance(reader, LayerOp) and use.index == 0:
            found.append(reader)
        elif isinstance(reader, ReturnOp):
            return "it is a result of the program"
        else:
            return f"{reader.name} reads it"
    return tuple(dict.fromkeys(found)) or "nothing reads it"


def _balance(link: Link, held: Mapping[LayerOp, Scales], limit: float) -> float:
    """Move scales over one link; gives the largest change of a factor, relative."""
    out = held[link.producer].output_range()
    into = np.max([held[one].input_range() for one in link.consumers], axis=0)
    both = (out > 0) & (into > 0)  # a channel of zeros has no range to balance
    wanted = np.sqrt(np.divide(out, into, out=np.ones_like(out), where=both))
    factors = np.clip(link.factors * wanted, 1 / limit, limit)
    step = factors / link.factors
    held[link.producer].divide_outputs(step)
    for one in link.consumers:
        held[one].multiply_inputs(step)
    link.factors = factors
    return float(np.abs(step - 1).max())


@dataclass(frozen=True)
class EqualizePass(ModulePass):
    """Balance weights across layers that follow each other; the float function stays the same.

    Channels of one layer are divided by factors, and the columns of the next multiplied, so that
    the largest weights on both sides are equal (arXiv 1906.04721, section 4.1), wherever that is
    exact. Run it before calibrate: layers that change lose their clips and grids.
    `limit`: largest factor. `report`: print what was balanced, and why the rest was not, to
    standard error.
    """

    name: ClassVar[str] = "equalize"
    limit: float = 16.0
    report: bool = True

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change the module and the context's parameters."""
        done = equalize(Program(op, store(ctx)), limit=self.limit)
        if self.report:
            lines = [link.line() for link in done.links] + [one.line() for one in done.untouched]
            print(*lines, sep="\n", file=sys.stderr)
