"""`absorb-fake-quantize`: the grids of already quantized models become grids of layers' slots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, BlockArgument, SSAValue, Use
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from mohaq.compiler.context import store
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FakeQuantizeOp, LayerOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.program import Program

LEFT_KEY = "left"
"""Attribute of a fake quantization that stays: why."""

WEIGHTS = ("weight", "recurrent")
"""Operands that hold weights, each with a slot of its name."""

MOVEMENT = (
    nn.TransposeOp,
    nn.ReshapeOp,
    nn.UnsqueezeOp,
    nn.SqueezeOp,
    nn.SliceOp,
    nn.FlipOp,
)
"""Operations that only move elements: one grid for a tensor passes through them."""


@dataclass(frozen=True)
class Left:
    """A fake quantization that no slot can take."""

    where: str
    why: str


def absorb_fake_quantize(program: Program) -> list[Left]:
    """Turn `nn.fake_quantize` into `given`, `quant` and `calibration` of layers, in place.

    A weight's or an input's grid with one scale and no zero point (or the unsigned grid whose
    zero point lies in the middle, which is the same) becomes the grid of the slot, exactly:
    `given` and `quant` hold it, and `calibration` the clip scale (2^(w-1) - 1) from which
    `apply-assignment` and `uniform` make the same grid at this width. All others stay, with the
    reason in their attribute `left`.

    Returns:
        What stayed.
    """
    given: dict[LayerOp, dict[str, GridAttr]] = {}
    for op in program.layers():
        found = given.setdefault(op, {})
        for slot in WEIGHTS:
            value = getattr(op, slot, None)
            if slot in op.SEARCHED_SLOTS and isinstance(value, SSAValue):
                _absorb_weight(program, op, slot, value, found)
        grid = _grid_behind(program, op.operands[0])
        if grid is not None and "input" in op.SEARCHED_SLOTS:
            found["input"] = grid
    for op, slots in given.items():
        if slots:
            _annotate(op, slots)
    return _clean(program, given)


def _fake(value: SSAValue) -> FakeQuantizeOp | None:
    return value.owner if isinstance(value.owner, FakeQuantizeOp) else None


def _obstacle(program: Program, op: FakeQuantizeOp) -> str | None:
    """Why the grid is none that a slot can have; None if it is one."""
    scale = _data(program, op.scale)
    if scale is None:
        return "its scale is computed"
    if scale.size != 1:
        return f"it has {scale.size} scales, a slot has one"
    zero = 0
    if op.zero_point is not None:
        held = _data(program, op.zero_point)
        if held is None:
            return "its zero point is computed"
        zero = int(held.reshape(-1)[0])
    low, _ = op.limits
    width = op.width.value.data
    if low - zero != -(1 << (width - 1)):
        if isinstance(op.input, BlockArgument):
            return f"a zero point ({zero}) at a program's input is not supported yet"
        return f"its zero point is {zero}, a slot's is 0"
    return None


def _grid(program: Program, op: FakeQuantizeOp) -> GridAttr:
    scale = _data(program, op.scale)
    assert scale is not None
    return GridAttr.of(op.width.value.data, float(scale.reshape(-1)[0]))


def _data(program: Program, value: SSAValue) -> np.ndarray[tuple[int, ...], np.dtype] | None:
    owner = value.owner
    return program.parameters[owner.symbol] if isinstance(owner, LoadOp) else None


def _absorb_weight(
    program: Program, layer: LayerOp, slot: str, value: SSAValue, found: dict[str, GridAttr]
) -> None:
    op = _fake(value)
    if op is None or _obstacle(program, op) is not None:
        return
    load = op.input.owner
    if not isinstance(load, LoadOp):
        return
    grid = _grid(program, op)
    real = program.parameters[load.symbol]
    # The same arithmetic as `nn.fake_quantize`, so that values on the grid stay as they are.
    step = np.float32(grid.step)
    rounded = (np.clip(np.rint(real / step), grid.low, grid.high) * step).astype(np.float32)
    if not np.array_equal(rounded, real):
        loads = [o for o in program.module.walk() if isinstance(o, LoadOp)]
        if sum(o.symbol == load.symbol for o in loads) > 1 or len(list(load.result.uses)) > 1:
            return
        program.parameters[load.symbol] = rounded
        for declare in program.module.body.block.ops:
            if isinstance(declare, DeclareOp) and declare.sym_name.data == load.symbol:
                declare.attributes.pop("sha256", None)
    found[slot] = grid
    index = next(n for n, o in enumerate(layer.operands) if o is value)
    layer.operands[index] = load.result


def _grid_behind(program: Program, value: SSAValue) -> GridAttr | None:
    """Grid of a value that a fake quantization gives, directly or through moves."""
    while isinstance(value.owner, MOVEMENT):
        value = value.owner.operands[0]
    op = _fake(value)
    if op is None or isinstance(op.input.owner, LoadOp) or _obstacle(program, op) is not None:
        return None
    return _grid(program, op)


def _annotate(op: LayerOp, slots: dict[str, GridAttr]) -> None:
    clips = dict(op.calibration.data) if op.calibration else {}
    for slot, grid in slots.items():
        clips[slot] = ClipsAttr.of({**op.clips(slot), grid.bits: grid.step * grid.high})
    grids: dict[str, Attribute] = dict(slots)
    held = dict(op.quant.data) if op.quant else {}
    before = dict(op.given.data) if op.given else {}
    op.attributes["given"] = DictionaryAttr({**before, **grids})
    op.attributes["quant"] = DictionaryAttr({**held, **grids})
    op.attributes["calibration"] = DictionaryAttr(clips)


def _clean(program: Program, given: dict[LayerOp, dict[str, GridAttr]]) -> list[Left]:
    """Remove the fake quantizations that slots took over; say why the others stay."""
    left: list[Left] = []
    block = program.entry.body.block
    for op in [o for o in block.ops if isinstance(o, FakeQuantizeOp)]:
        why = _obstacle(program, op)
        if why is None:
            why = next((r for r in (_reader(u, given) for u in _leaves(op.result)) if r), None)
        if why is None:
            op.result.replace_all_uses_with(op.input)
            Rewriter.erase_op(op)
        else:
            op.attributes[LEFT_KEY] = StringAttr(why)
            left.append(Left(_place(op), why))
    _erase_unused_loads(program)
    return left


def _leaves(value: SSAValue) -> Iterator[Use]:
    """Uses of a value, seen through moves."""
    for use in value.uses:
        if isinstance(use.operation, MOVEMENT):
            yield from _leaves(use.operation.results[0])
        else:
            yield use


def _reader(use: Use, given: dict[LayerOp, dict[str, GridAttr]]) -> str | None:
    """Why this use still needs the rounding; None if a slot does it."""
    op = use.operation
    if isinstance(op, ReturnOp):
        return "it rounds a result of the program"
    if not isinstance(op, LayerOp):
        return f"its result is read by {op.name}, which has no slots"
    if use.index == 0 and "input" in given.get(op, {}):
        return None
    if any(getattr(op, slot, None) is op.operands[use.index] for slot in WEIGHTS):
        return f"the parameter of '{op.label}' is rounded here and read elsewhere as it is"
    return f"it is neither weight nor input of '{op.label}'"


def _place(op: FakeQuantizeOp) -> str:
    owner = op.scale.owner
    return f"parameter '{owner.symbol}'" if isinstance(owner, LoadOp) else op.name


def _erase_unused_loads(program: Program) -> None:
    block = program.entry.body.block
    gone: set[str] = set()
    for op in [o for o in block.ops if isinstance(o, LoadOp) and not list(o.result.uses)]:
        gone.add(op.symbol)
        Rewriter.erase_op(op)
    still = {o.symbol for o in program.module.walk() if isinstance(o, LoadOp)}
    for declare in list(program.module.body.block.ops):
        if isinstance(declare, DeclareOp) and declare.sym_name.data in gone - still:
            symbol = declare.sym_name.data
            Rewriter.erase_op(declare)
            del program.parameters[symbol]


@dataclass(frozen=True)
class AbsorbFakeQuantizePass(ModulePass):
    """Give layers the grids that an already quantized model came with.

    Options: strict = refuse a model of which any grid fits no slot; without it such grids stay
    as nn.fake_quantize with the reason in their attribute `left`.
    """

    name: ClassVar[str] = "absorb-fake-quantize"
    strict: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module.

        Raises:
            MohaqError: with `strict`, a grid that fits no slot.
        """
        left = absorb_fake_quantize(Program(op, store(ctx)))
        if self.strict and left:
            more = f"; {len(left) - 1} more" if len(left) > 1 else ""
            raise MohaqError(
                "a grid of the model fits no slot",
                where=left[0].where,
                why=f"{left[0].why}{more}",
                hint="quantize symmetrically, one scale for each tensor",
            )
