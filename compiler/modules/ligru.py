"""The light GRU as a PyTorch module and as the custom operator `mohaq::ligru`.

For each unit, gate order z, a:

    z = sigmoid(n(W_z x) + R_z h' + b_z)      a = relu(n(W_a x) + R_a h' + b_a)
    h = z h' + (1 - z) a

n is batch normalization of the products with the input only (M. Ravanelli et al., "Light Gated
Recurrent Units for Speech Recognition", 2018), or nothing. One layer is one node in an exported
graph. SpeechBrain's `LiGRU` has the rows of its matrices in the order a, z and shares them between
both directions: copy them with the halves swapped, once for each direction.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from mohaq.compiler.modules.sru_op import DIRECTIONS


def _check(x: Tensor, h0: Tensor, w: Tensor, r: Tensor, b: Tensor | None, d: str) -> None:
    if d not in DIRECTIONS:
        raise ValueError(f"ligru: direction '{d}' is not one of {', '.join(DIRECTIONS)}")
    count = len(DIRECTIONS[d])
    if x.dim() != 3 or w.dim() != 4:
        raise ValueError(f"ligru: x is [T,B,I] and weight [D,2,H,I], got {x.shape} and {w.shape}")
    hidden = w.shape[2]
    for name, found, wanted in (
        ("weight", w, (count, 2, hidden, x.shape[2])),
        ("recurrent", r, (count, 2, hidden, hidden)),
        ("h0", h0, (count, x.shape[1], hidden)),
        ("bias", b, (count, 2, hidden)),
    ):
        if found is not None and tuple(found.shape) != wanted:
            raise ValueError(f"ligru: {name} should be {wanted}, got {tuple(found.shape)}")


def _products(x: Tensor, weight: Tensor) -> Tensor:
    """W x: [T, B, D, 2, H]."""
    return torch.einsum("tbi,dghi->tbdgh", x, weight)


def _walk(u: Tensor, h0: Tensor, recurrent: Tensor, direction: str) -> tuple[Tensor, Tensor]:
    """The recurrence over products u [T, B, D, 2, H], differentiable."""
    outputs, states = [], []
    steps = u.shape[0]
    for d, backwards in enumerate(DIRECTIONS[direction]):
        h = h0[d]
        out: list[Tensor] = [h] * steps
        for t in reversed(range(steps)) if backwards else range(steps):
            z = torch.sigmoid(u[t, :, d, 0] + h @ recurrent[d, 0].t())
            a = torch.relu(u[t, :, d, 1] + h @ recurrent[d, 1].t())
            h = z * h + (1 - z) * a
            out[t] = h
        outputs.append(torch.stack(out))
        states.append(h)
    return torch.cat(outputs, dim=2), torch.stack(states)


def reference(
    x: Tensor,
    h0: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    norm: Tensor | None,
    epsilon: float,
    direction: str,
) -> tuple[Tensor, Tensor]:
    """The operator in differentiable PyTorch; shapes are the operator's."""
    u = _products(x, weight)
    if norm is not None:
        gamma, beta, mean, var = norm.unbind(2)
        u = (u - mean) / torch.sqrt(var + epsilon) * gamma + beta
    if bias is not None:
        u = u + bias
    return _walk(u, h0, recurrent, direction)


@torch.library.custom_op("mohaq::ligru", mutates_args=())
def ligru(
    x: Tensor,
    h0: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    norm: Tensor | None,
    epsilon: float,
    direction: str,
) -> tuple[Tensor, Tensor]:
    """One light GRU layer.

    Args:
        x: [T, B, I] inputs.
        h0: [D, B, H] state before the first step.
        weight: [D, 2, H, I].
        recurrent: [D, 2, H, H].
        bias: [D, 2, H], or None.
        norm: [D, 2, 4, H] (gamma, beta, mean, variance), or None.
        epsilon: of the batch normalization.
        direction: `forward`, `reverse` (from the last frame to the first, outputs at their own
            time) or `bidirectional` (index 1 of D is the reverse one).

    Returns:
        y [T, B, D*H] and h_last [D, B, H].

    Raises:
        ValueError: an unknown direction, or shapes that do not fit.
    """
    _check(x, h0, weight, recurrent, bias, direction)
    return reference(x, h0, weight, recurrent, bias, norm, epsilon, direction)


