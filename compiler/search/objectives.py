"""What a search minimises or maximises: built-in objectives and those of other packages.

An entry point of the group `mohaq.objectives` names an `Objective`, or something that returns one
when called without arguments. Only `error` needs inference; all others are priced before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import FloatArray, IntArray, Target, Workload
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.plugins import installed, owner

ERROR = "error"

STORED_BITS = 16
"""Results that no narrower grid of the next layer takes, and states."""


@dataclass(frozen=True)
class Priced:
    """N candidates and what is known of them before any inference.

    Attributes:
        widths: bits of every searched slot: {slot: [N]}.
        costs: of the backend: `latency` [s, or cycles without a clock], `energy` [J], `size` [bytes] and what else it
            gives, each [N].
        widest: the same costs of the target's widest legal assignment, ties and frozen slots
            aside.
        layers: the program.
        target: the machine.
        workload: what latency and energy are for.
    """

    widths: Mapping[Slot, IntArray]
    costs: Mapping[str, FloatArray]
    widest: Mapping[str, float]
    layers: LayerTable
    target: Target
    workload: Workload


@dataclass(frozen=True)
class Objective:
    """One objective of a search.

    Attributes:
        name: as users write it.
        unit: SI where there is one.
        values: one finite number, not negative, for each candidate [N]; None: of the evaluator.
        direction: which way is better.
    """

    name: str
    unit: str
    values: Callable[[Priced], npt.ArrayLike] | None
    direction: Literal["min", "max"] = "min"

    def lower(self, value: float) -> float:
        """The value as something to minimise."""
        return -value if self.direction == "max" else value

    def price(self, priced: Priced) -> FloatArray:
        """Values [N] of candidates.

        Raises:
            MohaqError: not one finite number a candidate, or a negative one.
        """
        assert self.values is not None
        count = len(next(iter(priced.costs.values())))
        try:
            found = np.asarray(self.values(priced), dtype=np.float64)
        except MohaqError:
            raise
        except Exception as error:
            plugin = owner(self.values)
            if plugin is None:
                raise
            raise plugin.failed(f"objective '{self.name}'", error) from error
        if found.shape != (count,) or not np.isfinite(found).all() or (found < 0).any():
            raise MohaqError(
                f"objective '{self.name}' must give one finite number a candidate, none negative",
                why=f"got shape {found.shape} for {count} candidates"
                if found.shape != (count,)
                else f"got {found[~(np.isfinite(found) & (found >= 0))][0]}",
            )
        return found


def _cost(name: str) -> Callable[[Priced], npt.ArrayLike]:
    return lambda priced: priced.costs[name]


def _speedup(priced: Priced) -> npt.ArrayLike:
    return priced.widest["latency"] / priced.costs["latency"]


def _sram(priced: Priced) -> npt.ArrayLike:
    """The backend's own figure, or parameters and the largest layer's frames.

    A layer holds its input and its result as the program stores them (docs/semantics: 16 bits
    or the input grid of the one layer that reads it), and its states in 16 bits, for every
    sequence that runs at once.
    """
    if "sram" in priced.costs:
        return priced.costs["sram"]
    read = {x.direct for x in priced.layers if x.direct is not None}
    largest = np.zeros(len(priced.costs["size"]), dtype=np.int64)
    for layer in priced.layers:
        stored = _bits(priced, layer.name) if layer.name in read else STORED_BITS
        result = STORED_BITS if layer.direct is None else _bits(priced, layer.direct)
        states = _states(layer) * STORED_BITS
        held = -(-(layer.inputs * stored + layer.width * result + states) // 8)
        largest = np.maximum(largest, held)
    return priced.costs["size"] + priced.workload.batch * largest


def _bits(priced: Priced, layer: str) -> IntArray:
    return priced.widths[Slot(layer, "input")]


def _states(layer: Layer) -> int:
    kinds = 2 if layer.kind == "lstm" else 1
    return kinds * layer.directions * layer.hidden


BUILT_IN: dict[str, Objective] = {
    o.name: o
    for o in (
        Objective(ERROR, "share", None),
        Objective("size", "bytes", _cost("size")),
        Objective("latency", "s", _cost("latency")),
        Objective("energy", "J", _cost("energy")),
        Objective("speedup", "x", _speedup, "max"),
        Objective("sram", "bytes", _sram),
    )
}


def _paper() -> dict[str, Objective]:
    """Objectives by the accounting of the MOHAQ paper."""
    from mohaq.compiler.search.paper import PAPER

    return PAPER


def own_names() -> tuple[str, ...]:
    """Names of the objectives that come with mohaq."""
    return (*BUILT_IN, *_paper())


def objective_names() -> tuple[str, ...]:
    """Every name that `find_objective` knows."""
    return (*own_names(), *installed("objective", own_names()).usable)


def find_objective(name: str) -> Objective:
    """The objective of that name; those of the search cannot be replaced.

    Raises:
        MohaqError: an unknown name, an entry point that does not load or is no objective.
    """
    if (known := BUILT_IN.get(name) or _paper().get(name)) is not None:
        return known
    plugin = installed("objective", own_names()).require(name)
    if plugin is not None:
        found = plugin.load()
        try:
            made = found if isinstance(found, Objective) else found()
        except Exception as error:
            raise plugin.failed("making it", error) from error
        if not isinstance(made, Objective) or made.values is None or made.name != name:
            raise MohaqError(
                f"'{plugin.entry.value}' is no objective",
                where=plugin.where,
                hint="the entry point names an Objective of the same name with a values function",
            )
        if made.direction not in {"min", "max"}:
            raise MohaqError(f"has the direction '{made.direction}'", where=plugin.where)
        return made
    hint = did_you_mean(name, objective_names())
    raise MohaqError(
        f"no objective '{name}'", hint=hint or f"known: {', '.join(objective_names())}"
    )


def find_objectives(names: Sequence[str]) -> tuple[Objective, ...]:
    """Objectives in the given order.

    Raises:
        MohaqError: see `find_objective`; none or one twice.
    """
    if not names or len(set(names)) != len(names):
        raise MohaqError("name at least one objective, each once")
    return tuple(find_objective(name) for name in names)
