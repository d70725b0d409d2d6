"""Building `nn` programs layer by layer; the importers and the tests use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp, LinearOp, SruOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, float_tensor, index_tensor
from mohaq.compiler.parameters import ParameterStore, tensor_type
from mohaq.compiler.program import ENTRY, NAME_KEY, Program


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
        self._names: list[str | None] = []

    def sequence(self, features: int, *, name: str | None = None) -> SSAValue:
        """A program input [T, B, features]."""
        return self.argument([DYNAMIC, DYNAMIC, features], name=name)

    def state(self, directions: int, hidden: int, *, name: str | None = None) -> SSAValue:
        """An initial state [D, B, H] as a program input."""
        return self.argument([directions, DYNAMIC, hidden], name=name)

    def argument(
        self, shape: Sequence[int], *, name: str | None = None, indices: bool = False
    ) -> SSAValue:
        """A program input of any shape, float32 or (`indices`) si64.

        Args:
            shape: with `DYNAMIC` for symbolic extents.
            name: of the input in the user's model; kept as `nn.name`.
            indices: token numbers or sequence lengths instead of real values.
        """
        kind = index_tensor(shape) if indices else float_tensor(shape)
        self._names.append(name)
        return self._block.insert_arg(kind, len(self._block.args))

    @property
    def arguments(self) -> tuple[SSAValue, ...]:
        """The program's inputs so far."""
        return tuple(self._block.args)

    def add(self, op: Operation) -> SSAValue:
        """Append any `nn` operation; gives its first result.

        Raises:
            MohaqError: the operation does not verify (wrong sizes, unknown kind).
        """
        try:
            op.verify()
        except VerifyException as error:
            where = f"layer '{op.label}'" if isinstance(op, LayerOp) else f"'{op.name}'"
            raise MohaqError("sizes or options do not fit", where=where, why=str(error)) from None
        self._block.add_op(op)
        return op.results[0]

    def indices(self, name: str, values: npt.NDArray[Any]) -> SSAValue:
        """A named parameter of 64-bit integers (constant lengths or token numbers)."""
        return self._load(name, np.asarray(values, dtype=np.int64, order="C"))

    def parameter(self, name: str, values: npt.NDArray[Any]) -> SSAValue:
        """A named parameter; loading the same name again gives the same value.

        Raises:
            MohaqError: the name is taken by other data, or the data hold NaN.
        """
        array = np.asarray(values, dtype=np.float32, order="C")
        if not np.isfinite(array).all():
            raise MohaqError("the weights hold NaN or infinity", where=f"parameter '{name}'")
        return self._load(name, array)

    def _load(self, name: str, array: npt.NDArray[Any]) -> SSAValue:
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

    def data(self, name: str) -> npt.NDArray[Any]:
        """Data of a parameter that was declared."""
        return self._parameters[name]

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
        return self.add(LinearOp(name, x, w, b))

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
        self.add(op)
        return op.result, op.final_state

    def finish(self, results: list[SSAValue], names: Sequence[str | None] = ()) -> Program:
        """Close the function; gives the verified program.

        Args:
            results: what the program returns.
            names: of the results in the user's model, if it has any; kept as `nn.name`.
        """
        self._block.add_op(ReturnOp(*results))
        function = FuncOp(
            ENTRY,
            ([a.type for a in self._block.args], [r.type for r in results]),
            Region(self._block),
            arg_attrs=_named(self._names),
            res_attrs=_named(names),
        )
        program = Program(ModuleOp([*self._declared.values(), function]), self._parameters)
        program.verify()
        return program


def _named(names: Sequence[str | None]) -> ArrayAttr[DictionaryAttr] | None:
    if not any(names):
        return None
    return ArrayAttr([DictionaryAttr({NAME_KEY: StringAttr(n)} if n else {}) for n in names])
