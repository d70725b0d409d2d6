"""The fast evaluator: error of a candidate with the bits of the integer reference (DESIGN D8).

A layer's integer code depends on its own grids and on how its input is and its result will be
held. For each such combination the layer alone is lowered and legalized by the same passes
that compile a program, compiled to a plan, and kept. Values are memorised by layer and
everything before it, so candidates that share leading layers compute them once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
from xdsl.dialects.func import ReturnOp

from mohaq.backends.base import Backend, IllegalAssignment, IntArray, Target
from mohaq.compiler.analysis.slices import slice_layer
from mohaq.compiler.analysis.storage import LayerGrids, calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.metrics import Metric
from mohaq.compiler.program import Program
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.compiler.search.engine import Evaluation
from mohaq.compiler.search.frames import Frames, Ragged
from mohaq.compiler.search.memory import ValueMemory
from mohaq.compiler.search.plan import Plan, compile_plan
from mohaq.compiler.search.scan_code import COMPILE_AFTER
from mohaq.compiler.search.scoring import score
from mohaq.passes.lower_to_qnn import lower_to_qnn

DEFAULT_MEMORY = 512 << 20
"""Bytes of layer values and compiled layers that an evaluator keeps."""

LocalKey = tuple[object, ...]


class Evaluator:
    """Evaluates assignments of one calibrated program on one data set.

    Args:
        program: calibrated `nn` program with one sequence input; its first result is scored.
        backend, target: whose arithmetic is meant.
        dataset: inputs [T_i, F] and labels.
        metric: scores the real-valued outputs of an utterance.
        memory_bytes: limit of what is kept for later candidates, layer values and compiled layers
            together; 0 keeps nothing. The candidate that runs needs its own layers and values of
            two layers beside.
        share_values: keep layer values for candidates with the same leading layers.
        compile_after: unit steps of a recurrence before it is compiled (`scan_code`).

    Raises:
        MohaqError: the program is not calibrated, or does not fit the data.
    """

    def __init__(
        self,
        program: Program,
        backend: Backend,
        target: Target,
        dataset: Dataset,
        metric: Metric,
        *,
        memory_bytes: int = DEFAULT_MEMORY,
        share_values: bool = True,
        compile_after: int = COMPILE_AFTER,
    ) -> None:
        self._program = program
        self._backend = backend
        self._target = target
        self._dataset = dataset
        self._metric = metric
        self._compile_after = compile_after
        self._calibrated = backend.obeyed(calibrated_table(program), target)
        self._chain = self._layers_to_result()
        self.memory = ValueMemory(memory_bytes)
        self._share_values = share_values
        self._illegal: dict[LocalKey, IllegalAssignment] = {}
        if not dataset.inputs:
            raise MohaqError("the data set is empty")
        features = self._calibrated.table[self._chain[0]].inputs
        for number, one in enumerate(dataset.inputs):
            if one.ndim != 2 or one.shape[1] != features or not one.shape[0]:
                raise MohaqError(
                    f"utterance {number} has shape {one.shape}, the program takes [T, {features}]"
                )
        self._batch = Ragged.of([len(one) for one in dataset.inputs])
        self._inputs: dict[GridAttr, Frames] = {}
        self._within: tuple[int, ...] | None = None

    @property
    def sequences(self) -> int:
        """Number of sequences."""
        return len(self._dataset)

    def restricted(self, numbers: Sequence[int]) -> Evaluator:
        """The same on some of the sequences; shares compiled layers, memory and counters."""
        made = copy.copy(self)
        made._dataset = self._dataset[numbers]
        made._batch = Ragged.of(made._dataset.lengths)
        made._inputs = {}
        made._within = tuple(numbers)
        return made

    def outputs(self, widths: Mapping[Slot, int]) -> list[IntArray]:
        """Integer results [T_i, C] of every utterance.

        Raises:
            IllegalAssignment: the target cannot run these widths.
            MohaqError: a slot has no width, or was not calibrated for it.
        """
        values, _ = self._run(widths)
        return [part.astype(np.int64) for part in self._batch.split(values)]

    def evaluate(self, widths: Mapping[Slot, int]) -> Evaluation:
        """Error of an assignment; raises like `outputs`."""
        values, grid = self._run(widths)
        if not getattr(self._metric, "uses_order", False):
            values = dequantize(values, grid)
        return score(self._metric, self._batch.split(values), self._dataset)

    def real_outputs(self, widths: Mapping[Slot, int]) -> list[Frames]:
        """Real results [T_i, C] of every utterance; raises like `outputs`."""
        values, grid = self._run(widths)
        return self._batch.split(dequantize(values, grid))

    def counters(self) -> tuple[int, int]:
        """(hits, misses) of the value memory so far."""
        return self.memory.hits, self.memory.misses

    def plan(self, layer: str, grids: LayerGrids) -> Plan:
        """The compiled code of a layer under its grids.

        Raises:
            IllegalAssignment: the target cannot run it.
        """
        key = _local_key(layer, grids)
        if key in self._illegal:
            raise self._illegal[key]
        found: Plan | None = self.memory.held(("plan", key))
        if found is None:
            try:
                lowered = lower_to_qnn(slice_layer(self._program, layer, grids))
                found = compile_plan(
                    self._backend.legalize(lowered, self._target),
                    compile_after=self._compile_after,
                )
            except IllegalAssignment as error:
                self._illegal[key] = error
                raise
            self.memory.keep(("plan", key), found)
        return found

    def _run(self, widths: Mapping[Slot, int]) -> tuple[Frames, GridAttr]:
        """Result frames of all utterances, and their grid."""
        grids = self._calibrated.layer_grids(widths)
        # Every layer is compiled first: an illegal candidate costs no inference.
        plans = [self.plan(name, grids[name]) for name in self._chain]
        keys: list[tuple[object, ...]] = []
        for name in self._chain:
            keys.append((_local_key(name, grids[name]), keys[-1] if keys else self._within))
        values: Frames | None = None
        start = 0
        for position in range(len(plans) - 1, -1, -1):
            values = self.memory.get(keys[position])
            if values is not None:
                start = position + 1
                break
        if values is None:
            values = self._input(grids[self._chain[0]].stored_input)
        for position in range(start, len(plans)):
            values = plans[position].run(values, self._batch)
            if self._share_values:
                self.memory.put(keys[position], values, position)
        return values, grids[self._chain[-1]].stored_output

    def _input(self, grid: GridAttr) -> Frames:
        if grid not in self._inputs:
            joined = np.concatenate(self._dataset.inputs)
            self._inputs[grid] = quantize(joined, grid).astype(np.int16)
        return self._inputs[grid]

    def _layers_to_result(self) -> list[str]:
        """Names of the layers between the program's input and its first result."""
        end = self._program.entry.body.block.last_op
        assert isinstance(end, ReturnOp)
        owner = end.operands[0].owner
        if not isinstance(owner, LayerOp) or end.operands[0] is not owner.results[0]:
            raise MohaqError("the first result of the program must be the output of a layer")
        chain: list[str] = []
        name: str | None = owner.label
        while name is not None:
            chain.insert(0, name)
            name = self._calibrated.table[name].source
        return chain


def _local_key(layer: str, grids: LayerGrids) -> LocalKey:
    slots = tuple(sorted(grids.slots.items(), key=lambda item: item[0]))
    return (layer, slots, grids.stored_input, grids.stored_output)
