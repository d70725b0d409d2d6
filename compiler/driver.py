"""From a calibrated program to an emitted folder, and running that folder.

A compiled folder:

    manifest.json         what it is, for whom, the grids of inputs and results
    assignment.json       widths, complete
    target.toml           the machine's constants
    estimate.json         cycles, seconds, joules, bytes; per layer and in all
    0-nn/ 1-quantized/ 2-qnn/ 3-legalized/ 4-<backend>/    a program each
    emitted/              what the target runs; `run` needs nothing else
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import (
    Backend,
    Costs,
    Estimate,
    Options,
    Simulation,
    Target,
    Workload,
)
from mohaq.backends.registry import find_target, get_backend
from mohaq.compiler.analysis.storage import CalibratedTable, calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.files import dump_json, read_json, replacing_folder, write_bytes, write_text
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.lower_to_qnn import lower_to_qnn

SCHEMA = "mohaq.compiled/1"
MANIFEST = "manifest.json"
EMITTED = "emitted"
TARGET_FILE = "target.toml"
LEGALIZED = "3-legalized"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Lowered:
    """The stages between the float program and the backend's own dialect."""

    quantized: Program
    neutral: Program
    legalized: Program


@dataclass(frozen=True)
class Compiled:
    """A compiled folder and what was estimated for it."""

    folder: Path
    target: str
    estimate: Estimate

    def __repr__(self) -> str:
        total = self.estimate.total
        return (
            f"Compiled({self.folder}, {self.target}: {total.seconds:.3g} s, "
            f"{total.joules:.3g} J, {self.estimate.size_bytes} bytes)"
        )


def lower_for_target(
    program: Program,
    backend: Backend,
    target: Target,
    widths: Mapping[Slot, int],
    *,
    calibrated: CalibratedTable | None = None,
) -> Lowered:
    """Annotate, lower to integers and legalize a calibrated program (left alone).

    Raises:
        MohaqError: not calibrated, or the widths are not legal on the target.
    """
    table = calibrated or calibrated_table(program)
    backend.space(table.table, target).encode(widths)
    quantized = program.clone()
    annotate(quantized, table, table.layer_grids(widths))
    neutral = lower_to_qnn(quantized)
    return Lowered(quantized, neutral, backend.legalize(neutral.clone(), target))


def compile_program(
    program: Program,
    target: str,
    assignment: Assignment,
    out: Path,
    *,
    name: str = "model",
    workload: Workload | None = None,
    options: Options | None = None,
    progress: Callable[[str], None] | None = None,
) -> Compiled:
    """Compile a calibrated `nn` program for a target into a folder.

    Args:
        program: calibrated for the widths of the assignment.
        target: name of a target, or the path of its TOML file.
        assignment: widths; a default covers slots that it does not name.
        out: folder to write; an earlier compiled folder is replaced only on success.
        name: of the model, for reports.
        workload: what the estimate is for (default: 100 frames, one sequence).
        options: timing and scheduling.
        progress: told the name of each stage as it starts.

    Raises:
        MohaqError: anything that keeps the program from compiling; `out` is left as it was.
    """
    backend, machine = find_target(target)
    workload, options = workload or Workload(100), options or Options()
    say = progress or (lambda _stage: None)
    table = calibrated_table(program)
    widths = assignment.complete(table.searched())
    say("lower to integers")
    lowered = lower_for_target(program, backend, machine, widths, calibrated=table)
    say(f"lower to {backend.name}")
    device = backend.lower(lowered.legalized.clone(), machine, options)
    estimate = backend.estimate(device, machine, workload, options)
    stages = {
        "0-nn": program.clone(),
        "1-quantized": lowered.quantized,
        "2-qnn": lowered.neutral,
        LEGALIZED: lowered.legalized,
        f"4-{backend.name}": device,
    }
    with replacing_folder(out, marker=MANIFEST) as work:
        for stage, one in stages.items():
            say(f"write {stage}")
            one.save(work / stage)
        say("emit")
        backend.emit(device, work / EMITTED, machine)
        Assignment(widths).save(work / "assignment.json")
        write_text(work / "estimate.json", dump_json(estimate_json(estimate)))
        if machine.path is not None:
            write_bytes(work / TARGET_FILE, machine.path.read_bytes())
        entry = lowered.legalized.entry
        manifest = {
            "schema": SCHEMA,
            "model": {"name": name, "sha256": program.content_hash()},
            "backend": backend.name,
            "target": machine.name,
            "workload": asdict(workload),
            "options": asdict(options),
            "inputs": [
                {**_grid_json(grid), "shape": [None if n == DYNAMIC else n for n in shape_of(arg)]}
                for grid, arg in zip(argument_grids(entry), entry.args, strict=True)
            ],
            "outputs": [_grid_json(g) for g in result_grids(entry)],
            "stages": list(stages),
        }
        write_text(work / MANIFEST, dump_json(manifest))
    return Compiled(Path(out), machine.name, estimate)


def _grid_json(grid: GridAttr | None) -> dict[str, Any]:
    if grid is None:
        raise MohaqError("an input or result of the program has no grid")
    return {"width": grid.bits, "scale": grid.step}


