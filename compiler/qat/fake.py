"""Grids in floating point: values rounded as the integer program holds them, with a gradient.

The gradient is the straight-through estimator of Y. Bengio et al. (2013): one where the rounded
value lies on the grid, zero where it was clamped.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from mohaq.compiler.dialects.quant import GridAttr

WHOLE_HIGH = (1 << 15) - 1
"""Largest integer of 16 bits."""


class _Rounded(torch.autograd.Function):
    """clamp(floor(x / step + 1/2) + zero, low, high), back in real numbers."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: float | Tensor, zero: int, low: int, high: int
    ) -> Tensor:
        whole = torch.floor(x / step + 0.5)
        held = whole.clamp(low - zero, high - zero)
        ctx.save_for_backward(held == whole)
        return held * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None, None, None


def rounded(x: Tensor, step: float | Tensor, zero: int, low: int, high: int) -> Tensor:
    """x of any shape on the grid; steps broadcast against it."""
    made: Tensor = _Rounded.apply(x, step, zero, low, high)  # type: ignore[no-untyped-call]
    return made


class ValueGrid(nn.Module):
    """Values of a layer on a grid with one step; without a grid they stay as they are."""

    def __init__(self, grid: GridAttr | None = None) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape, rounded."""
        g = self.grid
        return x if g is None else rounded(x, g.step, g.zero, g.low, g.high)

    def extra_repr(self) -> str:
        """The grid, for `print`."""
        return str(self.grid)


class WeightGrid:
    """A weight on its grid: the integers are exactly those of the compiler's quantizer.

    Args:
        grid: of the slot.
        shape: of the weight.
        steps: [N] of a grid of rows; the weight's leading extents count the rows.
    """

    def __init__(
        self, grid: GridAttr, shape: tuple[int, ...], steps: npt.NDArray[Any] | None = None
    ) -> None:
        self.grid = grid
        step = torch.tensor(grid.step, dtype=torch.float64)
        if steps is not None:
            step = torch.from_numpy(steps).to(torch.float64)
            lead, rows = 0, 1
            while rows < step.numel():
                rows *= shape[lead]
                lead += 1
            step = step.reshape(*shape[:lead], *(1,) * (len(shape) - lead))
        self.step = step
        self.low, self.high = step * grid.low, step * grid.high
        """Real values of the grid's ends, as tensors that broadcast against the weight."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The weight, rounded; computed in 64 bits as the quantizer does."""
        g = self.grid
        return rounded(weight.double(), self.step, g.zero, g.low, g.high).to(weight.dtype)


def at_16_bits(vector: Tensor) -> Tensor:
    """A parameter on the 16-bit grid of its own largest magnitude (vectors, projections)."""
    peak = vector.detach().abs().max().double()
    if not peak > 0:
        return vector
    step = peak / WHOLE_HIGH
    return rounded(vector.double(), step, 0, -WHOLE_HIGH - 1, WHOLE_HIGH).to(vector.dtype)
