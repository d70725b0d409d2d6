"""Opening and running a compiled folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Expected, Options, Simulation, Target
from mohaq.backends.registry import get_backend
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.driver.host import HostPlan
from mohaq.compiler.driver.names import (
    AFTER,
    BEFORE,
    EMITTED,
    LEGALIZED,
    MANIFEST,
    SCHEMA,
    STOPPED,
    TARGET_FILE,
)
from mohaq.compiler.files import read_json
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.partition import Source
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ran:
    """One sequence through the emitted program.

    outputs: real values of the first result, [T, C] where the target computes it. states: the
    other results, to be given to the next chunk: integers of the target's states, real values
    of what the host computes. simulation: of the part on the target. equal: None when not
    compared with the reference.
    """

    outputs: npt.NDArray[np.float64]
    states: tuple[Array, ...]
    simulation: Simulation
    equal: bool | None


class CompiledFolder:
    """A compiled folder opened for running."""

    def __init__(self, folder: str | Path) -> None:
        """Open a folder.

        Raises:
            MohaqError: it is not a compiled folder, or its backend is not installed.
        """
        self.folder = Path(folder)
        if (self.folder / STOPPED).is_file():
            raise MohaqError(
                "this compilation stopped before anything was emitted",
                where=str(folder),
                hint=f"mohaq compile --start-from {folder} -o OUT goes on",
            )
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
        self.host = HostPlan.of_json(
            data.get("host"),
            self.folder / MANIFEST,
            inputs=len(self.inputs),
            outputs=len(self.outputs),
        )
        self._legalized: Program | None = None
        self._hosts: dict[str, Program] = {}

    def __repr__(self) -> str:
        host = "" if self.host is None else ", part of it on the host"
        return f"CompiledFolder({self.folder}, {self.model} for {self.target}{host})"

    def machine(self) -> Target:
        """The target as it was when the folder was compiled."""
        held = self.folder / TARGET_FILE
        return self.backend.load_target(str(held) if held.is_file() else self.target)

    def check_expected(self) -> Expected:
        """Compare the emitted part with the expected results in it (`Backend.check_expected`)."""
        return self.backend.check_expected(self.folder / EMITTED)

    def stage(self, name: str) -> Program:
        """Load the program of a stage."""
        ctx = MohaqContext()
        for dialect in self.backend.dialects():
            ctx.load_dialect(dialect)
        return Program.load(self.folder / name, ctx)

    def integers(self, sequence: Array) -> npt.NDArray[np.int64]:
        """The program's input for a sequence [T, F]: integers [T, 1, F].

        A program that takes rows [N, F] gets them as they are.
        """
        if sequence.ndim != 2:
            raise MohaqError(f"a sequence is [T, F], got shape {sequence.shape}")
        made = quantize(sequence, self.inputs[0])
        return made if len(self.shapes[0]) == 2 else made[:, None, :]

    def run(
        self,
        sequence: Array,
        *,
        states: Sequence[Array] | None = None,
        check: bool = False,
    ) -> Ran:
        """Run one sequence: on the host what the target cannot run, the rest in the simulator.

        Args:
            sequence: real values [T, F]; for a program with parts on the host, its first
                argument, without the batch extent.
            states: initial states of the program, as `Ran.states` gives them; zero by default. A
                sequence cut in chunks gives the same result when each chunk starts from the
                states that the one before ended in.
            check: compare with the integer reference.

        Raises:
            MohaqError: the sequence or the states do not fit the program.
        """
        if self.host is not None:
            return self._run_hosted(self.host, np.asarray(sequence), states, check=check)
        given = [self.integers(sequence), *self._states(states)]
        simulation, equal = self._simulate(given, check=check)
        made = simulation.outputs[0]
        real = dequantize(made if made.ndim == 2 else made[:, 0], self.outputs[0])
        return Ran(real, simulation.outputs[1:], simulation, equal)

    def _simulate(
        self, given: Sequence[npt.NDArray[np.int64]], *, check: bool
    ) -> tuple[Simulation, bool | None]:
        """The part on the target; with `check` also whether it equals the reference."""
        simulation = self.backend.simulate(self.folder / EMITTED, given, self.options)
        if not check:
            return simulation, None
        if self._legalized is None:
            self._legalized = self.stage(LEGALIZED)
        expected = run_integer(self._legalized, given)
        equal = len(expected) == len(simulation.outputs) and all(
            np.array_equal(a, b) for a, b in zip(expected, simulation.outputs, strict=True)
        )
        return simulation, equal

    def _run_hosted(
        self, plan: HostPlan, sequence: Array, states: Sequence[Array] | None, *, check: bool
    ) -> Ran:
        """Host, target, host. States that only the target sees are integers, others are real."""
        arguments = [plan.first_argument(sequence), *self._host_states(plan, states)]
        direct = self._direct(plan)
        real = [
            dequantize(v, self.inputs[direct[n]]).astype(np.float32)
            if n in direct and v.dtype.kind == "i"
            else v
            for n, v in enumerate(arguments)
        ]
        parts: dict[str, Sequence[Array]] = {"argument": real}
        parts["before"] = (
            run_float(self._host(BEFORE), real, wide=True) if self._has(BEFORE) else ()
        )
        given = []
        for n, (source, grid) in enumerate(zip(plan.core_inputs, self.inputs, strict=True)):
            value = self._value(parts, source)
            exact = arguments[source.number] if source.part == "argument" else value
            whole = n > 0 and exact.dtype.kind == "i"
            given.append(exact if whole else quantize(value, grid))
        simulation, equal = self._simulate(given, check=check)
        parts["core"] = [
            dequantize(v, grid).astype(np.float32)
            for v, grid in zip(simulation.outputs, self.outputs, strict=True)
        ]
        inputs = [self._value(parts, s) for s in plan.after_inputs]
        parts["after"] = run_float(self._host(AFTER), inputs, wide=True) if self._has(AFTER) else ()
        first = plan.results[0]
        shown = plan.first_result(self._value(parts, first), sequence)
        rest = tuple(
            simulation.outputs[s.number] if s.part == "core" else self._value(parts, s)
            for s in plan.results[1:]
        )
        return Ran(shown.astype(np.float64), rest, simulation, equal)

    def _value(self, parts: Mapping[str, Sequence[Array]], source: Source) -> Array:
        held = parts[source.part]
        if source.number >= len(held):
            name = {"before": BEFORE, "after": AFTER}.get(source.part, "target's part")
            raise MohaqError(
                "the compiled folder is damaged",
                where=str(self.folder),
                why=f"{name} gives {len(held)} values, the manifest wants number {source.number}",
            )
        return np.asarray(held[source.number])

    @staticmethod
    def _direct(plan: HostPlan) -> dict[int, int]:
        """{argument of the program: input of the target} of states that go there as they are."""
        return {
            s.number: n for n, s in enumerate(plan.core_inputs) if s.part == "argument" and n > 0
        }

    def _host_states(self, plan: HostPlan, states: Sequence[Array] | None) -> list[Array]:
        shapes = [tuple(n or 1 for n in a.shape) for a in plan.arguments[1:]]
        if states is None:
            direct = self._direct(plan)
            return [
                np.zeros(shape, dtype=np.int64 if n in direct else np.float32)
                for n, shape in enumerate(shapes, start=1)
            ]
        if [np.shape(s) for s in states] != shapes:
            raise MohaqError(
                f"the program takes {len(shapes)} states of shapes {shapes}",
                why=f"got {[np.shape(s) for s in states]}",
            )
        return [np.asarray(s) for s in states]

    def _has(self, name: str) -> bool:
        return (self.folder / name).is_dir()

    def _host(self, name: str) -> Program:
        if name not in self._hosts:
            self._hosts[name] = self.stage(name)
        return self._hosts[name]

    def _states(self, states: Sequence[Array] | None) -> list[npt.NDArray[np.int64]]:
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
