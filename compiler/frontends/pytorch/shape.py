"""Operations that move elements, and constants of the input's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import Node
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.extents import reshape_of
from mohaq.compiler.frontends.pytorch.importer import (
    Call,
    Filled,
    Held,
    Importer,
    Repeated,
    handles,
)

BEYOND = 1 << 31
"""Larger bounds mean `to the end`."""


MOST_COPIES = 64


def _rank(value: SSAValue) -> int:
    return len(shape_of(value))


@handles("aten.sym_size", "aten._assert_scalar", "aten.sym_constrain_range_for_size",
         "aten._assert_async", to="sizes at import")  # fmt: skip
def sizes(work: Importer, call: Call) -> Held:
    """Sizes as expressions; assertions about them say nothing new."""
    if call.name != "aten.sym_size":
        return None
    held = call.raw("self")
    known = isinstance(held, (Filled, Repeated))
    extents = held.extents if known else work.extents.of(call.tensor("self"))
    return extents[call.number("dim")]


@handles("aten.zeros", "aten.ones", "aten.full", "aten.new_zeros", "aten.new_ones",
         "aten.new_full", to="a constant")  # fmt: skip
def filled(_: Importer, call: Call) -> Held:
    """One number, of any size."""
    value = 1.0 if "ones" in call.name else 0.0
    if "full" in call.name:
        value = call.real("fill_value", 0.0)
    return Filled(value, tuple(call.numbers("size")))


@handles("aten.zeros_like", "aten.ones_like", "aten.full_like", to="a constant")
def filled_like(work: Importer, call: Call) -> Held:
    """One number, of another tensor's size."""
    held = call.raw("self")
    extents = held.extents if isinstance(held, Filled) else work.extents.of(call.tensor("self"))
    value = 1.0 if "ones" in call.name else 0.0
    return Filled(call.real("fill_value", 0.0) if "full" in call.name else value, extents)


@handles(
    *("aten.transpose", "aten.t", "aten.permute", "aten.movedim", "aten.numpy_T", "aten.mT"),
    to="nn.transpose",
)
def transpose(_: Importer, call: Call) -> Held:
    """Any permutation."""
    held = call.raw("self")
    rank = len(held.extents) if isinstance(held, Filled) else _rank(call.tensor("self"))
    order = list(range(rank))
    if call.name == "aten.permute":
        order = [int(d) % rank for d in call.numbers("dims")]
    elif call.name == "aten.movedim":
        source, target = call.number("source") % rank, call.number("destination") % rank
        order.insert(target, order.pop(source))
    elif call.name in {"aten.t", "aten.numpy_T"}:
        order.reverse()
    elif call.name == "aten.mT":
        order[-2:] = order[:-3:-1]
    else:
        a, b = call.number("dim0") % rank, call.number("dim1") % rank
        order[a], order[b] = order[b], order[a]
    if isinstance(held, Filled):
        return Filled(held.value, tuple(held.extents[n] for n in order))
    x = call.tensor("self")
    return x if order == list(range(rank)) else call.add(nn.TransposeOp(x, order))


@handles("aten.view", "aten.reshape", "aten._unsafe_view", to="nn.reshape")
def view(work: Importer, call: Call) -> Held:
    """To numbers, or to sizes of the input."""
    name = "size" if "size" in call else "shape"
    wanted = call.numbers(name)
    held = call.raw("self")
    if isinstance(held, Filled):
        if -1 in wanted:
            raise call.refuse("a constant of a size that is left open")
        return Filled(held.value, tuple(wanted))
    return reshape_to(work, call, call.tensor("self"), wanted)


def reshape_to(work: Importer, call: Call, x: SSAValue, wanted: Sequence[Any]) -> SSAValue:
    """A reshape to numbers and symbolic sizes.

    Raises:
        MohaqError: symbolic sizes that no value at hand has.
    """
    made = reshape_of(x, wanted, work.extents, work.net.arguments, work.sizes.same)
    if made is None:
        raise call.refuse(
            f"it gives {[str(w) for w in wanted]}: no value at hand has these symbolic extents "
            f"(its input is {[str(h) for h in work.extents.of(x)]})",
            "a layer that works on the last extent of [T, B, F]",
        )
    return call.add(made)


@handles("aten.flatten", "aten.unflatten", to="nn.reshape")
def flatten(work: Importer, call: Call) -> Held:
    """Several extents to one, or one to several."""
    x = call.tensor("self")
    have = list(work.extents.of(x))
    rank = len(have)
    if call.name == "aten.unflatten":
        axis = call.number("dim") % rank
        return reshape_to(work, call, x, [*have[:axis], *call.numbers("sizes"), *have[axis + 1 :]])
    first, last = call.number("start_dim", 0) % rank, call.number("end_dim", -1) % rank
    return reshape_to(work, call, x, [*have[:first], -1, *have[last + 1 :]])


