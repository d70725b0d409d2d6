"""What the implementations of all operations share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.interpreter import InterpreterFunctions

from mohaq.compiler.parameters import ParameterStore

Array = npt.NDArray[np.float32]
AnyArray = npt.NDArray[Any]

Tracer = Callable[[str, str, Array], None]
"""Called as tracer(layer, slot, values) for the slots of each layer: `input`, `hidden` (what the
recurrent product reads), `output` and `state`."""


class Functions(InterpreterFunctions):
    """Implementations on float32 arrays (and int64 for indices)."""

    def __init__(
        self, parameters: ParameterStore, tracer: Tracer | None, *, wide: bool = False
    ) -> None:
        self.parameters = parameters
        self.tracer = tracer
        self.wide = wide

    @property
    def sums(self) -> type[np.floating[Any]]:
        """Number type for sums."""
        return np.float64 if self.wide else np.float32

    def product(self, a: Array, b: Array) -> Array:
        """`a @ b`; with `wide` summed in float64 and rounded once."""
        if not self.wide:
            return a @ b
        made: Array = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
        return made

    def trace(self, layer: str, slot: str, values: Array) -> None:
        """Show values to the tracer, if there is one."""
        if self.tracer is not None:
            self.tracer(layer, slot, values)
