"""The backend contract (DESIGN D9): everything the compiler asks of a target.

A backend is an object of a subclass of `Backend`, found through the entry-point group
`mohaq.backends`. docs/write-a-backend.md goes through it and says what may change; the tests are
`mohaq.backends.testing`. Units: seconds, joules, bytes, cycles; widths in bits.

Order of calls: `targets`/`load_target` -> `legality` (before calibration and search) ->
`cost_model(...).cost(...)` (vectorised, in the search) -> `legalize` -> `lower` -> `estimate`,
`emit` -> `simulate` (from the emitted folder alone).

Invariant: cost in the search = estimate at compile = counters of the run, at equal Workload
and Options.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
from xdsl.ir import Dialect
from xdsl.passes import ModulePass

from mohaq.backends.refusals import IllegalAssignment as IllegalAssignment  # noqa: PLC0414  part of the contract
from mohaq.backends.refusals import NoRoom as NoRoom  # noqa: PLC0414  part of the contract
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.analysis.storage import CalibratedTable, ScaleRule
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.program import Program

API_VERSION = 1
"""Of this contract. A backend of another package says which one it was written for."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SlotGroup:
    """Slots that are chosen together: one gene.

    `choices[i]` gives the widths of `slots`, in their order. Choices are sorted from narrow to
    wide (by the sum of their widths), so a gene is an ordinal.
    """

    name: str
    slots: tuple[Slot, ...]
    choices: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Legality:
    """What a target allows for one layer, and how it rescales.

    `scale_kind` says which requantize multipliers the target has: `dyadic` ones with up to
    `multiplier_bits` (`legalize` narrows them), or `power-of-two` when it only shifts.
    `granularity` is that of weight scales. The scales of a program are chosen accordingly
    (`Backend.obeyed`).
    """

    groups: tuple[SlotGroup, ...]
    scale_kind: Literal["dyadic", "power-of-two"] = "dyadic"
    multiplier_bits: int = 31
    granularity: Literal["per-tensor", "per-channel"] = "per-tensor"


@dataclass(frozen=True)
class GeneSpace:
    """The genes of a search: all slot groups of a program on a target."""

    groups: tuple[SlotGroup, ...]

    @property
    def upper(self) -> IntArray:
        """Largest legal index of each gene (the smallest is 0)."""
        return np.array([len(g.choices) - 1 for g in self.groups], dtype=np.int64)

    @property
    def size(self) -> int:
        """Number of genomes."""
        total = 1
        for group in self.groups:
            total *= len(group.choices)
        return total

    def widths(self, genomes: npt.ArrayLike) -> dict[Slot, IntArray]:
        """Widths of every slot: {slot: [N]} for genomes [N, G]."""
        array = np.atleast_2d(np.asarray(genomes, dtype=np.int64))
        if array.shape[1] != len(self.groups):
            raise MohaqError(f"genomes have {array.shape[1]} genes, expected {len(self.groups)}")
        found: dict[Slot, IntArray] = {}
        for column, group in enumerate(self.groups):
            table = np.asarray(group.choices, dtype=np.int64)
            for position, slot in enumerate(group.slots):
                found[slot] = table[array[:, column], position]
        return found

    def encode(self, widths: Mapping[Slot, int]) -> IntArray:
        """Genome [G] of an assignment.

        Raises:
            MohaqError: a slot is missing or its widths are not legal together.
        """
        genome = []
        for group in self.groups:
            try:
                wanted = tuple(int(widths[s]) for s in group.slots)
            except KeyError as error:
                raise MohaqError(f"the assignment has no width for {error.args[0]}") from None
            if wanted not in group.choices:
                legal = ", ".join("/".join(map(str, c)) for c in group.choices)
                raise MohaqError(
                    f"{'/'.join(map(str, wanted))} bits are not legal here",
                    where=" + ".join(map(str, group.slots)),
                    why=f"the target allows {legal}",
                )
            genome.append(group.choices.index(wanted))
        return np.array(genome, dtype=np.int64)


