"""`absorb-fake-quantize`: the grids of already quantized models become grids of layers' slots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, DictionaryAttr, ModuleOp, StringAttr, i32
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, Operation, SSAValue, Use
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from mohaq.compiler.context import store
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FakeQuantizeOp, LayerOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.program import Program

Floats = npt.NDArray[np.float32]

SEGMENTS = "operandSegmentSizes"

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

    The grid of a layer's input (one scale, any zero point) and of a weight (one scale, or one
    for each row; no zero point) becomes the grid of the slot, exactly: `given` and `quant` hold
    it, and `apply-assignment` and `uniform` take it at its width. An unsigned grid is the signed
    one with the zero point moved by 2^(w-1). All others stay, with the reason in their attribute
    `left`.

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
        if grid is not None and _input_obstacle(op, grid) is None:
            found["input"] = grid
    left = _clean(program, given)
    for op, slots in given.items():
        if slots:
            _annotate(op, slots)
        if "input" in slots and slots["input"].zero and getattr(op, "bias", None) is None:
            _give_bias(program, op)
    return left


def _fake(value: SSAValue) -> FakeQuantizeOp | None:
    return value.owner if isinstance(value.owner, FakeQuantizeOp) else None


def _obstacle(program: Program, op: FakeQuantizeOp) -> str | None:
    """Why no slot can have the grid; None if one can."""
    scale = _data(program, op.scale)
    if scale is None:
        return "its scale is computed"
    if op.zero_point is not None and _data(program, op.zero_point) is None:
        return "its zero point is computed"
    weight = isinstance(op.input.owner, LoadOp)
    if scale.size != 1 and not weight:
        return f"it has {scale.size} scales, an input has one"
    if scale.size != 1 and op.axis.value.data == len(shape_of(op.input)) - 1:
        return "it has a scale for each column of a weight, a slot has one for each row"
    zero = _zero(program, op)
    if weight and zero:
        return f"its zero point is {zero}, that of a weight's slot is 0"
    return None


def _zero(program: Program, op: FakeQuantizeOp) -> int:
    """Zero point as the signed grid of the same width has it; of many, the one farthest from 0."""
    low, _ = op.limits
    held = None if op.zero_point is None else _data(program, op.zero_point)
    zeros = np.zeros(1, np.int64) if held is None else held.reshape(-1).astype(np.int64)
    moved = zeros - low - (1 << (op.width.value.data - 1))
    return int(moved[np.abs(moved).argmax()])


def _grid(program: Program, op: FakeQuantizeOp) -> GridAttr:
    """The grid with its largest scale."""
    scale = _data(program, op.scale)
    assert scale is not None
    return GridAttr.of(op.width.value.data, float(scale.max()), zero=_zero(program, op))


def _input_obstacle(op: LayerOp, grid: GridAttr) -> str | None:
    """Why a layer cannot read its input in this grid; None if it can."""
    if "input" not in op.SEARCHED_SLOTS:
        return f"it is neither weight nor input of '{op.label}'"
    if grid.zero and isinstance(op, nn.QrnnOp) and op.window == 2:
        return f"the window of '{op.label}' starts with zeros, which its zero point moves"
    return None


def _data(program: Program, value: SSAValue) -> npt.NDArray[Any] | None:
    owner = value.owner
    return program.parameters[owner.symbol] if isinstance(owner, LoadOp) else None


def _absorb_weight(
    program: Program, layer: LayerOp, slot: str, value: SSAValue, found: dict[str, GridAttr]
) -> None:
    shape = shape_of(value)
    op = _fake(value.owner.input if isinstance(value.owner, nn.ReshapeOp) else value)
    if op is None or _obstacle(program, op) is not None:
        return
    load, scale = op.input.owner, _data(program, op.scale)
    if not isinstance(load, LoadOp) or scale is None:
        return
    steps = _row_steps(op, scale, shape)
    if steps is None:
        return
    grid = _grid(program, op)
    real = program.parameters[load.symbol]
    # The same arithmetic as `nn.fake_quantize`, so that values on the grid stay as they are.
    step = (
        scale
        if scale.size == 1
        else scale.reshape([scale.size if n == op.axis.value.data else 1 for n in range(real.ndim)])
    )
    rounded = (np.clip(np.rint(real / step), grid.low, grid.high) * step).astype(np.float32)
    index = next(n for n, o in enumerate(layer.operands) if o is value)
    if np.array_equal(rounded, real) and real.shape == shape:
        layer.operands[index] = load.result
    else:
        _give(program, layer, index, load, rounded.reshape(shape))
    if scale.size > 1:
        name, _ = program.declare(f"{load.symbol}.steps{grid.bits}", steps)
        grid = GridAttr.of(grid.bits, grid.step, rows=name)
    found[slot] = grid


def _give(program: Program, layer: LayerOp, index: int, load: LoadOp, values: Floats) -> None:
    """Let an operand read other values, under the parameter's name unless others read that."""
    loads = [o for o in program.module.walk() if isinstance(o, LoadOp) and o.symbol == load.symbol]
    path, value = list[SSAValue]([load.result]), layer.operands[index]
    while value is not load.result:
        path.append(value)
        value = value.owner.operands[0] if isinstance(value.owner, Operation) else load.result
    sole = len(loads) == 1 and all(len(list(v.uses)) == 1 for v in path)
    if sole:
        Rewriter.erase_op(program.declared()[load.symbol])
        del program.parameters[load.symbol]
    name, kind = program.declare(load.symbol, values)
    fresh = LoadOp(name, kind)
    fresh.result.name_hint = load.result.name_hint
    Rewriter.insert_op(fresh, InsertPoint.before(load))
    layer.operands[index] = fresh.result
    for old in (*path[1:], path[0]) if sole else ():
        assert isinstance(old.owner, Operation)
        Rewriter.erase_op(old.owner)


