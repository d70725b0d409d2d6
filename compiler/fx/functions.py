"""Elementwise, shape and dense operations as torch functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.nn.reshape import target

TABLE: dict[str, Callable[..., Tensor]] = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": functional.softsign,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "leaky_relu": functional.leaky_relu,
    "thresholded_relu": lambda x, alpha: torch.where(x > alpha, x, torch.zeros_like(x)),
    "scaled_tanh": lambda x, alpha, beta: alpha * torch.tanh(beta * x),
    "hard_sigmoid": lambda x, alpha, beta: torch.clamp(alpha * x + beta, 0.0, 1.0),
    "elu": functional.elu,
    "abs": torch.abs,
    "neg": torch.neg,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "reciprocal": torch.reciprocal,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "hard_swish": functional.hardswish,
    "clip": torch.clamp,
}


def evaluate(function: FunctionAttr, x: Tensor) -> Tensor:
    """The function of every element."""
    return TABLE[function.kind](x, *function.values)


BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "max": torch.maximum,
    "min": torch.minimum,
}


def reduce(x: Tensor, kind: str, axes: Sequence[int], keep: bool) -> Tensor:
    """A reduction over extents."""
    match kind:
        case "mean":
            return x.mean(dim=tuple(axes), keepdim=keep)
        case "sum":
            return x.sum(dim=tuple(axes), keepdim=keep)
        case "max":
            return x.amax(dim=tuple(axes), keepdim=keep)
        case "min":
            return x.amin(dim=tuple(axes), keepdim=keep)
        case "l2":
            length: Tensor = torch.linalg.vector_norm(x, dim=tuple(axes), keepdim=keep)
            return length
    for axis in sorted(axes, reverse=True):
        x = x.prod(dim=axis, keepdim=keep)
    return x


def reshape(x: Tensor, extents: Sequence[int], like: Tensor | None = None) -> Tensor:
    """New extents: 0 keeps the input's, -1 is what remains, -2 - n is extent n of `like`."""
    return x.reshape(target(x.shape, extents, None if like is None else like.shape))


def for_batch(state: Tensor, x: Tensor) -> Tensor:
    """A state [D, B, H] for every sequence of x [T, B, I]; one row for all is repeated."""
    return state.expand(state.shape[0], x.shape[1], state.shape[2]).contiguous()


def squeeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Without extents of 1."""
    return x.squeeze(tuple(axes))


def unsqueeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """With new extents of 1 at places of the result."""
    for axis in sorted(axes):
        x = x.unsqueeze(axis)
    return x


def cut(x: Tensor, axis: int, start: int, stop: int | None, step: int) -> Tensor:
    """Part of one extent, by Python's rules."""
    chosen = [slice(None)] * x.dim()
    chosen[axis] = slice(start, stop, step)
    return x[tuple(chosen)]


def pad(x: Tensor, axis: int, before: int, after: int, mode: str, value: float) -> Tensor:
    """More elements at both ends of one extent."""
    size = x.shape[axis]
    if mode == "constant":
        widths = [0, 0] * (x.dim() - 1 - axis) + [before, after]
        return functional.pad(x, widths, value=value)
    places = torch.arange(-before, size + after, device=x.device)
    if mode == "reflect":
        places = places.abs()
        places = torch.where(places >= size, 2 * (size - 1) - places, places)
    return x.index_select(axis, places.clamp(0, size - 1))


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: tuple[int, int],
    stride: int,
    dilation: int,
    groups: int,
) -> Tensor:
    """Convolution with its own padding at each end."""
    padded = functional.pad(x, pads)
    return functional.conv1d(padded, weight, bias, stride=stride, dilation=dilation, groups=groups)


def pool1d(x: Tensor, kind: str, kernel: int, stride: int) -> Tensor:
    """Maximum or mean over windows."""
    if kind == "max":
        return functional.max_pool1d(x, kernel, stride)
    return functional.avg_pool1d(x, kernel, stride)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: tuple[int, int, int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    groups: int,
) -> Tensor:
    """Convolution with its own padding on every side."""
    padded = functional.pad(x, (pads[1], pads[3], pads[0], pads[2]))
    return functional.conv2d(
        padded, weight, bias, stride=strides, dilation=dilations, groups=groups
    )


def pool2d(x: Tensor, kind: str, kernel: tuple[int, int], strides: tuple[int, int]) -> Tensor:
    """Maximum or mean over windows."""
    if kind == "max":
        return functional.max_pool2d(x, kernel, strides)
    return functional.avg_pool2d(x, kernel, strides)


RELATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "equal": torch.eq,
    "less": torch.lt,
    "less_or_equal": torch.le,
    "greater": torch.gt,
    "greater_or_equal": torch.ge,
}


def compare(a: Tensor, b: Tensor, relation: str) -> Tensor:
    """0 and 1."""
    return RELATIONS[relation](a, b).to(torch.float32)


def select(condition: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """Element by element."""
    return torch.where(condition != 0, chosen, other)


def cast(x: Tensor, whole: bool) -> Tensor:
    """Between real and whole numbers."""
    return x.to(torch.int64 if whole else torch.float32)


def batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, axis: int, epsilon: float
) -> Tensor:
    """Normalization by stored statistics along one extent."""
    shape = [1] * x.dim()
    shape[axis] = -1
    g, b, m, v = (t.reshape(shape) for t in (gamma, beta, mean, var))
    return (x - m) / torch.sqrt(v + epsilon) * g + b


def layer_norm(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, axis: int, epsilon: float
) -> Tensor:
    """Normalization over the last extents."""
    return functional.layer_norm(x, x.shape[axis:], gamma, beta, epsilon)


def fake_quantize(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None,
    axis: int,
    low: int,
    high: int,
) -> Tensor:
    """Rounded to the grid and back; the gradient is that of the identity within the range."""
    shape = [1] * x.dim()
    if scale.numel() > 1:
        shape[axis] = -1
    s = scale.reshape(shape)
    z = torch.zeros_like(s) if zero is None else zero.reshape(shape).to(x.dtype)
    real = x / s
    q = (real + (torch.round(real) - real).detach() + z).clamp(low, high)
    return (q - z) * s
