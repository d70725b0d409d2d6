"""What the host does around the part of a program that runs on the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import IntegerType
from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC, element_of, shape_of
from mohaq.compiler.partition import Partition, Place, Source, bytes_per_frame
from mohaq.compiler.program import Program, argument_names

if TYPE_CHECKING:
    import sympy

    from mohaq.compiler.analysis.extents import Extents

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Argument:
    """An argument of the whole program: its shape (None: symbolic) and whether it has indices."""

    name: str | None
    shape: tuple[int | None, ...]
    indices: bool


@dataclass(frozen=True)
class HostPlan:
    """How values go between host and target.

    arguments: of the whole program. core_inputs, after_inputs, results: where the arguments of
    the target's and the host's second part and the results come from. batch_axis: extent of the
    first argument that counts sequences, if it has one; result_batch_axis: of the first result.
    refused: why layers run on the host. bytes_in, bytes_out: for each frame of a sequence.
    """

    arguments: tuple[Argument, ...]
    core_inputs: tuple[Source, ...]
    after_inputs: tuple[Source, ...]
    results: tuple[Source, ...]
    batch_axis: int | None
    result_batch_axis: int | None
    refused: Mapping[str, str]
    bytes_in: int
    bytes_out: int

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "arguments": [
                {"name": a.name, "shape": list(a.shape), "indices": a.indices}
                for a in self.arguments
            ],
            "core_inputs": [[s.part, s.number] for s in self.core_inputs],
            "after_inputs": [[s.part, s.number] for s in self.after_inputs],
            "results": [[s.part, s.number] for s in self.results],
            "batch_axis": self.batch_axis,
            "result_batch_axis": self.result_batch_axis,
            "refused": dict(self.refused),
            "bytes_to_target_per_frame": self.bytes_in,
            "bytes_from_target_per_frame": self.bytes_out,
        }

    @staticmethod
    def of_json(data: Any, where: Path, *, inputs: int, outputs: int) -> HostPlan | None:
        """From plain JSON; None for a program that runs on the target whole.

        Args:
            data: what `to_json` gave.
            where: the file, for messages.
            inputs: of the part on the target.
            outputs: of the part on the target.

        Raises:
            MohaqError: damaged.
        """
        if data is None:
            return None
        try:
            arguments = tuple(
                Argument(a["name"], _shape(a["shape"]), bool(a["indices"]))
                for a in data["arguments"]
            )
            core, after, results = (
                tuple(Source(cast("Place", p), int(n)) for p, n in data[key])
                for key in ("core_inputs", "after_inputs", "results")
            )
            plan = HostPlan(
                arguments,
                core,
                after,
                results,
                data["batch_axis"],
                data["result_batch_axis"],
                dict(data["refused"]),
                int(data["bytes_to_target_per_frame"]),
                int(data["bytes_from_target_per_frame"]),
            )
            plan._check(inputs, outputs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MohaqError("the manifest is damaged", where=str(where), why=repr(error)) from None
        return plan

    def _check(self, inputs: int, outputs: int) -> None:
        """Raises ValueError where parts of the plan do not fit each other."""
        if not self.arguments or not self.results or len(self.core_inputs) != inputs:
            raise ValueError("arguments, inputs or results are missing")
        known = {"argument": len(self.arguments), "before": None, "core": outputs, "after": None}
        for source in (*self.core_inputs, *self.after_inputs, *self.results):
            count = known.get(source.part, 0)
            if source.number < 0 or (count is not None and source.number >= count):
                raise ValueError(f"nothing is {source.part} {source.number}")
        rank = len(self.arguments[0].shape)
        if self.batch_axis is not None and self.batch_axis not in range(rank):
            raise ValueError(f"batch_axis {self.batch_axis!r}")
        axis = self.result_batch_axis
        if axis is not None and not (isinstance(axis, int) and axis >= 0):
            raise ValueError(f"result_batch_axis {axis!r}")

    def first_argument(self, sequence: Array) -> Array:
        """The first argument for one sequence: with its batch extent, if that is missing.

        Raises:
            MohaqError: it does not fit.
        """
        shape = self.arguments[0].shape
        if sequence.ndim == len(shape) - 1 and self.batch_axis is not None:
            sequence = np.expand_dims(sequence, self.batch_axis)
        if sequence.ndim != len(shape) or any(
            want not in (None, got) for want, got in zip(shape, sequence.shape, strict=True)
        ):
            wanted = ["?" if n is None else n for n in shape]
            raise MohaqError(f"the program takes {wanted}, got {list(sequence.shape)}")
        return sequence

    def first_result(self, values: Array, sequence: Array) -> Array:
        """The first result of one sequence, without the batch extent if the sequence had none."""
        alone = sequence.ndim == len(self.arguments[0].shape) - 1
        if alone and self.result_batch_axis is not None and self.result_batch_axis < values.ndim:
            one: Array = np.take(values, 0, axis=self.result_batch_axis)
            return one
        return values


def _shape(data: Any) -> tuple[int | None, ...]:
    if not isinstance(data, list) or not all(n is None or isinstance(n, int) for n in data):
        raise ValueError(f"shape {data!r}")
    return tuple(data)


def host_plan(program: Program, cut: Partition) -> HostPlan:
    """The plan for a program that was cut."""
    entry = program.entry
    arguments = tuple(
        Argument(
            name,
            tuple(None if n == DYNAMIC else n for n in shape_of(arg)),
            isinstance(element_of(arg), IntegerType),
        )
        for arg, name in zip(entry.args, argument_names(entry), strict=True)
    )
    batch, result_batch = _batch_axes(program, cut)
    into, back = bytes_per_frame(cut)
    return HostPlan(
        arguments,
        cut.core_inputs,
        cut.after_inputs,
        cut.results,
        batch,
        result_batch,
        cut.refused,
        into,
        back,
    )


def _batch_axes(program: Program, cut: Partition) -> tuple[int | None, int | None]:
    """Where sequences are counted in the first argument and the first result."""
    from mohaq.compiler.analysis.extents import Extents  # brings sympy, for programs in parts only

    entry = program.entry
    extents = Extents()
    for n, arg in enumerate(entry.args):
        extents.name(arg, [f"{n}.{axis}" for axis in range(len(shape_of(arg)))])
    first = extents.of(entry.args[0])
    batch = next((s for s in _batches(program, cut, extents) if s in first), None)
    if batch is None:
        return None, None
    end = entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    return (
        _axis_of(first, batch),
        _axis_of(extents.of(end.operands[0]), batch),
    )


def _batches(program: Program, cut: Partition, extents: Extents) -> Iterator[sympy.Symbol]:
    """Extents that may count sequences: what recurrent layers say, convolutions, the target."""
    import sympy

    places: list[tuple[SSAValue, int]] = []
    layers = list(program.layers())
    places += [(op.operands[0], 1) for op in layers if isinstance(op, nn.RecurrentOp)]
    places += [(op.input, 0) for op in layers if isinstance(op, nn.Conv1dOp)]
    chosen = next(iter(cut.core.layers())).label
    x = next(op.operands[0] for op in layers if op.label == chosen)
    places.append((x, 1 if len(shape_of(x)) > 2 else 0))
    for value, axis in places:
        found = extents.of(value)[axis]
        if isinstance(found, sympy.Symbol):
            yield found


def _axis_of(extents: Sequence[Any], symbol: Any) -> int | None:
    return next((n for n, e in enumerate(extents) if e == symbol), None)
