"""`param`: parameters are symbols; their data lie beside the program (DESIGN D2)."""

from __future__ import annotations

from xdsl.dialects.builtin import (
    FlatSymbolRefAttrConstr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
)
from xdsl.ir import Attribute, Dialect
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    opt_attr_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure, SymbolOpInterface, SymbolTable
from xdsl.utils.exceptions import VerifyException


@irdl_op_definition
class DeclareOp(IRDLOperation):
    """A parameter of the program: name, type and the hash of its data.

    `sha256` is the hash of the row-major little-endian bytes; the loader checks it.
    """

    name = "param.declare"
    sym_name = prop_def(SymbolNameConstraint())
    type = prop_def(TensorType)
    sha256 = opt_attr_def(StringAttr)

    traits = traits_def(SymbolOpInterface())

    assembly_format = "$sym_name `:` $type attr-dict"

    def __init__(self, name: str, kind: TensorType[Attribute], sha256: str | None = None) -> None:
        super().__init__(
            properties={"sym_name": StringAttr(name), "type": kind},
            attributes={"sha256": StringAttr(sha256)} if sha256 else {},
        )


@irdl_op_definition
class LoadOp(IRDLOperation):
    """The value of a declared parameter."""

    name = "param.load"
    param = attr_def(FlatSymbolRefAttrConstr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())

    assembly_format = "$param attr-dict `:` type($result)"

    def __init__(self, name: str, kind: TensorType[Attribute]) -> None:
        super().__init__(attributes={"param": SymbolRefAttr(name)}, result_types=[kind])

    @property
    def symbol(self) -> str:
        """Name of the parameter."""
        return self.param.root_reference.data

    def verify_(self) -> None:
        declared = SymbolTable.lookup_symbol(self, self.param)
        if declared is None:
            # A function under construction has no module yet.
            if self.get_toplevel_object().__class__.__name__ == "ModuleOp":
                raise VerifyException(f"parameter '{self.symbol}' is not declared")
            return
        if not isinstance(declared, DeclareOp):
            raise VerifyException(f"'{self.symbol}' is not a parameter")
        if declared.type != self.result.type:
            raise VerifyException(
                f"parameter '{self.symbol}' is declared as {declared.type}, "
                f"loaded as {self.result.type}"
            )


Param = Dialect("param", [DeclareOp, LoadOp], [])
