"""Scales of single channels that move into or out of a layer without changing the function.

Out: the result's channel n is divided by s[n] > 0. A cell allows that when its state is the
result and everything that follows it there is homogeneous, f(x / s) = f(x) / s; the recurrent
products then multiply what they read by s. In: column n of every matrix that reads the input is
multiplied by s[n].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.program import Program
from mohaq.passes.operands import parameter_of

Wide = npt.NDArray[np.float64]

HOMOGENEOUS = ("relu", "leaky_relu", "identity")
"""Functions of a cell with f(x / s) = f(x) / s for every s > 0."""

BETWEEN = (*HOMOGENEOUS, "abs")
"""Functions between layers with the same property."""

SCALED = ("weight", "recurrent", "bias", "vector", "projection")
"""Operands that scales may move into."""


class Scales:
    """The parameters of a layer in float64, and what scales did to them."""

    def __init__(self, program: Program, op: LayerOp) -> None:
        self.op = op
        self._before: dict[str, Wide] = {}
        self._computed: list[str] = []
        for slot in SCALED:
            if isinstance(getattr(op, slot, None), SSAValue):
                data = parameter_of(program, op, slot)
                if data is None:
                    self._computed.append(slot)
                else:
                    self._before[slot] = data.astype(np.float64)
        self._now = {slot: values.copy() for slot, values in self._before.items()}

    def changed(self) -> Sequence[tuple[str, Wide]]:
        """Operands with other values than before."""
        return [(s, v) for s, v in self._now.items() if not np.array_equal(v, self._before[s])]

    def obstacle(self) -> str | None:
        """Why no scale can move at all; None if it can."""
        if self._computed:
            return f"its {self._computed[0]} is computed"
        return "it came with grids of its own" if self.op.given else None

    def inward_obstacle(self) -> str | None:
        """Why no scale can move into what reads the input."""
        op = self.op
        if isinstance(op, nn.SruOp) and op.skip.data == "identity":
            return f"the skip of '{op.label}' adds its input"
        if isinstance(op, nn.QrnnOp) and _carried(op.initial_input, op.final_input):
            return f"'{op.label}' carries its input as a state"
        if not isinstance(op, (nn.LinearOp, nn.RecurrentOp)):
            return f"'{op.label}' is a {op.name}"
        return None if (why := self.obstacle()) is None else f"'{op.label}': {why}"

    def outward_obstacle(self) -> str | None:
        """Why no scale can move out of the result."""
        op, why, carried = self.op, None, False
        match op:
            case nn.LinearOp():
                pass
            case nn.RnnOp():
                why, carried = _cell(op, 0), _carried(op.initial_state, op.final_state)
            case nn.LiGruOp():
                why, carried = _cell(op, 1), _carried(op.initial_state, op.final_state)
                if op.norm is not None:
                    why = "its batch normalization is not folded"
            case nn.LstmOp():
                why = None if op.projection is not None else "its h is bounded by a function"
                carried = _carried(op.initial_h, op.final_h)
            case nn.SruOp():
                carried = _carried(op.initial_state, op.final_state)
                if op.skip.data == "identity":
                    why = "its skip adds the input"
                elif op.activation.data not in HOMOGENEOUS:
                    why = f"it has the function {op.activation.data}"
            case nn.GruOp() | nn.QrnnOp():
                why = "its result is bounded by functions"
            case _:
                why = f"scales cannot move out of a {op.name}"
        if why is None and carried:
            why = "its state is an input or result of the program"
        return why or self.obstacle()

    def output_range(self) -> Wide:
        """Largest weight [C] behind every channel of the result."""
        op, weight = self.op, self._now["weight"]
        if isinstance(op, nn.LstmOp):
            weight = self._now["projection"]  # [D, P, H]
        elif isinstance(op, nn.LiGruOp):
            weight = weight[:, 1]
        elif isinstance(op, nn.RnnOp):
            weight = weight[:, 0]
        elif isinstance(op, nn.SruOp):
            weight = weight[:, [0, 3] if op.skip.data == "projected" else [0]].transpose(0, 2, 1, 3)
            weight = weight.reshape(*weight.shape[:2], -1)
        found: Wide = np.abs(weight).max(axis=-1).reshape(-1)
        return found

    def input_range(self) -> Wide:
        """Largest weight [I] that multiplies every channel of the input."""
        weight = self._now["weight"]
        found: Wide = np.abs(weight).reshape(-1, weight.shape[-1]).max(axis=0)
        return found

    def divide_outputs(self, s: Wide) -> None:
        """Let every channel of the result be divided by s [C]."""
        op, now = self.op, self._now
        if isinstance(op, nn.LinearOp):
            now["weight"] /= s[:, None]
            if "bias" in now:
                now["bias"] /= s
            return
        assert isinstance(op, nn.RecurrentOp)
        each = s.reshape(op.directions, -1)  # [D, H], or [D, P] with projection
        if isinstance(op, nn.LstmOp):
            now["projection"] /= each[:, :, None]
        elif isinstance(op, nn.SruOp):
            now["weight"][:, 0] /= each[:, :, None]
            if op.skip.data == "projected":
                now["weight"][:, 3] /= each[:, :, None]
            now["vector"] *= each[:, None]
        else:
            row = 1 if isinstance(op, nn.LiGruOp) else 0
            for slot in ("weight", "recurrent"):
                now[slot][:, row] /= each[:, :, None]
            if "bias" in now:
                now["bias"][:, row] /= each
        if "recurrent" in now:
            now["recurrent"] *= each[:, None, None, :]

    def multiply_inputs(self, s: Wide) -> None:
        """Make up for an input of which every channel was divided by s [I]."""
        self._now["weight"] *= s


def _cell(op: nn.RnnOp | nn.LiGruOp, place: int) -> str | None:
    """Why a cell whose function at this place makes its state is not homogeneous."""
    for d in range(op.directions):
        kind = op.functions(d)[place].kind
        if kind not in HOMOGENEOUS:
            return f"it has the function {kind}"
    return "its sums are clipped" if op.limit is not None else None


def _carried(initial: SSAValue | None, final: SSAValue) -> bool:
    """Whether a state comes from outside or goes there."""
    return initial is not None or bool(list(final.uses))
