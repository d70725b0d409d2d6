"""Operators that move elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC, element_of, shape_of
from mohaq.compiler.frontends.extents import reshape_of
from mohaq.compiler.frontends.onnx.convert import (
    GraphImporter,
    GridConstant,
    Held,
    Node,
    Spread,
    converts,
    whole,
)
from mohaq.compiler.frontends.onnx.sizes import as_sizes, numbers, rank_of, sizes_of


@converts("Identity", "Dropout", to="nothing")
def identity(work: GraphImporter, node: Node) -> list[Held]:
    """The value itself; dropout does nothing at inference."""
    if node.kind == "Dropout":
        if len([o for o in node.outputs if o]) > 1:
            raise node.refuse("its mask is used")
        if node.given(2) and work.constant(node, 2, "training_mode").any():
            raise node.refuse("it is in training mode", "export the model for inference")
    return [work.held(node, 0)]


@converts("Transpose", to="nn.transpose")
def transpose(work: GraphImporter, node: Node) -> Held:
    """Any permutation; reversed order by default."""
    held = work.held(node, 0)
    order = node.get("perm") or list(reversed(range(rank_of(held))))
    if isinstance(held, GridConstant):
        from mohaq.compiler.frontends.onnx.quantized import turned

        return turned(held, order)
    return work.add(node, nn.TransposeOp(work.tensor(node, 0), order))


@converts("Reshape", to="nn.reshape")
def reshape(work: GraphImporter, node: Node) -> Held:
    """To constant sizes, or to sizes taken from tensors."""
    held = work.held(node, 0)
    if "shape" in node:
        wanted: list[Any] = list(node.get("shape"))
    else:
        target = work.held(node, 1)
        if not isinstance(target, np.ndarray):
            raise node.refuse("its sizes are computed from data")
        wanted = [w if whole(w) is None else whole(w) for w in target.reshape(-1).tolist()]
    if isinstance(held, np.ndarray) and held.dtype == object:
        return held.reshape([int(w) for w in wanted])
    value = work.tensor(node, 0)
    if node.get("allowzero", 0) and 0 in wanted:
        raise node.refuse("it makes an empty tensor")
    have = work.extents.of(value)
    wanted = [have[n] if w == 0 and n < len(have) else w for n, w in enumerate(wanted)]
    made = reshape_of(value, wanted, work.extents, work.net.arguments, lambda a, b: bool(a == b))
    if made is None:
        raise node.refuse(
            f"it gives {[str(w) for w in wanted]}: no value at hand has these symbolic extents "
            f"(its input is {[str(h) for h in have]})",
            "an export with a fixed batch size",
        )
    return work.add(node, made)


@converts("Flatten", to="nn.reshape")
def flatten(work: GraphImporter, node: Node) -> Held:
    """Two extents: before `axis` and from it on."""
    x = work.tensor(node, 0)
    rank = len(shape_of(x))
    axis = int(node.get("axis", 1))
    axis += rank if axis < 0 else 0
    if axis == 0:
        return work.add(node, nn.ReshapeOp(x, (1, -1)))
    if axis == 1:
        return work.add(node, nn.ReshapeOp(x, (0, -1)))
    inner = shape_of(x)[axis:]
    if DYNAMIC in inner:
        raise node.refuse("it joins several symbolic extents on both sides")
    return work.add(node, nn.ReshapeOp(x, (-1, int(np.prod(inner)))))


@converts("Squeeze", to="nn.squeeze")
def squeeze(work: GraphImporter, node: Node) -> Held:
    """Axes as attribute or input; all known extents of 1 when there are none."""
    axes = numbers(work, node, "axes", 1)
    held = work.held(node, 0)
    if axes is None:
        axes = [n for n, s in enumerate(sizes_of(work, node, held)) if whole(s) == 1]
    axes = [a % max(rank_of(held), 1) for a in axes]
    if isinstance(held, np.ndarray):
        return np.squeeze(held, tuple(axes))
    if isinstance(held, Spread) and isinstance(held.value, np.ndarray):
        rest = tuple(s for n, s in enumerate(held.extents) if n not in axes)
        return Spread(np.squeeze(held.value, tuple(axes)), rest)
    return work.add(node, nn.SqueezeOp(work.tensor(node, 0), axes)) if axes else held


@converts("Unsqueeze", to="nn.unsqueeze")
def unsqueeze(work: GraphImporter, node: Node) -> Held:
    """Axes as attribute or input."""
    axes = numbers(work, node, "axes", 1)
    if axes is None:
        raise node.refuse("it has no axes")
    held = work.held(node, 0)
    rank = rank_of(held) + len(axes)
    axes = sorted(a % rank for a in axes)
    if isinstance(held, np.ndarray):
        return np.expand_dims(held, tuple(axes))
    if isinstance(held, Spread):
        rest = iter(held.extents)
        grown = tuple(1 if n in axes else next(rest) for n in range(rank))
        if isinstance(held.value, np.ndarray):
            return Spread(np.expand_dims(held.value, tuple(axes)), grown)
        return Spread(work.add(node, nn.UnsqueezeOp(held.value, axes)), grown)
    return work.add(node, nn.UnsqueezeOp(work.tensor(node, 0), axes))


@converts("Concat", to="nn.concat")
def concat(work: GraphImporter, node: Node) -> Held:
    """Of tensors, or of sizes."""
    held = [work.held(node, n) for n in range(len(node.inputs))]
    axis = int(node.get("axis", 1))
    if all(isinstance(h, np.ndarray) for h in held):
        return as_sizes(np.concatenate([h.astype(object) for h in held], axis=axis))
    whole_one = next((h for h in held if isinstance(h, SSAValue)), None)
    if whole_one is not None and any(isinstance(h, Spread) for h in held):
        return _beside(work, node, held, axis % len(shape_of(whole_one)))
    parts = [work.tensor(node, n) for n in range(len(held))]
    return parts[0] if len(parts) == 1 else work.add(node, nn.ConcatOp(parts, axis))


def _beside(work: GraphImporter, node: Node, held: list[Held], axis: int) -> Held:
    """Tensors repeated to the sizes of their neighbours; zeros at one end are padding."""
    one = next(h for h in held if isinstance(h, SSAValue))
    sizes = work.extents.of(one)
    parts: list[Any] = []
    for position, part in enumerate(held):
        if not isinstance(part, Spread):
            parts.append(work.tensor(node, position))
            continue
        along = whole(part.extents[axis])
        fits = all(
            n == axis or a == b for n, (a, b) in enumerate(zip(part.extents, sizes, strict=True))
        )
        if along is None or not fits:
            raise node.refuse("its input is a tensor repeated to a symbolic size")
        if isinstance(part.value, np.ndarray) and not part.value.any():
            parts.append(along)
            continue
        # As large as one step of the neighbour, by adding nothing to it; x[:-1] may have none.
        small = work.as_value(node, part.value, node.inputs[position])
        like = one
        while isinstance(like.owner, nn.SliceOp) and like.owner.axis.value.data == axis:
            like = like.owner.input
        step = work.add(node, nn.SqueezeOp(work.add(node, nn.SliceOp(like, axis, 0, 1)), [axis]))
        step = work.add(node, nn.UnsqueezeOp(step, [axis]))
        nothing = work.add(node, nn.BinaryOp("sub", step, step))
        parts.append(work.add(node, nn.BinaryOp("add", nothing, small)))
    before = parts.pop(0) if isinstance(parts[0], int) else 0
    after = parts.pop() if isinstance(parts[-1], int) else 0
    if any(isinstance(p, int) for p in parts):
        raise node.refuse("zeros stand between other tensors")
    made = parts[0] if len(parts) == 1 else work.add(node, nn.ConcatOp(parts, axis))
    return work.add(node, nn.PadOp(made, axis, before, after)) if before or after else made


@converts("Split", to="nn.slice")
def split(work: GraphImporter, node: Node) -> list[Held]:
    """Sizes as attribute, input or equal parts."""
    x = work.tensor(node, 0)
    axis = int(node.get("axis", 0)) % len(shape_of(x))
    parts = numbers(work, node, "split", 1)
    extent = shape_of(x)[axis]
    if parts is None:
        count = len(node.outputs)
        if extent == DYNAMIC:
            raise node.refuse("it splits a symbolic extent into equal parts")
        each = -(-extent // count)
        parts = [min(each, extent - n * each) for n in range(count)]
    found: list[Held] = []
    start = 0
    for part in parts:
        found.append(work.add(node, nn.SliceOp(x, axis, start, start + part)))
        start += part
    return found


@converts("Slice", to="nn.slice, nn.flip")
def slice_(work: GraphImporter, node: Node) -> Held:
    """Attributes to opset 9, inputs later; step -1 over a whole extent is a flip."""
    held = work.held(node, 0)
    starts, ends = _bounds(work, node, "starts", 1), _bounds(work, node, "ends", 2)
    axes = numbers(work, node, "axes", 3)
    steps = numbers(work, node, "steps", 4) or [1] * len(starts)
    axes = list(range(len(starts))) if axes is None else [a % rank_of(held) for a in axes]
    for axis, start, stop, step in zip(axes, starts, ends, steps, strict=True):
        held = _cut(work, node, held, axis, start, stop, step)
    return held


def _bounds(work: GraphImporter, node: Node, name: str, position: int) -> list[Any]:
    if name in node:
        return [int(n) for n in node.get(name)]
    held = work.held(node, position)
    if not isinstance(held, np.ndarray):
        raise node.refuse(f"its {name} are computed from data")
    return list(held.reshape(-1).tolist())


BEYOND = 1 << 31
"""Larger bounds mean `to the end`."""


def _cut(
    work: GraphImporter, node: Node, held: Held, axis: int, start: Any, stop: Any, step: int
) -> Held:
    sizes = sizes_of(work, node, held)
    if stop == sizes[axis]:
        stop = BEYOND
    first, last = whole(start), whole(stop)
    if first is None or last is None:
        shift = sympy.sympify(stop) - sizes[axis]
        if first is not None and shift.is_Integer and int(shift) < 0:
            last = int(shift)  # counted from the end
        else:
            raise node.refuse("its bounds depend on the length of the input")
    if step < 0:
        known = whole(sizes[axis])
        whole_extent = (
            first in (-1, None) or first >= BEYOND - 1 or (known is not None and first >= known - 1)
        )
        if step == -1 and whole_extent and (last <= -BEYOND + 1 or (known and last < -known)):
            if isinstance(held, np.ndarray):
                return np.flip(held, axis)
            return work.add(node, nn.FlipOp(work.as_value(node, held, node.name), axis))
        raise node.refuse("it walks backwards over a part of an extent", "step 1, or a whole flip")
    end = None if last >= BEYOND - 1 else last
    if first == 0 and end is None and step == 1:
        return held
    chosen = [slice(None)] * len(sizes)
    chosen[axis] = slice(first, end, step)
    if isinstance(held, np.ndarray):
        return held[tuple(chosen)]
    if isinstance(held, Spread) and isinstance(held.value, np.ndarray) and whole(sizes[axis]):
        new = len(range(*slice(first, end, step).indices(int(sizes[axis]))))
        rest = (*sizes[:axis], new, *sizes[axis + 1 :])
        small = held.value if held.value.shape[axis] == 1 else held.value[tuple(chosen)]
        return Spread(small, rest)
    value = work.as_value(node, held, node.name)
    return work.add(node, nn.SliceOp(value, axis, first, end, step))


@converts("Gather", to="nn.embedding, nn.slice and nn.squeeze")
def gather(work: GraphImporter, node: Node) -> Held:
    """Rows of a constant table, one constant index, or sizes."""
    held = work.held(node, 0)
    axis = int(node.get("axis", 0)) % max(rank_of(held), 1)
    index = work.held(node, 1)
    if isinstance(index, np.ndarray) and index.dtype != object:
        if isinstance(held, np.ndarray):
            return as_sizes(np.take(held, index, axis=axis))
        if index.ndim == 0:
            place = int(index)
            stop = place + 1 if place != -1 else None
            cut = _cut(work, node, held, axis, place, BEYOND if stop is None else stop, 1)
            if isinstance(cut, Spread):
                rest = tuple(s for n, s in enumerate(cut.extents) if n != axis)
                if isinstance(cut.value, np.ndarray):
                    return Spread(np.squeeze(cut.value, axis), rest)
            return work.add(node, nn.SqueezeOp(work.as_value(node, cut, node.name), [axis]))
        flat = index.reshape(-1).tolist()
        x = work.tensor(node, 0)
        if index.ndim == 1 and len(flat) <= 64:
            parts = [
                work.add(node, nn.SliceOp(x, axis, n, n + 1 if n != -1 else None)) for n in flat
            ]
            return parts[0] if len(parts) == 1 else work.add(node, nn.ConcatOp(parts, axis))
        raise node.refuse("it picks many elements by constant indices")
    table = work.constant(node, 0, "table")
    if table.ndim != 2 or axis != 0:
        raise node.refuse("the table of an embedding has two extents, indexed by the first")
    indices = work.tensor(node, 1)
    if not isinstance(element_of(indices), IntegerType):
        raise node.refuse("its indices are not whole numbers")
    label = work.label(node, "embedding")
    return work.add(node, nn.EmbeddingOp(label, indices, work.tensor(node, 0)))


@converts("Pad", to="nn.pad")
def pad(work: GraphImporter, node: Node) -> Held:
    """Constant, mirrored or edge values; attributes to opset 10."""
    x = work.tensor(node, 0)
    mode = str(node.get("mode", "constant"))
    if mode not in nn.PAD_MODES:
        raise node.refuse(f"mode '{mode}' is not supported")
    pads = numbers(work, node, "pads", 1) or numbers(work, node, "paddings", 1) or []
    value = float(node.get("value", 0.0))
    if node.given(2):
        value = float(np.reshape(work.constant(node, 2, "value"), -1)[0])
    axes = work.numbers(node, 3, "axes") if node.given(3) else list(range(len(shape_of(x))))
    count = len(axes)
    for n, axis in enumerate(axes):
        before, after = pads[n], pads[n + count]
        place = axis % len(shape_of(x))
        if min(before, after) < 0:  # negative padding cuts
            x = work.add(node, nn.SliceOp(x, place, max(-before, 0), min(after, 0) or None))
            before, after = max(before, 0), max(after, 0)
        if before or after:
            x = work.add(node, nn.PadOp(x, place, before, after, mode=mode, value=value))
    return x


@converts("Tile", to="nn.concat")
def tile(work: GraphImporter, node: Node) -> Held:
    """A few copies one after the other; an extent of 1 may be repeated to a symbolic size."""
    held, repeats = work.held(node, 0), work.held(node, 1)
    if isinstance(repeats, np.ndarray) and repeats.dtype == object:
        have = sizes_of(work, node, held)
        counts = repeats.reshape(-1).tolist()
        if any(count != 1 and size != 1 for count, size in zip(counts, have, strict=True)):
            raise node.refuse("it repeats several elements to a symbolic size")
        after = (c if s == 1 else s for s, c in zip(have, counts, strict=True))
        small = held if isinstance(held, np.ndarray) else work.tensor(node, 0)
        return Spread(small, tuple(s if whole(s) is None else whole(s) for s in after))
    x = work.tensor(node, 0)
    for axis, count in enumerate(work.numbers(node, 1, "repeats")):
        if not 1 <= count <= 64:
            raise node.refuse(f"it makes {count} copies")
        if count > 1:
            x = work.add(node, nn.ConcatOp([x] * count, axis))
    return x