@handles("aten.squeeze", to="nn.squeeze")
def squeeze(work: Importer, call: Call) -> Held:
    """Extents of 1; without `dim` all that are known to be."""
    x = call.tensor("self")
    have = work.extents.of(x)
    axes = call.numbers("dim") if "dim" in call else list(range(len(have)))
    axes = [a % len(have) for a in map(int, axes) if have[a] == 1 or _one_at_export(call, a)]
    return call.add(nn.SqueezeOp(x, axes)) if axes else x


def _one_at_export(call: Call, axis: int) -> bool:
    """Whether an extent is 1 at sizes that are nowhere 1, e.g. that of x[3:4]."""
    source = call.node.args[0]
    value = source.meta.get("val") if isinstance(source, Node) else None
    return bool(call.work.sizes.symbols) and value is not None and value.shape[axis] == 1


@handles("aten.unsqueeze", to="nn.unsqueeze")
def unsqueeze(_: Importer, call: Call) -> Held:
    """A new extent of 1."""
    held = call.raw("self")
    axis = call.number("dim")
    if isinstance(held, Filled):
        extents = list(held.extents)
        extents.insert(axis % (len(extents) + 1), 1)
        return Filled(held.value, tuple(extents))
    return call.add(nn.UnsqueezeOp(call.tensor("self"), [axis]))


def cut(
    work: Importer, call: Call, x: SSAValue, axis: int, start: Any, stop: Any, step: int
) -> SSAValue:
    """Part of an extent; the end of the extent may be named by its size.

    Raises:
        MohaqError: bounds that depend on the size otherwise.
    """
    extent = work.extents.of(x)[axis]
    if stop is None or work.sizes.same(extent, stop) or (isinstance(stop, int) and stop >= BEYOND):
        stop = None
    elif not isinstance(stop, int):
        shift = stop - extent
        if not (shift.is_Integer and shift < 0):
            raise call.refuse("its end depends on the size of the input")
        stop = int(shift)
    if not isinstance(start, int):
        shift = start - extent
        if not (getattr(shift, "is_Integer", False) and shift < 0):
            raise call.refuse("its start depends on the size of the input")
        start = int(shift)
    if start == 0 and stop is None and step == 1:
        return x
    return call.add(nn.SliceOp(x, axis, start, stop, step))


@handles("aten.slice", "aten.narrow", to="nn.slice")
def slice_(work: Importer, call: Call) -> Held:
    """x[start:end:step] along one extent."""
    held = call.raw("self" if "self" in call else "input")
    axis = call.number("dim", 0)
    if isinstance(held, Filled):
        raise call.refuse("a part of a constant of symbolic size")
    x = call.tensor("self" if "self" in call else "input")
    axis %= _rank(x)
    start = call.raw("start", 0)
    stop = start + call.raw("length") if call.name == "aten.narrow" else call.raw("end")
    return cut(work, call, x, axis, start, stop, call.number("step", 1))


@handles("aten.select", to="nn.slice and nn.squeeze")
def select(work: Importer, call: Call) -> Held:
    """One element of an extent."""
    held = call.raw("self")
    axis, index = call.number("dim"), call.raw("index")
    if isinstance(held, Filled):
        extents = list(held.extents)
        extents.pop(axis)
        return Filled(held.value, tuple(extents))
    x = call.tensor("self")
    axis %= _rank(x)
    extent = work.extents.of(x)[axis]
    if not isinstance(index, int):
        index = index - extent
        if not getattr(index, "is_Integer", False):
            raise call.refuse("its index depends on the size of the input")
        index = int(index)
    stop = None if index == -1 else index + 1
    return call.add(nn.SqueezeOp(call.add(nn.SliceOp(x, axis, index, stop)), [axis]))


