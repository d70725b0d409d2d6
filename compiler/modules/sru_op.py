"""The custom operator `mohaq::sru`: one recurrent layer is one node in an exported graph.

For each unit, with u = W x_t (gate order: candidate, forget, reset[, skip projection]):

    f = sigmoid(u_f + v_f * c + b_f)        r = sigmoid(u_r + v_r * c + b_r)
    c = f * c + (1 - f) * u_candidate       h = r * act(c) + (1 - r) * skip_scale * s

Both gates see the state before the step (T. Lei et al., "Simple Recurrent Units for Highly
Parallelizable Recurrence", 2018). s is 0, the layer's input, or a projection of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mohaq.compiler.modules import sru_kernels as kernels

DIRECTIONS: dict[str, tuple[bool, ...]] = {
    "forward": (False,),
    "reverse": (True,),
    "bidirectional": (False, True),
}
"""Which of the D directions run backwards in time."""

SKIPS = ("none", "identity", "projected")
ACTIVATIONS = {"identity": kernels.IDENTITY, "tanh": kernels.TANH, "relu": kernels.RELU}

Grads = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def check_options(direction: str, skip: str, activation: str) -> None:
    """Refuse unknown names.

    Raises:
        ValueError: naming what is known.
    """
    for name, value, known in (
        ("direction", direction, DIRECTIONS),
        ("skip", skip, SKIPS),
        ("activation", activation, ACTIVATIONS),
    ):
        if value not in known:
            raise ValueError(f"sru: {name} '{value}' is not one of {', '.join(known)}")


def _check(
    x: Tensor, c0: Tensor, w: Tensor, v: Tensor, b: Tensor, direction: str, skip: str
) -> None:
    directions = len(DIRECTIONS[direction])
    if x.dim() != 3 or w.dim() != 4:
        raise ValueError(f"sru: x is [T,B,I] and weight [D,k,H,I], got {x.shape} and {w.shape}")
    gates = 4 if skip == "projected" else 3
    hidden, width = w.shape[2], w.shape[3]
    if w.shape[0] != directions or w.shape[1] != gates or x.shape[2] != width:
        wanted = (directions, gates, hidden, x.shape[2])
        raise ValueError(f"sru: weight should be {wanted}, got {tuple(w.shape)}")
    if tuple(v.shape) != (directions, 2, hidden) or v.shape != b.shape:
        raise ValueError(f"sru: vector and bias should be {(directions, 2, hidden)}")
    if tuple(c0.shape) != (directions, x.shape[1], hidden):
        raise ValueError(
            f"sru: c0 should be {(directions, x.shape[1], hidden)}, got {tuple(c0.shape)}"
        )
    if skip == "identity" and width != directions * hidden:
        raise ValueError(
            f"sru: an identity skip needs I = D*H, got {width} and {directions}*{hidden}"
        )


def _products(x: Tensor, w: Tensor, skip: str) -> tuple[Tensor, Tensor | None]:
    """u [T,B,D,k,H] and the skip input [T,B,D,H]."""
    steps, batch, width = x.shape
    directions, gates, hidden, _ = w.shape
    u = (x.reshape(-1, width) @ w.reshape(-1, width).t()).view(
        steps, batch, directions, gates, hidden
    )
    if skip == "projected":
        return u, u[:, :, :, 3]
    if skip == "identity":
        return u, x.reshape(steps, batch, directions, hidden)
    return u, None


def reference(
    x: Tensor,
    c0: Tensor,
    w: Tensor,
    v: Tensor,
    b: Tensor,
    direction: str,
    skip: str,
    skip_scale: float,
    activation: str,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The operator as a plain differentiable loop: the definition, and the way for other devices.

    Shapes are the operator's; `lengths` [B] is as in `sru_train`.
    """
    u, s = _products(x, w, skip)
    act = {"identity": lambda c: c, "tanh": torch.tanh, "relu": torch.relu}[activation]
    outputs, states = [], []
    steps = x.shape[0]
    alive = torch.ones(steps, x.shape[1], 1, dtype=torch.bool, device=x.device)
    if lengths is not None:
        alive = (torch.arange(steps, device=x.device)[:, None] < lengths)[:, :, None]
    for d, backwards in enumerate(DIRECTIONS[direction]):
        c = c0[d]
        out: list[Tensor] = [torch.empty(0)] * steps
        for t in reversed(range(steps)) if backwards else range(steps):
            gate = u[t, :, d]
            f = torch.sigmoid(gate[:, 1] + v[d, 0] * c + b[d, 0])
            r = torch.sigmoid(gate[:, 2] + v[d, 1] * c + b[d, 1])
            new = f * c + (1 - f) * gate[:, 0]
            h = r * act(new)
            if s is not None:
                h = h + (1 - r) * skip_scale * s[t, :, d]
            c = torch.where(alive[t], new, c)
            out[t] = torch.where(alive[t], h, torch.zeros_like(h))
        outputs.append(torch.stack(out))
        states.append(c)
    return torch.cat(outputs, dim=2), torch.stack(states)