@ligru.register_fake
def _(
    x: Tensor,
    h0: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    norm: Tensor | None,
    epsilon: float,
    direction: str,
) -> tuple[Tensor, Tensor]:
    del recurrent, bias, norm, epsilon, direction
    width = weight.shape[0] * weight.shape[2]
    return x.new_empty(x.shape[0], x.shape[1], width), torch.empty_like(h0)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    del output
    ctx.save_for_backward(*inputs[:6])
    ctx.options = inputs[6:]


def _gradient(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    # The states are computed again: an operator's outputs are its only memory.
    with torch.enable_grad():
        leaves: list[Any] = [
            None if t is None else t.detach().requires_grad_() for t in ctx.saved_tensors
        ]
        outputs = reference(*leaves, *ctx.options)
        given = [leaf for leaf in leaves if leaf is not None]
        found = iter(torch.autograd.grad(outputs, given, grads))
    return (*(None if leaf is None else next(found) for leaf in leaves), None, None)


ligru.register_autograd(_gradient, setup_context=_setup)


class LiGRU(nn.Module):
    """One light GRU layer; the equations are those of the operator `mohaq::ligru`.

    Args:
        inputs: I, the width of x.
        hidden: H, units of one direction.
        direction: `forward`, `reverse` or `bidirectional`.
        normalize: batch normalization of the products with the input; then there is no bias.
        epsilon: of the normalization.
        momentum: of its running statistics.

    Raises:
        ValueError: an unknown direction.
    """

    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        direction: str = "forward",
        normalize: bool = True,
        epsilon: float = 1e-5,
        momentum: float = 0.05,
    ) -> None:
        super().__init__()
        if direction not in DIRECTIONS:
            raise ValueError(
                f"ligru: direction '{direction}' is not one of {', '.join(DIRECTIONS)}"
            )
        self.inputs, self.hidden, self.direction = inputs, hidden, direction
        self.directions = len(DIRECTIONS[direction])
        self.epsilon, self.momentum = epsilon, momentum
        rows = (self.directions, 2, hidden)
        self.weight = nn.Parameter(torch.empty(*rows, inputs))
        self.recurrent = nn.Parameter(torch.empty(*rows, hidden))
        bound = math.sqrt(6.0 / (inputs + hidden))
        nn.init.uniform_(self.weight, -bound, bound)
        with torch.no_grad():
            for matrix in self.recurrent.view(-1, hidden, hidden):
                nn.init.orthogonal_(matrix)
        self.bias = None if normalize else nn.Parameter(torch.zeros(rows))
        self.gamma = nn.Parameter(torch.ones(rows)) if normalize else None
        self.beta = nn.Parameter(torch.zeros(rows)) if normalize else None
        self.register_buffer("running_mean", torch.zeros(rows) if normalize else None)
        self.register_buffer("running_var", torch.ones(rows) if normalize else None)

    def extra_repr(self) -> str:
        """The sizes and options, for `print`."""
        normed = self.gamma is not None
        return f"{self.inputs}, {self.hidden}, direction={self.direction}, normalize={normed}"

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            x: [T, B, I].
            h0: [D, B, H] start state; zero when None.

        Returns:
            y [T, B, D*H] and the last state [D, B, H].
        """
        if h0 is None:
            h0 = x.new_zeros(self.directions, x.shape[1], self.hidden)
        if self.gamma is None or self.beta is None:
            y, last = ligru(
                x, h0, self.weight, self.recurrent, self.bias, None, self.epsilon, self.direction
            )
            return y, last
        held = [t for t in (self.running_mean, self.running_var) if t is not None]
        if self.training:
            _check(x, h0, self.weight, self.recurrent, None, self.direction)
            u = _products(x, self.weight)
            mean, var = (t.view(-1) for t in held)
            flat: Tensor = nn.functional.batch_norm(
                u.reshape(x.shape[0] * x.shape[1], -1),
                mean,
                var,
                self.gamma.view(-1),
                self.beta.view(-1),
                training=True,
                momentum=self.momentum,
                eps=self.epsilon,
            )
            return _walk(flat.view_as(u), h0, self.recurrent, self.direction)
        norm = torch.stack([self.gamma, self.beta, *held], dim=2)
        y, last = ligru(
            x, h0, self.weight, self.recurrent, None, norm, self.epsilon, self.direction
        )
        return y, last
