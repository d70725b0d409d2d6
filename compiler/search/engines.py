"""Which engine a search runs on, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.search.crew import CrewEngine
from mohaq.compiler.search.engine import Engine, PortableRecipe
from mohaq.compiler.search.local import local_engine

EngineName = Literal["local", "dask", "ray"]

MODULES = {"dask": "distributed", "ray": "ray"}
"""Engine -> the module that its extra brings."""


@dataclass(frozen=True)
class EngineOptions:
    """Where candidates are evaluated. None of this changes a result.

    Attributes:
        engine: `local` (this machine), `dask` or `ray` (extras of the same name).
        workers: processes. 0: for `local` in the searching process itself; with an address all of
            the cluster; else one a core.
        address: of a running cluster; without one `dask` and `ray` start one on this machine.
        timeout: seconds for one candidate; None waits for ever.
        retries: repeats of a candidate whose worker died or that took too long.

    Raises:
        MohaqError: unknown engine, extra not installed, or a value out of range.
    """

    engine: EngineName = "local"
    workers: int = 0
    address: str | None = None
    timeout: float | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        known = get_args(EngineName)
        if self.engine not in known:
            raise MohaqError(
                f"no engine '{self.engine}'",
                hint=did_you_mean(self.engine, known) or f"known: {', '.join(known)}",
            )
        if self.workers < 0:
            raise MohaqError(f"the number of workers is not negative, got {self.workers}")
        if self.timeout is not None and not self.timeout > 0:
            raise MohaqError(f"a time limit is positive, got {self.timeout:g} s")
        if self.retries < 0:
            raise MohaqError(f"the number of retries is not negative, got {self.retries}")
        if self.engine == "local":
            if self.address is not None:
                raise MohaqError(
                    "the engine 'local' takes no address", hint="choose the engine dask or ray"
                )
        elif find_spec(MODULES[self.engine]) is None:
            raise MohaqError(
                f"the engine '{self.engine}' is not installed",
                hint=f"install mohaq with the extra '{self.engine}': "
                f"pip install 'mohaq[{self.engine}]'",
            )


def make_engine(recipe: PortableRecipe, options: EngineOptions) -> Engine:
    """The engine of the options; clusters are started or met with the first job."""
    retries, timeout = options.retries, options.timeout
    match options.engine:
        case "local":
            return local_engine(recipe, options.workers, retries=retries, timeout=timeout)
        case "dask":
            from mohaq.compiler.search.dask_crew import DaskCrew

            dask = DaskCrew(recipe, options.workers, address=options.address, timeout=timeout)
            return CrewEngine(dask, retries=retries, timeout=timeout)
        case "ray":
            from mohaq.compiler.search.ray_crew import RayCrew

            ray = RayCrew(recipe, options.workers, address=options.address)
            return CrewEngine(ray, retries=retries, timeout=timeout)