@dataclass(frozen=True)
class Workload:
    """What is timed: sequences of `frames` steps, `batch` at once.

    `carried_state`: states come in and go out; without, they start at zero and nobody reads the
    last ones.
    """

    frames: int
    batch: int = 1
    carried_state: bool = False

    def __post_init__(self) -> None:
        if self.frames < 1 or self.batch < 1:
            raise MohaqError(f"a workload has at least one frame and one sequence, got {self}")


Preference = Literal["latency", "energy", "balanced"]
PREFERENCES: tuple[str, ...] = get_args(Preference)


@dataclass(frozen=True)
class Options:
    """How it is timed and scheduled; backends refuse values that they do not know."""

    timing: str = "physical"
    numerics: str = "legalized"
    prefer: Preference = "latency"


def options_of(prefer: str) -> Options:
    """Options with a preference.

    Raises:
        MohaqError: no such preference.
    """
    if prefer not in PREFERENCES:
        raise MohaqError(f"no preference '{prefer}'", hint=did_you_mean(prefer, PREFERENCES))
    return Options(prefer=cast("Preference", prefer))


def require_known(
    options: Options,
    backend: str,
    *,
    timing: Sequence[str] = ("physical",),
    numerics: Sequence[str] = ("legalized",),
) -> None:
    """Check every field against what a backend knows; `backend` is its title.

    Raises:
        MohaqError: a value that it does not know.
    """
    known = {"timing": timing, "numerics": numerics, "prefer": PREFERENCES}
    for name, values in known.items():
        value = getattr(options, name)
        if value not in values:
            raise MohaqError(
                f"{backend} does not know {name} '{value}'", hint=did_you_mean(str(value), values)
            )


@dataclass(frozen=True)
class Constant:
    """One number of a target file with its source and how sure we are of it."""

    value: float
    unit: str
    source: str
    mark: Literal["verified", "remembered", "assumed"]


@dataclass(frozen=True)
class Target:
    """One machine of a backend, from a TOML file."""

    name: str
    backend: str
    description: str
    constants: Mapping[str, Constant]
    path: Path | None = None

    def __getitem__(self, name: str) -> float:
        try:
            return self.constants[name].value
        except KeyError:
            raise MohaqError(
                f"target '{self.name}' does not define '{name}'",
                where=str(self.path) if self.path else None,
            ) from None

    def whole(self, name: str) -> int:
        """A constant that must be a whole number."""
        value = self[name]
        if value != int(value):
            raise MohaqError(f"'{name}' of target '{self.name}' must be whole, got {value}")
        return int(value)


@dataclass(frozen=True)
class Costs:
    """Cycles, seconds, joules and the counters behind them, of one layer or a whole program.

    Energies and seconds are computed from integer counters, so equal counters give equal costs.
    A target without a clock has cycles and no seconds (None).
    """

    cycles: int
    seconds: float | None
    joules: float
    counters: Mapping[str, int] = field(default_factory=dict)

    @property
    def latency(self) -> float:
        """Seconds; cycles where there is no clock. In `Backend.latency_unit`."""
        return float(self.cycles) if self.seconds is None else self.seconds


@dataclass(frozen=True)
class Estimate:
    """Costs of a program for a workload; `layers` keeps program order."""

    workload: Workload
    total: Costs
    layers: Mapping[str, Costs]
    size_bytes: int
    """Bytes of weights, vectors and tables on the target."""


@dataclass(frozen=True)
class Simulation:
    """What a run of the emitted program gave.

    outputs: one integer array per program result, time-first, as in the legalized program.
    measured: the same shape of figures as `Estimate`, counted while executing.
    """

    outputs: tuple[IntArray, ...]
    measured: Estimate


@dataclass(frozen=True)
class Expected:
    """How an emitted folder compares with the results that were predicted when it was emitted.

    checked: programs and phases that were compared; differences: a line for each that differs.
    """

    checked: int
    differences: tuple[str, ...]


