"""Exact integer matrix products by 8-bit GEMM.

Operands of up to 16 bits are taken apart into bytes. With x = 256 xh + xl (xl unsigned) and
w = 256 wh + wl + 128 (wl signed), x W^T is a sum of at most four products of bytes, each exact
in 32 bits, and of the rows of x. On processors with dot products of bytes (VNNI) all four
together cost less than one product in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mohaq.compiler.search import kernels

Ints = npt.NDArray[np.int64]
Frames = npt.NDArray[Any]

LONGEST = (1 << 31) // (255 * 128)
"""Extents K up to here keep sums of byte products below 2^31."""


@cache
def available() -> bool:
    """Whether PyTorch multiplies bytes exactly here.

    Some processors saturate pairs of products at 16 bits; the largest operands show that.
    """
    try:
        for kind, given in ((torch.int8, (-128, 127)), (torch.uint8, (0, 255))):
            x = torch.tensor([given * 32] * 16, dtype=kind)
            x[1], x[2] = given[0], given[1]
            w = torch.full((64, 16), 127, dtype=torch.int8)
            w[:, ::2] = -128
            w[::2, 3] = 127
            wanted = x.numpy().astype(np.int64) @ w.numpy().astype(np.int64)
            if not np.array_equal(torch._int_mm(x, w).numpy(), wanted):
                return False
    except (AttributeError, RuntimeError):
        return False
    return True


@dataclass(frozen=True)
class ByteWeights:
    """A matrix [N, K] as bytes [K, N], or [K, 2 N] with high and low ones side by side."""

    bytes: torch.Tensor
    wide: bool

    @property
    def channels(self) -> int:
        """N."""
        return int(self.bytes.shape[1]) // (2 if self.wide else 1)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.bytes.numel()


def byte_weights(weight: Ints) -> ByteWeights | None:
    """The matrix [N, K] in bytes; None where that would not be exact."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    if low < -(1 << 15) or high >= 1 << 15 or weight.shape[1] > LONGEST or not available():
        return None
    wide = low < -128 or high > 127
    turned = np.ascontiguousarray(weight.astype(np.int16).T)
    if wide:
        parts = [turned >> 8, (turned & 255) - 128]
        turned = np.concatenate(parts, axis=1)
    return ByteWeights(torch.from_numpy(turned.astype(np.int8)), wide)


@dataclass(frozen=True)
class ByteSums:
    """x W^T in products of bytes, not yet joined.

    Attributes:
        parts: int32 [n, N] or [n, 2 N] of x itself, or of its high and its low bytes.
        rows: sums of the rows of x [n] where the weights are wide.
    """

    parts: tuple[npt.NDArray[np.int32], ...]
    rows: Ints | None

    def joined(self, channels: int) -> Frames:
        """x W^T [n, N]: int32 where one product of bytes is enough, else int64."""
        upper, lower = self.parts[0], self.parts[-1]
        if len(self.parts) == 1 and self.rows is None:
            return upper
        out = np.empty((len(upper), channels), np.int64)
        if self.rows is None:
            kernels.join_values(upper, lower, out)
        elif len(self.parts) == 1:
            kernels.join_weights(upper, self.rows, out)
        else:
            kernels.join_both(upper, lower, self.rows, out)
        return out


def is_byte(low: int, high: int) -> bool:
    """Whether one byte holds low..high, with or without a sign."""
    return (low >= 0 and high < 256) or (low >= -128 and high < 128)


def byte_sums(x: Frames, low: int, high: int, weights: ByteWeights) -> ByteSums:
    """Products of the bytes of whole numbers x [n, K] in low..high, which 16 bits hold."""
    if is_byte(low, high):
        parts = [x.astype(np.uint8 if low >= 0 else np.int8)]
    else:
        held = x.astype(np.int16)
        parts = [(held >> 8).astype(np.int8), held.astype(np.uint8)]
    sums = tuple(torch._int_mm(torch.from_numpy(p), weights.bytes).numpy() for p in parts)
    return ByteSums(sums, x.sum(axis=1, dtype=np.int64) if weights.wide else None)


def product(x: Frames, low: int, high: int, weights: ByteWeights) -> Frames:
    """x W^T [n, N] of whole numbers x [n, K] in low..high, which 16 bits hold.

    int32 where one product of bytes is enough, else int64.
    """
    return byte_sums(x, low, high, weights).joined(weights.channels)