def _array(tensor: Tensor) -> kernels.Array:
    return np.ascontiguousarray(tensor.detach().numpy())


def _compiled(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


class _Run:
    """One run of the kernels, with what its gradient needs."""

    def __init__(
        self,
        x: Tensor,
        c0: Tensor,
        w: Tensor,
        v: Tensor,
        b: Tensor,
        lengths: Tensor | None,
        direction: str,
        skip: str,
        skip_scale: float,
        activation: str,
    ) -> None:
        self.skip, self.skip_scale, self.activation = skip, skip_scale, ACTIVATIONS[activation]
        u, s = _products(x.detach(), w.detach(), skip)
        steps, batch = x.shape[:2]
        count = torch.full((batch,), steps) if lengths is None else lengths
        self.lengths = _array(count.to(torch.int64))
        self.reverse = np.asarray(DIRECTIONS[direction])
        self.u, self.s = _array(u), None if s is None else _array(s)
        self.c0, self.v, self.b = _array(c0), _array(v), _array(b)
        self.y, self.c, self.gates, self.c_last = kernels.forward(
            self.u, self.s, self.c0, self.v, self.b, self.reverse, self.lengths,
            skip_scale, self.activation, torch.get_num_threads(),
        )  # fmt: skip

    def outputs(self) -> tuple[Tensor, Tensor]:
        y = torch.from_numpy(self.y)
        return y.view(y.shape[0], y.shape[1], -1), torch.from_numpy(self.c_last)

    def gradients(self, x: Tensor, w: Tensor, grad_y: Tensor, grad_c: Tensor) -> Grads:
        grads = kernels.backward(
            self.u, self.s, self.c0, self.v, self.reverse, self.lengths, self.skip_scale,
            self.activation, self.c, self.gates, _array(grad_y.reshape(self.y.shape)),
            _array(grad_c), torch.get_num_threads(),
        )  # fmt: skip
        gu, gs, gc0, gv, gb = (torch.from_numpy(g) for g in grads)
        if self.skip == "projected":
            gu[:, :, :, 3] = gs
        flat = gu.view(x.shape[0] * x.shape[1], -1)
        rows = x.detach().reshape(-1, x.shape[2])
        gx = (flat @ w.detach().reshape(-1, x.shape[2])).view_as(x)
        if self.skip == "identity":
            gx += gs.reshape(x.shape)
        return gx, gc0, (flat.t() @ rows).view_as(w), gv, gb


@torch.library.custom_op("mohaq::sru", mutates_args=())
def sru(
    x: Tensor,
    c0: Tensor,
    weight: Tensor,
    vector: Tensor,
    bias: Tensor,
    direction: str,
    skip: str,
    skip_scale: float,
    activation: str,
) -> tuple[Tensor, Tensor]:
    """One SRU layer.

    Args:
        x: [T, B, I] inputs.
        c0: [D, B, H] state before the first step.
        weight: [D, k, H, I]; k = 4 with a projected skip, else 3.
        vector: [D, 2, H] (v_f, v_r).
        bias: [D, 2, H] (b_f, b_r).
        direction: `forward`, `reverse` (from the last frame to the first, outputs at their own
            time) or `bidirectional` (index 1 of D is the reverse one).
        skip: `none`, `identity` (I = D*H, each direction takes its slice of x) or `projected`.
        skip_scale: factor of the skip input.
        activation: `identity`, `tanh` or `relu`, of the state in the output.

    Returns:
        y [T, B, D*H] and c_last [D, B, H].

    Raises:
        ValueError: unknown names, or shapes that do not fit.
    """
    check_options(direction, skip, activation)
    _check(x, c0, weight, vector, bias, direction, skip)
    if _compiled(x):
        run = _Run(x, c0, weight, vector, bias, None, direction, skip, skip_scale, activation)
        return run.outputs()
    y, c = reference(x, c0, weight, vector, bias, direction, skip, skip_scale, activation)
    return y, c.clone()


@sru.register_fake
def _(
    x: Tensor,
    c0: Tensor,
    weight: Tensor,
    vector: Tensor,
    bias: Tensor,
    direction: str,
    skip: str,
    skip_scale: float,
    activation: str,
) -> tuple[Tensor, Tensor]:
    del vector, bias, skip_scale
    check_options(direction, skip, activation)
    width = weight.shape[0] * weight.shape[2]
    return x.new_empty(x.shape[0], x.shape[1], width), torch.empty_like(c0)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    del output
    ctx.save_for_backward(*inputs[:5])
    ctx.options = inputs[5:]


def _gradient(ctx: Any, grad_y: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
    # The states are computed again: an operator's outputs are its only memory.
    tensors = ctx.saved_tensors
    x, c0, w, v, b = tensors
    if _compiled(x):
        run = _Run(x, c0, w, v, b, None, *ctx.options)
        return (*run.gradients(x, w, grad_y, grad_c), None, None, None, None)
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in tensors]
        outputs = reference(*leaves, *ctx.options)
        grads = torch.autograd.grad(outputs, leaves, (grad_y, grad_c))
    return (*grads, None, None, None, None)


sru.register_autograd(_gradient, setup_context=_setup)


class _Padded(torch.autograd.Function):
    """The operator over padded sequences; keeps its states for the gradient."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        x, c0, w, v, b, lengths, *options = inputs
        ctx.save_for_backward(x, w)
        ctx.run = _Run(x, c0, w, v, b, lengths, *options)
        outputs: tuple[Tensor, Tensor] = ctx.run.outputs()
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        found: Grads = ctx.run.gradients(x, w, *grads)
        return (*found, None, None, None, None, None)


def sru_train(
    x: Tensor,
    c0: Tensor,
    weight: Tensor,
    vector: Tensor,
    bias: Tensor,
    direction: str,
    skip: str,
    skip_scale: float,
    activation: str,
    lengths: Tensor,
) -> tuple[Tensor, Tensor]:
    """The operator over a padded batch, for training (it is never exported).

    Args and results are the operator's; `lengths` [B] are the true lengths. The reverse direction
    starts at each sequence's own last frame; outputs behind a sequence's end are 0; c_last is each
    sequence's own.
    """
    check_options(direction, skip, activation)
    _check(x, c0, weight, vector, bias, direction, skip)
    options = (direction, skip, skip_scale, activation)
    if not _compiled(x):
        return reference(x, c0, weight, vector, bias, *options, lengths)
    y, c_last = _Padded.apply(  # type: ignore[no-untyped-call]
        x, c0, weight, vector, bias, lengths, *options
    )
    return y, c_last