def _row_steps(op: FakeQuantizeOp, scale: Floats, shape: Sequence[int]) -> Floats | None:
    """Step of every row [N] of a weight [..., K] that is held like `op`'s or reshaped."""
    held = shape_of(op.input)
    if held[-1] != shape[-1]:
        return None
    if scale.size == 1:
        return np.full(math.prod(shape[:-1]), scale.reshape(-1)[0], dtype=np.float32)
    axis = op.axis.value.data
    lead = [scale.size if n == axis else 1 for n in range(len(held) - 1)]
    return np.broadcast_to(scale.reshape(lead), held[:-1]).reshape(-1).astype(np.float32)


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


def _give_bias(program: Program, op: LayerOp) -> None:
    """A bias of zeros for a layer without one: the input's zero point is folded into it."""
    weight = op.operands[1]
    extent = shape_of(weight)[: 1 if isinstance(op, nn.LinearOp) else 3]
    name, kind = program.declare(f"{op.label}.bias", np.zeros(extent, dtype=np.float32))
    load = LoadOp(name, kind)
    definitions = [name for name, _ in type(op).get_irdl_definition().operands]
    before = definitions[: definitions.index("bias")]
    place = sum(isinstance(getattr(op, n), SSAValue) for n in before)
    operands = [*op.operands[:place], load.result, *op.operands[place:]]
    properties = dict(op.properties)
    segments = properties.get(SEGMENTS)
    if isinstance(segments, DenseArrayBase):
        sizes = [int(n) for n in segments.get_values()]
        sizes[len(before)] = 1
        properties[SEGMENTS] = DenseArrayBase.from_list(i32, sizes)
    made = type(op).create(
        operands=operands,
        result_types=[r.type for r in op.results],
        attributes=dict(op.attributes),
        properties=properties,
    )
    Rewriter.insert_op(load, InsertPoint.before(op))
    Rewriter.replace_op(op, made)


def _clean(program: Program, given: dict[LayerOp, dict[str, GridAttr]]) -> list[Left]:
    """Remove the fake quantizations that slots took over; say why the others stay."""
    left: list[Left] = []
    block = program.entry.body.block
    for op in [o for o in block.ops if isinstance(o, FakeQuantizeOp)]:
        why = _obstacle(program, op)
        if why is None:
            grid = _grid(program, op)
            reasons = (_reader(use, given, grid) for use in _leaves(op.result))
            why = next((reason for reason in reasons if reason), None)
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


def _reader(use: Use, given: dict[LayerOp, dict[str, GridAttr]], grid: GridAttr) -> str | None:
    """Why this use still needs the rounding; None if a slot does it."""
    op = use.operation
    if isinstance(op, ReturnOp):
        return "it rounds a result of the program"
    if not isinstance(op, LayerOp):
        return f"its result is read by {op.name}, which has no slots"
    if use.index == 0:
        if "input" in given.get(op, {}):
            return None
        return _input_obstacle(op, grid) or f"'{op.label}' reads it in another way"
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
                hint="weights: symmetric, one scale for each tensor or row; inputs: one scale",
            )
