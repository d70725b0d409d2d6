"""Which forms of the recurrent layers have an integer lowering."""

from __future__ import annotations

from xdsl.ir import BlockArgument

from mohaq.compiler.analysis.functions import EXACT, TABLED, is_bounded, is_exact
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import CellOp, FunctionAttr, LayerOp, LiGruOp
from mohaq.compiler.dialects.types import shape_of

GATES = {"gate"}
"""Roles whose results are factors in Q0.15."""


def require_integer_form(op: LayerOp) -> None:
    """Check that integers can express this form of a layer.

    Raises:
        MohaqError: lengths, an unfolded normalization, a function without a bounded table,
            initial states that are no inputs of the program or that stand for all sequences.
    """
    where = f"layer '{op.label}'"
    if isinstance(op, CellOp):
        if getattr(op, "lengths", None) is not None:
            raise MohaqError(
                "lengths of sequences have no integer form",
                where=where,
                why="the recurrence of an integer program runs over all steps it is given",
                hint="run each sequence at its own length, without lengths",
            )
        for d in range(op.directions):
            for role, function in zip(op.ROLES, op.functions(d), strict=True):
                _require_function(where, role, function)
    if isinstance(op, LiGruOp) and op.norm is not None:
        raise MohaqError(
            "the batch normalization must be part of the weights before quantization",
            where=where,
            hint="run the pass fold-batchnorm before calibrate",
        )
    states = op.state_operands()
    for value in states.values():
        batch, given = shape_of(op.operands[0])[1:2], shape_of(value)[1:2]
        if not isinstance(value, BlockArgument):
            raise MohaqError(
                "initial states must be inputs of an integer program",
                where=where,
                hint="pass the state at run time, or leave it out to start at zero",
            )
        if batch != given:
            raise MohaqError(
                "its initial state stands for all sequences of a batch",
                where=where,
                why="integer programs need one state for each sequence",
                hint="give the state the batch extent of the input",
            )
    wanted = set(op.state_results())
    if isinstance(op, CellOp) and states and set(states) != wanted:
        raise MohaqError(
            "either all initial states of a layer are given or none",
            where=where,
            why=f"given: {', '.join(states)}; needed: {', '.join(sorted(wanted))}",
        )


def _require_function(where: str, role: str, function: FunctionAttr) -> None:
    gate = role in GATES
    if is_bounded(function) or (is_exact(function) and not gate):
        return
    if gate:
        why = "gates are factors in Q0.15, so results must stay within [-1, 1]"
    else:
        why = "its results have no bound for a table, and it is not exact on a grid"
    known = ", ".join(TABLED if gate else (*TABLED, *EXACT))
    raise MohaqError(
        f"the {role} function '{function.kind}' has no integer form",
        where=where,
        why=why,
        hint=f"known here: {known}",
    )