@handles("aten.split", "aten.split_with_sizes", "aten.chunk", to="nn.slice")
def split(_: Importer, call: Call) -> Held:
    """Parts of an extent whose size is known."""
    x = call.tensor("self")
    axis = call.number("dim", 0) % _rank(x)
    extent = shape_of(x)[axis]
    if extent < 0:
        raise call.refuse("it splits a symbolic extent")
    if call.name == "aten.chunk":
        each = -(-extent // call.number("chunks"))
        parts = [min(each, extent - n) for n in range(0, extent, each)]
    elif "split_size" in call and isinstance(call.raw("split_size"), int):
        each = call.number("split_size")
        parts = [min(each, extent - n) for n in range(0, extent, each)]
    else:
        parts = [
            int(n) for n in call.numbers("split_sizes" if "split_sizes" in call else "split_size")
        ]
    starts = [sum(parts[:n]) for n in range(len(parts))]
    return tuple(
        call.add(nn.SliceOp(x, axis, s, s + n)) for s, n in zip(starts, parts, strict=True)
    )


@handles("aten.unbind", to="nn.slice and nn.squeeze")
def unbind(_: Importer, call: Call) -> Held:
    """All elements of an extent whose size is known."""
    x = call.tensor("self")
    axis = call.number("dim", 0) % _rank(x)
    extent = shape_of(x)[axis]
    if extent < 0:
        raise call.refuse("it takes a symbolic extent apart")
    return tuple(
        call.add(nn.SqueezeOp(call.add(nn.SliceOp(x, axis, n, n + 1)), [axis]))
        for n in range(extent)
    )


@handles("aten.cat", "aten.concat", "aten.stack", to="nn.concat")
def cat(_: Importer, call: Call) -> Held:
    """Tensors one after the other, or on a new extent."""
    parts = [call.work.as_value(call, p, "part") for p in call.raw("tensors")]
    axis = call.number("dim", 0)
    if call.name == "aten.stack":
        axis %= _rank(parts[0]) + 1
        parts = [call.add(nn.UnsqueezeOp(p, [axis])) for p in parts]
    return parts[0] if len(parts) == 1 else call.add(nn.ConcatOp(parts, axis))


@handles("aten.flip", to="nn.flip")
def flip(_: Importer, call: Call) -> Held:
    """Extents in reverse."""
    x = call.tensor("self")
    for axis in call.numbers("dims"):
        x = call.add(nn.FlipOp(x, int(axis)))
    return x


@handles("aten.pad", "aten.constant_pad_nd", "aten.reflection_pad1d", "aten.replication_pad1d",
         to="nn.pad")  # fmt: skip
def pad(_: Importer, call: Call) -> Held:
    """Constant, mirrored or edge values; pairs from the last extent on."""
    x = call.tensor("self")
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    chosen = str(call.raw("mode", "constant"))
    if "reflection" in call.name:
        chosen = "reflect"
    elif "replication" in call.name:
        chosen = "replicate"
    if chosen not in modes:
        raise call.refuse(f"mode '{chosen}' is not supported", "constant, reflect or replicate")
    amounts = [int(n) for n in call.numbers("pad" if "pad" in call else "padding")]
    value = call.real("value", 0.0)
    for n in range(len(amounts) // 2):
        before, after = amounts[2 * n : 2 * n + 2]
        axis = _rank(x) - 1 - n
        if min(before, after) < 0:
            x = call.add(nn.SliceOp(x, axis, max(-before, 0), min(after, 0) or None))
            before, after = max(before, 0), max(after, 0)
        if before or after:
            x = call.add(nn.PadOp(x, axis, before, after, mode=modes[chosen], value=value))
    return x


@handles("aten.expand", "aten.expand_as", to="broadcasting")
def expand(work: Importer, call: Call) -> Held:
    """Nothing where the size is the same; constants of one number; else a product with ones."""
    held = call.raw("self")
    if call.name == "aten.expand_as":
        wanted: list[Any] = list(work.extents.of(call.tensor("other")))
    else:
        wanted = call.numbers("size")
    if isinstance(held, Filled):
        return Filled(held.value, tuple(wanted))
    if isinstance(held, torch.Tensor) and all(isinstance(n, int) for n in wanted):
        return held.expand(*wanted)
    x = call.tensor("self")
    have = work.extents.of(x)
    missing = len(wanted) - len(have)
    after = [h if w == -1 else w for h, w in zip([1] * missing + list(have), wanted, strict=True)]
    if missing:
        x = call.add(nn.UnsqueezeOp(x, list(range(missing))))
    now = work.extents.of(x)
    if all(work.sizes.same(h, w) for h, w in zip(now, after, strict=True)):
        return x
    if all(isinstance(n, int) for n in after):
        ones = work.named("ones", torch.ones(after).numpy())
        return call.add(nn.BinaryOp("mul", x, ones))
    return Repeated(x, tuple(after))


@handles("aten.repeat", to="broadcasting or nn.concat")
def repeat(work: Importer, call: Call) -> Held:
    """Extents of 1 as often as wanted; others a known number of times."""
    held = call.raw("self")
    counts = call.numbers("repeats")
    if isinstance(held, torch.Tensor):
        held = work.as_value(call, held, "repeated")
    if isinstance(held, Filled):
        have = (*([1] * (len(counts) - len(held.extents))), *held.extents)
        return Filled(held.value, tuple(h * c for h, c in zip(have, counts, strict=True)))
    x = call.tensor("self") if not isinstance(held, SSAValue) else held
    missing = len(counts) - _rank(x)
    if missing:
        x = call.add(nn.UnsqueezeOp(x, list(range(missing))))
    open_ended = False
    for axis, count in enumerate(counts):
        if isinstance(count, int):
            if count > MOST_COPIES:
                raise call.refuse(f"{count} copies", f"at most {MOST_COPIES}")
            x = call.add(nn.ConcatOp([x] * count, axis)) if count > 1 else x
        elif work.extents.of(x)[axis] == 1:
            open_ended = True
        else:
            raise call.refuse("it repeats an extent as often as the input is large")
    if not open_ended:
        return x
    have = work.extents.of(x)
    return Repeated(
        x, tuple(h if isinstance(c, int) else c for h, c in zip(have, counts, strict=True))
    )
