"""`lower-to-qnn`: from an `nn` program annotated with grids to integers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.layers import storage_consumer
from mohaq.compiler.analysis.storage import STORED_WIDTH, LayerGrids
from mohaq.compiler.analysis.table_form import form_of
from mohaq.compiler.context import MohaqContext, store
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import (
    GruOp,
    LayerOp,
    LiGruOp,
    LinearOp,
    LstmOp,
    QrnnOp,
    RnnOp,
    SruOp,
)
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import int_tensor, shape_of
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import (
    ENTRY,
    GRID_KEY,
    Program,
    argument_grids,
    result_grids,
)
from mohaq.passes.lowering.builder import Builder
from mohaq.passes.lowering.forms import require_integer_form
from mohaq.passes.lowering.gru import lower_gru
from mohaq.passes.lowering.linear import lower_linear
from mohaq.passes.lowering.loop import Surroundings
from mohaq.passes.lowering.lstm import lower_lstm
from mohaq.passes.lowering.qrnn import lower_qrnn
from mohaq.passes.lowering.rnn import lower_rnn
from mohaq.passes.lowering.sru import lower_sru

LAYER_KEY = "layer"
"""Attribute of lowered operations: the layer that they belong to, for reports."""


def lower_to_qnn(program: Program) -> Program:
    """Lower an annotated `nn` program; the input program is left alone.

    A layer's code depends on its own grids and on how its input is and its result will be held,
    on nothing else. The search relies on it: it lowers single layers and reuses them.

    Raises:
        MohaqError: a layer or argument has no grids (apply-assignment did not run), a scale
            ratio that no multiplier can express, or a form of a layer that integers do not have
            (`require_integer_form`).
    """
    for op in program.layers():
        require_integer_form(op)
    entry = program.entry
    for op in entry.body.block.ops:
        if not isinstance(op, (LayerOp, LoadOp, ReturnOp)):
            raise MohaqError(f"'{op.name}' has no integer lowering")
    grids_in, grids_out = argument_grids(entry), result_grids(entry)
    end = entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    stored = _stored_grids(program, end, grids_in, grids_out)

    block = Block(arg_types=[int_tensor(shape_of(arg), stored[arg].bits) for arg in entry.args])
    types_out = [int_tensor(shape_of(v), stored[v].bits) for v in end.operands]
    function = FuncOp(
        ENTRY,
        ([a.type for a in block.args], types_out),
        Region(block),
        arg_attrs=_attrs([stored[a] for a in entry.args]),
        res_attrs=_attrs([stored[v] for v in end.operands]),
    )
    module = ModuleOp([function])
    build = Builder(module, block, program.parameters, ParameterStore())
    values: dict[SSAValue, SSAValue] = dict(zip(entry.args, block.args, strict=True))
    for op in entry.body.block.ops:
        if isinstance(op, LayerOp):
            _lower(op, values, stored, build)
    block.add_op(ReturnOp(*(values[v] for v in end.operands)))
    return Program(module, build.integers)


def annotated_grids(program: Program) -> dict[str, LayerGrids]:
    """The grids of every layer of an annotated `nn` program, and how its borders are held.

    Raises:
        MohaqError: a layer or argument has no grids.
    """
    entry = program.entry
    end = entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    stored = _stored_grids(program, end, argument_grids(entry), result_grids(entry))
    found = {}
    for op in program.layers():
        before = stored.get(op.operands[0])
        if before is None:
            raise MohaqError(
                "the layer reads neither an input of the program nor a layer",
                where=f"layer '{op.label}'",
            )
        found[op.label] = LayerGrids(_held(_slots(op), before), before, stored[op.results[0]])
    return found


def _attrs(grids: Sequence[GridAttr]) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr([DictionaryAttr({GRID_KEY: g}) for g in grids])


def _slots(op: LayerOp) -> dict[str, GridAttr]:
    found = {
        s: g for s, g in (op.quant.data if op.quant else {}).items() if isinstance(g, GridAttr)
    }
    if missing := sorted(_needed(op) - set(found)):
        raise MohaqError(
            f"layer '{op.label}' has no grid for slot '{missing[0]}'",
            hint="run apply-assignment or uniform first",
        )
    return found


def _needed(op: LayerOp) -> set[str]:
    """Slots without which a layer cannot be lowered."""
    absent = {"bias", "output"} if isinstance(op, LinearOp) else {"bias"}
    absent |= {s for s in ("peephole", "projection") if getattr(op, s, None) is None}
    return {*op.SEARCHED_SLOTS, *op.FIXED_SLOTS} - absent


def _stored_grids(
    program: Program,
    end: ReturnOp,
    grids_in: Sequence[GridAttr | None],
    grids_out: Sequence[GridAttr | None],
) -> dict[SSAValue, GridAttr]:
    """How every value between layers is held (rule in analysis/storage.py)."""
    stored: dict[SSAValue, GridAttr] = {}
    for number, (arg, grid) in enumerate(zip(program.entry.args, grids_in, strict=True)):
        if grid is None:
            raise MohaqError(
                f"input {number} of the program has no grid",
                hint="run calibrate, then apply-assignment or uniform",
            )
        stored[arg] = grid
    for op in program.layers():
        slots = _slots(op)
        if isinstance(op, LinearOp):
            stored[op.result] = _linear_storage(op, end, grids_out, slots)
            continue
        if op.operands[0] not in stored:
            raise MohaqError(
                "the layer reads neither an input of the program nor a layer",
                where=f"layer '{op.label}'",
            )
        slots = _held(slots, stored[op.operands[0]])
        stored[op.results[0]] = slots.get("output", slots["state"])
        for slot, value in op.state_results().items():
            stored[value] = slots[slot]
    return stored


def _held(slots: dict[str, GridAttr], stored: GridAttr) -> dict[str, GridAttr]:
    """The grids with 16-bit operands of products read as they are held."""
    found = dict(slots)
    if found["input"].bits == STORED_WIDTH == stored.bits:
        found["input"] = stored
    if "hidden" in found and found["hidden"].bits == STORED_WIDTH:
        found["hidden"] = found.get("output", found["state"])
    return found


def _linear_storage(
    op: LayerOp, end: ReturnOp, grids_out: Sequence[GridAttr | None], slots: dict[str, GridAttr]
) -> GridAttr:
    consumer = storage_consumer(op.results[0])
    if consumer is not None:
        return _slots(consumer)["input"]
    for value, grid in zip(end.operands, grids_out, strict=True):
        if value is op.results[0] and grid is not None:
            return grid
    if "output" not in slots:
        raise MohaqError(f"layer '{op.label}' has no grid for its output")
    return slots["output"]


def _lower(
    op: LayerOp,
    values: dict[SSAValue, SSAValue],
    stored: dict[SSAValue, GridAttr],
    build: Builder,
) -> None:
    source = op.operands[0]
    slots = _held(_slots(op), stored[source])
    last = build.block.last_op
    build.form = form_of(op)
    if isinstance(op, LinearOp):
        values[op.result] = lower_linear(
            op, values[source], slots, stored[source], stored[op.result], build
        )
    else:
        for slot, value in op.state_operands().items():
            if stored[value] != slots[slot]:
                raise MohaqError(
                    "its initial state is held in the grid of another layer",
                    where=f"layer '{op.label}'",
                    why=f"slot '{slot}' has {slots[slot]}, the input {stored[value]}",
                    hint="give every layer an initial state of its own",
                )
        init = {slot: values[v] for slot, v in op.state_operands().items()}
        around = Surroundings(values[source], stored[source], init, slots, build)
        values.update(zip(op.results, _lower_recurrent(op, around), strict=True))
    made = build.block.first_op if last is None else last.next_op
    while made is not None:
        if not isinstance(made, LoadOp):
            made.attributes[LAYER_KEY] = op.op_name
        made = made.next_op


def _lower_recurrent(op: LayerOp, around: Surroundings) -> tuple[SSAValue, ...]:
    """One value for each result of the op."""
    match op:
        case SruOp():
            init = around.init.get("state")
            slots, stored_input = dict(around.grids), around.stored_input
            return lower_sru(op, around.x, init, slots, stored_input, around.build)
        case LstmOp():
            return lower_lstm(op, around)
        case GruOp():
            return lower_gru(op, around)
        case RnnOp() | LiGruOp():
            return lower_rnn(op, around)
        case QrnnOp():
            return lower_qrnn(op, around)
        case _:
            raise MohaqError(f"'{op.name}' has no integer lowering", where=f"layer '{op.label}'")


@dataclass(frozen=True)
class LowerToQnnPass(ModulePass):
    """Lower an nn program annotated with grids to the neutral integer dialect qnn.

    Quantizes the weights, proves every accumulator, derives the multipliers and writes the
    function tables into the program. Needs apply-assignment or uniform before it.
    """

    name: ClassVar[str] = "lower-to-qnn"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Replace the module's content and the context's parameters."""
        lowered = lower_to_qnn(Program(op, store(ctx)))
        replace_program(ctx, op, lowered)


def replace_program(ctx: Context, module: ModuleOp, program: Program) -> None:
    """Put another program's content into a module that a pass was given."""
    assert isinstance(ctx, MohaqContext)
    old = module.body.block
    for op in reversed(list(old.ops)):
        old.erase_op(op, safe_erase=False)
    new = program.module.body.block
    for op in list(new.ops):
        new.detach_op(op)
        old.add_op(op)
    held = ctx.parameters
    for name in list(held):
        del held[name]
    for name in program.parameters:
        held[name] = program.parameters[name]
