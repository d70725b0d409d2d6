"""`approximate-nonlinear`: how the functions of layers become tables, and what that costs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.functions import functions_of, is_bounded
from mohaq.compiler.analysis.table_form import FORM_KEY, TableForm, form_of
from mohaq.compiler.context import store
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.program import Program
from mohaq.passes.lowering.tables import largest_error


@dataclass(frozen=True)
class TableError:
    """A function of a layer as a table.

    Attributes:
        layer: name of the layer.
        function: the function with its parameters.
        form: how it is approximated.
        error: largest |table - function| over all 65,536 inputs.
    """

    layer: str
    function: str
    form: TableForm
    error: float

    def line(self) -> str:
        """One line of text."""
        return (
            f"{self.layer}: {self.function}, {self.form.kind} with {self.form.segments} segments: "
            f"largest error {self.error:.2g}"
        )


def table_errors(program: Program) -> list[TableError]:
    """The tables that an `nn` program's layers will have, in program order.

    Raises:
        MohaqError: a layer's annotation cannot be read.
    """
    found = []
    for op in program.layers():
        form = form_of(op)
        for function in functions_of(op):
            if is_bounded(function):
                text = ", ".join([function.kind, *(f"{v:g}" for v in function.values)])
                found.append(TableError(op.label, text, form, largest_error(function, form)))
    return found


def approximate_nonlinear(
    program: Program, form: TableForm, layers: tuple[str, ...] = ()
) -> list[TableError]:
    """Give layers a form of tables; gives the tables of these layers.

    Args:
        program: an `nn` program, changed in place.
        form: of the tables.
        layers: names; none means all with a function that becomes a table.

    Raises:
        MohaqError: no such layer, a layer without a table.
    """
    known = {op.label: op for op in program.layers()}
    for name in layers:
        if name not in known:
            raise MohaqError(f"no layer '{name}'", hint=did_you_mean(name, known))
        if not any(is_bounded(f) for f in functions_of(known[name])):
            raise MohaqError(f"layer '{name}' has no function that becomes a table")
    for op in known.values():
        if op.label in layers or (not layers and any(is_bounded(f) for f in functions_of(op))):
            op.attributes[FORM_KEY] = form.attribute
    return [e for e in table_errors(program) if not layers or e.layer in layers]


@dataclass(frozen=True)
class ApproximateNonlinearPass(ModulePass):
    """Choose how sigmoid, tanh and the like become tables, and print their largest errors.

    `kind` is pwl (lines between the ends of segments) or lut (one value a step); `segments` a
    power of two from 4 to 256; `layers` are names, all layers when left out. Without this pass
    tables are pwl with 256 segments. Bit Fusion runs no others.
    """

    name: ClassVar[str] = "approximate-nonlinear"
    kind: str = "pwl"
    segments: int = 256
    layers: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate the layers and report to standard error.

        Raises:
            MohaqError: as `TableForm` and `approximate_nonlinear`.
        """
        form = TableForm(self.kind, self.segments)
        for found in approximate_nonlinear(Program(op, store(ctx)), form, self.layers):
            print(found.line(), file=sys.stderr)