class CostModel(ABC):
    """Costs of many assignments at once, without touching the IR."""

    @abstractmethod
    def cost(
        self, genomes: npt.ArrayLike, workload: Workload, options: Options
    ) -> dict[str, FloatArray]:
        """Costs of genomes [N, G]: `latency` [s], `energy` [J], `size` [bytes], each [N].

        Latency is in cycles where the backend's `latency_unit` says so.

        Raises:
            NoRoom: at least one of them does not fit the target's memory; the search then asks
                for each alone.
        """


class Backend(ABC):
    """One family of targets."""

    name: ClassVar[str]
    description: ClassVar[str]
    api_version: ClassVar[int] = API_VERSION

    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """Names of the targets that come with the backend."""

    @abstractmethod
    def load_target(self, name_or_path: str) -> Target:
        """A shipped target by name, or a user's TOML file by path.

        Raises:
            MohaqError: unknown name, malformed file.
        """

    @abstractmethod
    def legality(self, layer: Layer, target: Target) -> Legality:
        """Legal widths of a layer's searched slots.

        Raises:
            MohaqError: the target cannot run this kind of layer (names the layer).
        """

    def latency_unit(self, target: Target) -> Literal["s", "cycles"]:  # noqa: ARG002  most have one
        """Unit of `latency` in the costs: `cycles` for a target without a clock."""
        return "s"

    def space(self, table: LayerTable, target: Target) -> GeneSpace:
        """All genes of a program; override to tie slots across layers."""
        return GeneSpace(tuple(g for layer in table for g in self.legality(layer, target).groups))

    def require_legal(self, table: LayerTable, target: Target, widths: Mapping[Slot, int]) -> None:
        """Refuse widths that cannot run; override where more is legal than a search tries.

        Raises:
            MohaqError: a slot is missing or its widths are not legal together.
        """
        self.space(table, target).encode(widths)

    def obeyed(self, calibrated: CalibratedTable, target: Target) -> CalibratedTable:
        """The table with scales that the target can take."""
        rules: dict[str, ScaleRule] = {}
        for layer in calibrated.table:
            legal = self.legality(layer, target)
            rules[layer.name] = ScaleRule(
                legal.granularity == "per-channel", legal.scale_kind == "power-of-two"
            )
        return calibrated.obeying(rules)

    @abstractmethod
    def cost_model(self, table: LayerTable, space: GeneSpace, target: Target) -> CostModel:
        """A cost model for a program."""

    @abstractmethod
    def legalize(self, program: Program, target: Target) -> Program:
        """Rewrite a neutral `qnn` program into the target's arithmetic, still in `qnn`.

        Raises:
            IllegalAssignment: a sum or product does not fit the target.
        """

    @abstractmethod
    def lower(self, program: Program, target: Target, options: Options) -> Program:
        """Lower a legalized program to the backend's dialect."""

    @abstractmethod
    def emit(self, program: Program, folder: Path, target: Target) -> None:
        """Write everything that `simulate` needs into a folder, deterministically."""

    @abstractmethod
    def estimate(
        self, program: Program, target: Target, workload: Workload, options: Options
    ) -> Estimate:
        """Costs of a lowered program."""

    @abstractmethod
    def simulate(
        self,
        folder: Path,
        inputs: Sequence[npt.NDArray[Any]],
        options: Options,
    ) -> Simulation:
        """Execute an emitted folder on integer inputs (the program's arguments, [T, B, F]).

        Works with every `.mlir` deleted; may not use the estimate, the lowering or the
        interpreters.
        """

    def check_expected(self, folder: Path) -> Expected:
        """Compare an emitted folder with the expected results in it; works as `simulate` does.

        Raises:
            MohaqError: the backend emits none, or the folder is damaged.
        """
        raise MohaqError(f"'{self.name}' writes no expected results", where=str(folder))

    def dialects(self) -> tuple[Dialect, ...]:
        """Dialects that the backend's programs use."""
        return ()

    def passes(self) -> Mapping[str, type[ModulePass]]:
        """Passes that the backend adds to `mohaq-opt`, by name."""
        return {}
