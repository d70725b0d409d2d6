"""Building `nn` programs layer by layer; the importers and the tests use it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LinearOp, SruOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, float_tensor
from mohaq.compiler.parameters import ParameterStore, tensor_type
from mohaq.compiler.program import ENTRY, Program


class Network:
    """A program under construction.

    Example:
        net = Network()
        x = net.sequence(23)
        h, _ = net.sru("l0", x, weight, vector, bias, direction="bidirectional")
        program = net.finish([net.linear("fc", h, w, b)])
    """

    def __init__(self) -> None:
        self._block = Block()
        self._declared: dict[str, DeclareOp] = {}
        self._loaded: dict[str, SSAValue] = {}
        self._parameters = ParameterStore()

    def sequence(self, features: int) -> SSAValue:
        """A program input [T, B, features]."""
        return self._argument([DYNAMIC, DYNAMIC, features])

    def state(self, directions: int, hidden: int) -> SSAValue:
        """An initial state [D, B, H] as a program input."""
        return self._argument([directions, DYNAMIC, hidden])

    def _argument(self, shape: list[int]) -> SSAValue:
        return self._block.insert_arg(float_tensor(shape), len(self._block.args))

    def parameter(self, name: str, values: npt.NDArray[Any]) -> SSAValue:
        """A named parameter; loading the same name again gives the same value.

        Raises:
            MohaqError: the name is taken by other data, or the data hold NaN.
        """
        array = np.ascontiguousarray(values, dtype=np.float32)
        if not np.isfinite(array).all():
            raise MohaqError("the weights hold NaN or infinity", where=f"parameter '{name}'")
        if name in self._loaded:
            if not np.array_equal(self._parameters[name], array):
                raise MohaqError(f"two parameters are called '{name}'")
            return self._loaded[name]
        kind = tensor_type(array)
        self._parameters[name] = array
        self._declared[name] = DeclareOp(name, kind)
        load = LoadOp(name, kind)
        self._block.add_op(load)
        self._loaded[name] = load.result
        return load.result

    def linear(
        self,
        name: str,
        x: SSAValue,
        weight: npt.NDArray[Any],
        bias: npt.NDArray[Any] | None = None,
    ) -> SSAValue:
        """A linear layer; weight [N, K], bias [N]."""
        w = self.parameter(f"{name}.weight", weight)
        b = None if bias is None else self.parameter(f"{name}.bias", bias)
        op = LinearOp(name, x, w, b)
        self._block.add_op(op)
        return op.result

    def sru(
        self,
        name: str,
        x: SSAValue,
        weight: npt.NDArray[Any],
        vector: npt.NDArray[Any],
        bias: npt.NDArray[Any],
        initial_state: SSAValue | None = None,
        *,
        direction: str = "forward",
        skip: str = "none",
        skip_scale: float = 1.0,
        activation: str = "identity",
    ) -> tuple[SSAValue, SSAValue]:
        """An SRU layer (shapes: `nn.sru`); gives (result, final state)."""
        op = SruOp(
            name,
            x,
            self.parameter(f"{name}.weight", weight),
            self.parameter(f"{name}.vector", vector),
            self.parameter(f"{name}.bias", bias),
            initial_state,
            direction=direction,
            skip=skip,
            skip_scale=skip_scale,
            activation=activation,
        )
        self._block.add_op(op)
        return op.result, op.final_state

    def finish(self, results: list[SSAValue]) -> Program:
        """Close the function; gives the verified program."""
        self._block.add_op(ReturnOp(*results))
        function = FuncOp(
            ENTRY,
            ([a.type for a in self._block.args], [r.type for r in results]),
            Region(self._block),
        )
        program = Program(ModuleOp([*self._declared.values(), function]), self._parameters)
        program.verify()
        return program
