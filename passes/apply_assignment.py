"""`apply-assignment` and `uniform`: choose widths, write the grids into the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, BlockArgument, SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.storage import (
    CLIPS_KEY,
    STORED_WIDTH,
    CalibratedTable,
    LayerGrids,
    ScaleRule,
    calibrated_table,
)
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.context import option_file, store
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.program import GRID_KEY, Program

SCALES = ("dyadic", "power-of-two")
GRANULARITIES = ("per-channel", "per-tensor")


def apply_assignment(program: Program, widths: Mapping[Slot, int]) -> None:
    """Annotate a calibrated `nn` program in place with the grids of complete `widths`.

    Raises:
        MohaqError: not calibrated (at all, or not for these widths).
    """
    calibrated = calibrated_table(program)
    annotate(program, calibrated, calibrated.layer_grids(widths))


def annotate(
    program: Program, calibrated: CalibratedTable, grids: Mapping[str, LayerGrids]
) -> None:
    """Write `quant` on every layer and the grids of the entry's arguments and results."""
    for op in program.layers():
        op.attributes["quant"] = DictionaryAttr(dict(grids[op.label].slots))
    entry = program.entry
    held = entry.arg_attrs.data if entry.arg_attrs else (DictionaryAttr({}),) * len(entry.args)
    entry.properties["arg_attrs"] = ArrayAttr(
        [
            _with_grid(old, _argument_grid(arg, old, grids))
            for arg, old in zip(entry.args, held, strict=True)
        ]
    )
    end = entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    said = entry.res_attrs.data if entry.res_attrs else (DictionaryAttr({}),) * len(end.operands)
    entry.properties["res_attrs"] = ArrayAttr(
        [
            _with_grid(old, _result_grid(v, grids, calibrated))
            for v, old in zip(end.operands, said, strict=True)
        ]
    )


def _with_grid(old: DictionaryAttr, grid: GridAttr | None) -> DictionaryAttr:
    kept: dict[str, Attribute] = {k: v for k, v in old.data.items() if k != GRID_KEY}
    return DictionaryAttr(kept if grid is None else {**kept, GRID_KEY: grid})


def _argument_grid(
    arg: BlockArgument, old: DictionaryAttr, grids: Mapping[str, LayerGrids]
) -> GridAttr | None:
    for use in arg.uses:
        user = use.operation
        if isinstance(user, LayerOp):
            for slot, value in user.state_operands().items():
                if value is arg:
                    return grids[user.label].slots[slot]
            if user.operands[0] is arg:
                return grids[user.label].stored_input
    clips = old.data.get(CLIPS_KEY)
    if isinstance(clips, ClipsAttr):
        return GridAttr.from_clip(STORED_WIDTH, clips.clips()[STORED_WIDTH])
    return None


def _result_grid(
    value: SSAValue, grids: Mapping[str, LayerGrids], calibrated: CalibratedTable
) -> GridAttr:
    owner = value.owner
    if not isinstance(owner, LayerOp):
        raise MohaqError("a result of the program is computed by no layer")
    for slot, state in owner.state_results().items():
        if value is state:
            return grids[owner.label].slots[slot]
    if calibrated.table[owner.label].direct is not None:
        raise MohaqError(f"'{owner.label}' is a result and feeds a layer")  # pragma: no cover
    return grids[owner.label].stored_output


def scale_rule(scales: str, granularity: str) -> ScaleRule:
    """The rule that a backend states as `Legality.scale_kind` and `Legality.granularity`.

    Raises:
        MohaqError: no such scales or granularity.
    """
    for value, known in ((scales, SCALES), (granularity, GRANULARITIES)):
        if value not in known:
            raise MohaqError(f"no scales or granularity '{value}'", hint=did_you_mean(value, known))
    return ScaleRule(granularity == "per-channel", scales == "power-of-two")


def _run(ctx: Context, module: ModuleOp, assignment: Assignment, rule: ScaleRule) -> None:
    program = Program(module, store(ctx))
    free = calibrated_table(program)
    table = free.obeying({layer.name: rule for layer in free.table})
    annotate(program, table, table.layer_grids(assignment.complete(table.searched())))


@dataclass(frozen=True)
class ApplyAssignmentPass(ModulePass):
    """Write the grids that an assignment file asks for into a calibrated program.

    Options: file = the assignment (mohaq.assignment/1); relative paths start at the program;
    scales = dyadic | power-of-two and granularity = per-channel | per-tensor (of weights): what
    the target can take (docs/cli.md has a table).
    """

    name: ClassVar[str] = "apply-assignment"
    file: str
    scales: str = "dyadic"
    granularity: str = "per-channel"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate the module."""
        rule = scale_rule(self.scales, self.granularity)
        _run(ctx, op, Assignment.load(option_file(ctx, self.file)), rule)


@dataclass(frozen=True)
class UniformPass(ModulePass):
    """Give every searched slot of a calibrated program the same width.

    Options: bits = width of all weights and matrix inputs; scales and granularity as in
    apply-assignment.
    """

    name: ClassVar[str] = "uniform"
    bits: int = 8
    scales: str = "dyadic"
    granularity: str = "per-channel"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate the module."""
        rule = scale_rule(self.scales, self.granularity)
        _run(ctx, op, Assignment.uniform(self.bits), rule)