def costs_json(costs: Costs) -> dict[str, Any]:
    """Costs as plain JSON."""
    return {
        "cycles": costs.cycles,
        "seconds": costs.seconds,
        "joules": costs.joules,
        "counters": dict(costs.counters),
    }


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """An estimate (or the figures measured by a run) as plain JSON."""
    return {
        "workload": asdict(estimate.workload),
        "size_bytes": estimate.size_bytes,
        "total": costs_json(estimate.total),
        "layers": {name: costs_json(c) for name, c in estimate.layers.items()},
    }


@dataclass(frozen=True)
class Ran:
    """One sequence through the emitted program.

    outputs: real values [T, C] of the first result. states: integers of the other results,
    to be given to the next chunk. equal: None when not compared with the reference.
    """

    outputs: npt.NDArray[np.float64]
    states: tuple[npt.NDArray[np.int64], ...]
    simulation: Simulation
    equal: bool | None


class CompiledFolder:
    """A compiled folder opened for running."""

    def __init__(self, folder: Path) -> None:
        """Open a folder.

        Raises:
            MohaqError: it is not a compiled folder, or its backend is not installed.
        """
        self.folder = Path(folder)
        data = read_json(self.folder / MANIFEST, "manifest of a compiled folder")
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise MohaqError("not a compiled folder", where=str(folder), why=f"no {SCHEMA}")
        try:
            self.model = str(data["model"]["name"])
            self.target = str(data["target"])
            self.backend = get_backend(str(data["backend"]))
            self.inputs = [GridAttr.of(g["width"], g["scale"]) for g in data["inputs"]]
            self.shapes = [tuple(g["shape"]) for g in data["inputs"]]
            self.outputs = [GridAttr.of(g["width"], g["scale"]) for g in data["outputs"]]
            self.options = Options(**data["options"])
        except (KeyError, TypeError, ValueError) as error:
            raise MohaqError(
                "the manifest is damaged", where=str(self.folder / MANIFEST), why=repr(error)
            ) from None
        self._legalized: Program | None = None

    def machine(self) -> Target:
        """The target as it was when the folder was compiled."""
        held = self.folder / TARGET_FILE
        return self.backend.load_target(str(held) if held.is_file() else self.target)

    def stage(self, name: str) -> Program:
        """Load the program of a stage."""
        ctx = MohaqContext()
        for dialect in self.backend.dialects():
            ctx.load_dialect(dialect)
        return Program.load(self.folder / name, ctx)

    def integers(self, sequence: Array) -> npt.NDArray[np.int64]:
        """The program's input for a sequence [T, F]: integers [T, 1, F]."""
        if sequence.ndim != 2:
            raise MohaqError(f"a sequence is [T, F], got shape {sequence.shape}")
        return quantize(sequence, self.inputs[0])[:, None, :]

    def run(
        self,
        sequence: Array,
        *,
        states: Sequence[npt.NDArray[np.int64]] | None = None,
        check: bool = False,
    ) -> Ran:
        """Simulate one sequence [T, F].

        Args:
            sequence: real values.
            states: initial states of the program, integers [D, 1, H]; zero by default. A
                sequence cut in chunks gives the same result when each chunk starts from the
                states that the one before ended in.
            check: compare with the integer reference.

        Raises:
            MohaqError: the sequence or the states do not fit the program.
        """
        given = [self.integers(sequence), *self._states(states)]
        simulation = self.backend.simulate(self.folder / EMITTED, given, self.options)
        equal: bool | None = None
        if check:
            if self._legalized is None:
                self._legalized = self.stage(LEGALIZED)
            expected = run_integer(self._legalized, given)
            equal = len(expected) == len(simulation.outputs) and all(
                np.array_equal(a, b) for a, b in zip(expected, simulation.outputs, strict=True)
            )
        real = dequantize(simulation.outputs[0][:, 0], self.outputs[0])
        return Ran(real, simulation.outputs[1:], simulation, equal)

    def _states(
        self, states: Sequence[npt.NDArray[np.int64]] | None
    ) -> list[npt.NDArray[np.int64]]:
        shapes = [tuple(n or 1 for n in shape) for shape in self.shapes[1:]]
        if states is None:
            return [np.zeros(shape, dtype=np.int64) for shape in shapes]
        if [s.shape for s in states] != shapes:
            raise MohaqError(
                f"the program takes {len(shapes)} states of shapes {shapes}",
                why=f"got {[s.shape for s in states]}",
            )
        return list(states)

    def run_all(self, sequences: Sequence[Array], *, check: bool = False) -> Iterator[Ran]:
        """Simulate sequences one by one."""
        for sequence in sequences:
            yield self.run(sequence, check=check)


def reference_outputs(
    program: Program, sequences: Sequence[Array]
) -> list[npt.NDArray[np.float64]]:
    """Real outputs [T, C] of an integer program by the reference interpreter."""
    given, result = argument_grids(program.entry)[0], result_grids(program.entry)[0]
    if given is None or result is None:
        raise MohaqError("the program's input and result need grids")
    return [
        dequantize(run_integer(program, [quantize(s, given)[:, None, :]])[0][:, 0], result)
        for s in sequences
    ]
