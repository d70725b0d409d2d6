"""The quasi-recurrent layer as a PyTorch module and as the custom operator `mohaq::qrnn`.

Gate order z, f, o, i; W * x is a convolution over the current step and, with window 2, the one
before it (for the reverse direction: the one after it):

    z = tanh(W_z * x + b_z)      f, o, i = sigmoid(W * x + b)
    c = f c' + (1 - f) z  (pooling f, fo)      c = f c' + i z  (pooling ifo)
    h = c  (pooling f)                         h = o c  (pooling fo, ifo)

J. Bradbury et al., "Quasi-Recurrent Neural Networks", 2017. One layer is one node in an exported
graph.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from mohaq.compiler.modules.sru_op import DIRECTIONS

GATES: dict[str, int] = {"f": 2, "fo": 3, "ifo": 4}
"""Pooling -> rows of gates."""


def _check_options(direction: str, pooling: str, window: int) -> None:
    for name, value, known in (
        ("direction", direction, DIRECTIONS),
        ("pooling", pooling, GATES),
    ):
        if value not in known:
            raise ValueError(f"qrnn: {name} '{value}' is not one of {', '.join(known)}")
    if window not in {1, 2}:
        raise ValueError(f"qrnn: the window is 1 or 2, got {window}")


def _check(
    x: Tensor, c0: Tensor, before: Tensor, w: Tensor, b: Tensor | None, d: str, pooling: str
) -> None:
    if x.dim() != 3 or w.dim() != 5:
        raise ValueError(f"qrnn: x is [T,B,I] and weight [D,G,H,k,I], got {x.shape} and {w.shape}")
    _check_options(d, pooling, w.shape[3])
    count, gates, hidden = len(DIRECTIONS[d]), GATES[pooling], w.shape[2]
    for name, found, wanted in (
        ("weight", w, (count, gates, hidden, w.shape[3], x.shape[2])),
        ("c0", c0, (count, x.shape[1], hidden)),
        ("before", before, (count, x.shape[1], x.shape[2])),
        ("bias", b, (count, gates, hidden)),
    ):
        if found is not None and tuple(found.shape) != wanted:
            raise ValueError(f"qrnn: {name} should be {wanted}, got {tuple(found.shape)}")


def reference(
    x: Tensor,
    c0: Tensor,
    before: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    direction: str,
    pooling: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The operator in differentiable PyTorch; shapes are the operator's."""
    outputs, states, inputs = [], [], []
    window = weight.shape[3]
    for d, backwards in enumerate(DIRECTIONS[direction]):
        walked = x.flip(0) if backwards else x
        u = torch.einsum("tbi,ghi->tbgh", walked, weight[d, :, :, window - 1])
        if window == 2:
            earlier = torch.cat([before[d][None], walked[:-1]])
            u = u + torch.einsum("tbi,ghi->tbgh", earlier, weight[d, :, :, 0])
        if bias is not None:
            u = u + bias[d]
        z, gates = torch.tanh(u[:, :, 0]), torch.sigmoid(u[:, :, 1:])
        f = gates[:, :, 0]
        new = (gates[:, :, 2] if pooling == "ifo" else 1 - f) * z
        c = c0[d]
        held = []
        for t in range(x.shape[0]):
            c = f[t] * c + new[t]
            held.append(c)
        h = torch.stack(held)
        if pooling != "f":
            h = h * gates[:, :, 1]
        outputs.append(h.flip(0) if backwards else h)
        states.append(c)
        inputs.append(walked[-1])
    return torch.cat(outputs, dim=2), torch.stack(states), torch.stack(inputs)


@torch.library.custom_op("mohaq::qrnn", mutates_args=())
def qrnn(
    x: Tensor,
    c0: Tensor,
    before: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    direction: str,
    pooling: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """One quasi-recurrent layer.

    Args:
        x: [T, B, I] inputs.
        c0: [D, B, H] state before the first step.
        before: [D, B, I] input before the first step of each direction; window 1 ignores it.
        weight: [D, G, H, k, I], window k of 1 or 2; index k-1 is the current step.
        bias: [D, G, H], or None.
        direction: `forward`, `reverse` (from the last frame to the first, outputs at their own
            time) or `bidirectional` (index 1 of D is the reverse one).
        pooling: `f` (G = 2), `fo` (3) or `ifo` (4).

    Returns:
        y [T, B, D*H], c_last [D, B, H] and the last input that each direction read [D, B, I].

    Raises:
        ValueError: unknown names, or shapes that do not fit.
    """
    _check(x, c0, before, weight, bias, direction, pooling)
    return reference(x, c0, before, weight, bias, direction, pooling)


@qrnn.register_fake
def _(
    x: Tensor,
    c0: Tensor,
    before: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    direction: str,
    pooling: str,
) -> tuple[Tensor, Tensor, Tensor]:
    del bias, direction, pooling
    width = weight.shape[0] * weight.shape[2]
    y = x.new_empty(x.shape[0], x.shape[1], width)
    return y, torch.empty_like(c0), torch.empty_like(before)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    del output
    ctx.save_for_backward(*inputs[:5])
    ctx.options = inputs[5:]


def _gradient(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    # The states are computed again: an operator's outputs are its only memory.
    with torch.enable_grad():
        leaves: list[Any] = [
            None if t is None else t.detach().requires_grad_() for t in ctx.saved_tensors
        ]
        outputs = reference(*leaves, *ctx.options)
        given = [leaf for leaf in leaves if leaf is not None]
        found = iter(torch.autograd.grad(outputs, given, grads, allow_unused=True))
    return (*(None if leaf is None else next(found) for leaf in leaves), None, None)


qrnn.register_autograd(_gradient, setup_context=_setup)


class QRNN(nn.Module):
    """One quasi-recurrent layer; the equations are those of the operator `mohaq::qrnn`.

    Args:
        inputs: I, the width of x.
        hidden: H, units of one direction.
        direction: `forward`, `reverse` or `bidirectional`.
        pooling: `f`, `fo` or `ifo`.
        window: steps that the convolution sees, 1 or 2.
        bias: whether there is one.

    Raises:
        ValueError: an unknown option.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        direction: str = "forward",
        pooling: str = "fo",
        window: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        _check_options(direction, pooling, window)
        self.inputs, self.hidden = inputs, hidden
        self.direction, self.pooling, self.window = direction, pooling, window
        self.directions = len(DIRECTIONS[direction])
        rows = (self.directions, GATES[pooling], hidden)
        self.weight = nn.Parameter(torch.empty(*rows, window, inputs))
        bound = math.sqrt(3.0 / (inputs * window))
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias = nn.Parameter(torch.zeros(rows)) if bias else None

    def extra_repr(self) -> str:
        """The sizes and options, for `print`."""
        return (
            f"{self.inputs}, {self.hidden}, direction={self.direction}, "
            f"pooling={self.pooling}, window={self.window}"
        )

    def forward(
        self, x: Tensor, c0: Tensor | None = None, before: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the layer.

        Args:
            x: [T, B, I].
            c0: [D, B, H] start state; zero when None.
            before: [D, B, I] input before the first step; zero when None.

        Returns:
            y [T, B, D*H], the last state [D, B, H] and the last input [D, B, I]; the two give
            the start of the next chunk of a stream.
        """
        if c0 is None:
            c0 = x.new_zeros(self.directions, x.shape[1], self.hidden)
        if before is None:
            before = x.new_zeros(self.directions, x.shape[1], self.inputs)
        y, c, last = qrnn(x, c0, before, self.weight, self.bias, self.direction, self.pooling)
        return y, c, last
