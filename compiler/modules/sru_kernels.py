"""Compiled SRU recurrence, forward and backward (numba).

The matrix product is left to PyTorch; these kernels run what is sequential in time. A work item is
one (batch element, direction) pair; items are independent, so threads share them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

IDENTITY, TANH, RELU = 0, 1, 2
"""Codes of the output activation."""

_SMALL = 1 << 15
"""Below this many state updates the hand-over to threads costs more than it saves."""


@njit(nogil=True, cache=True, inline="always")
def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


@njit(nogil=True, cache=True, error_model="numpy")
def _forward(
    first: int,
    last: int,
    u: Array,
    s: Array,
    c0: Array,
    v: Array,
    b: Array,
    reverse: Array,
    lengths: Array,
    skip_scale: float,
    activation: int,
    y: Array,
    c: Array,
    gates: Array,
    c_last: Array,
) -> None:
    directions, width = u.shape[2], u.shape[4]
    has_skip = s.shape[0] > 0
    one = u.dtype.type(1)
    scale = u.dtype.type(skip_scale)
    for item in range(first, last):
        n, d = item // directions, item % directions
        steps = lengths[n]
        state = c_last[d, n]
        state[:] = c0[d, n]
        for step in range(steps):
            t = steps - 1 - step if reverse[d] else step
            row, out = u[t, n, d], y[t, n, d]
            f_row, r_row, c_row = gates[t, n, d, 0], gates[t, n, d, 1], c[t, n, d]
            for h in range(width):
                f_row[h] = _sigmoid(row[1, h] + v[d, 0, h] * state[h] + b[d, 0, h])
                r_row[h] = _sigmoid(row[2, h] + v[d, 1, h] * state[h] + b[d, 1, h])
            for h in range(width):
                state[h] = f_row[h] * state[h] + (one - f_row[h]) * row[0, h]
                c_row[h] = state[h]
                out[h] = state[h]
            if activation == 1:
                for h in range(width):
                    out[h] = math.tanh(out[h])
            elif activation == 2:
                for h in range(width):
                    out[h] = max(out[h], out.dtype.type(0))
            for h in range(width):
                out[h] *= r_row[h]
            if has_skip:
                for h in range(width):
                    out[h] += (one - r_row[h]) * scale * s[t, n, d, h]


@njit(nogil=True, cache=True, error_model="numpy")
def _backward(
    first: int,
    last: int,
    u: Array,
    s: Array,
    c0: Array,
    v: Array,
    reverse: Array,
    lengths: Array,
    skip_scale: float,
    activation: int,
    c: Array,
    gates: Array,
    grad_y: Array,
    carry: Array,
    grad_u: Array,
    grad_s: Array,
    grad_v: Array,
    grad_b: Array,
) -> None:
    directions, width = u.shape[2], u.shape[4]
    has_skip = s.shape[0] > 0
    one = u.dtype.type(1)
    zero = u.dtype.type(0)
    scale = u.dtype.type(skip_scale)
    for item in range(first, last):
        n, d = item // directions, item % directions
        steps = lengths[n]
        total = carry[d, n]  # dL/dc of the step at hand; ends as dL/dc0
        gvf, gvr = grad_v[n, d, 0], grad_v[n, d, 1]
        gbf, gbr = grad_b[n, d, 0], grad_b[n, d, 1]
        for back in range(steps):
            step = steps - 1 - back
            t = steps - 1 - step if reverse[d] else step
            before = c0[d, n]
            if step > 0:
                before = c[t + 1, n, d] if reverse[d] else c[t - 1, n, d]
            row, now, gy = u[t, n, d], c[t, n, d], grad_y[t, n, d]
            f_row, r_row = gates[t, n, d, 0], gates[t, n, d, 1]
            gu = grad_u[t, n, d]
            for h in range(width):
                f, r, value = f_row[h], r_row[h], now[h]
                slope = one
                if activation == 1:
                    value = math.tanh(value)
                    slope = one - value * value
                elif activation == 2:
                    slope = one if value > zero else zero
                    value = max(value, zero)
                skipped = zero
                if has_skip:
                    skipped = scale * s[t, n, d, h]
                    grad_s[t, n, d, h] = gy[h] * (one - r) * scale
                g_r = gy[h] * (value - skipped) * r * (one - r)
                g_c = total[h] + gy[h] * r * slope
                g_f = g_c * (before[h] - row[0, h]) * f * (one - f)
                gu[0, h] = g_c * (one - f)
                gu[1, h] = g_f
                gu[2, h] = g_r
                total[h] = g_c * f + g_f * v[d, 0, h] + g_r * v[d, 1, h]
                gvf[h] += g_f * before[h]
                gvr[h] += g_r * before[h]
                gbf[h] += g_f
                gbr[h] += g_r


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    # Keyed by process: a forked child must not wait for its parent's threads.
    del process
    return ThreadPoolExecutor(threads, thread_name_prefix="mohaq-sru")


def _share(kernel: Callable[..., None], items: int, work: int, threads: int, *args: Any) -> None:
    threads = 1 if work < _SMALL else max(1, min(threads, items))
    if threads == 1:
        kernel(0, items, *args)
        return
    edges = [items * i // threads for i in range(threads + 1)]
    pool = _pool(os.getpid(), threads)
    tasks = [pool.submit(kernel, first, last, *args) for first, last in pairwise(edges)]
    for task in tasks:
        task.result()


def forward(
    u: Array,
    s: Array | None,
    c0: Array,
    v: Array,
    b: Array,
    reverse: Array,
    lengths: Array,
    skip_scale: float,
    activation: int,
    threads: int,
) -> tuple[Array, Array, Array, Array]:
    """Run the recurrence.

    Args:
        u: [T, B, D, k, H] products W x, gate order (candidate, forget, reset[, skip]).
        s: [T, B, D, H] skip input, or None.
        c0: [D, B, H] state before the first step.
        v: [D, 2, H] recurrent vectors (forget, reset).
        b: [D, 2, H] biases (forget, reset).
        reverse: [D] true where time runs backwards.
        lengths: [B] steps of each batch element; outputs behind them are 0.
        skip_scale: factor of the skip input.
        activation: `IDENTITY`, `TANH` or `RELU`, of the state in the output.
        threads: how many may work at once.

    Returns:
        y [T, B, D, H], c [T, B, D, H], gates [T, B, D, 2, H] (f, r) and c_last [D, B, H].
    """
    steps, batch, directions, _, width = u.shape
    y = np.zeros((steps, batch, directions, width), u.dtype)
    c = np.zeros_like(y)
    gates = np.zeros((steps, batch, directions, 2, width), u.dtype)
    c_last = np.empty((directions, batch, width), u.dtype)
    skip = np.empty((0, batch, directions, width), u.dtype) if s is None else s
    args = (u, np.ascontiguousarray(skip), c0, v, b, reverse, lengths, skip_scale, activation)
    _share(_forward, batch * directions, y.size, threads, *args, y, c, gates, c_last)
    return y, c, gates, c_last


def backward(
    u: Array,
    s: Array | None,
    c0: Array,
    v: Array,
    reverse: Array,
    lengths: Array,
    skip_scale: float,
    activation: int,
    c: Array,
    gates: Array,
    grad_y: Array,
    grad_c_last: Array,
    threads: int,
) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients of `forward`; arguments and shapes as there.

    Returns:
        Gradients of u (its fourth gate untouched, zero), s, c0, v and b.
    """
    batch, directions, width = u.shape[1], u.shape[2], u.shape[4]
    grad_u = np.zeros_like(u)
    skip = np.empty((0, batch, directions, width), u.dtype) if s is None else s
    skip = np.ascontiguousarray(skip)
    grad_s = np.zeros_like(skip)
    carry = np.array(grad_c_last, copy=True, order="C")
    grad_v = np.zeros((batch, directions, 2, width), u.dtype)
    grad_b = np.zeros_like(grad_v)
    args = (u, skip, c0, v, reverse, lengths, skip_scale, activation, c, gates, grad_y)
    results = (carry, grad_u, grad_s, grad_v, grad_b)
    _share(_backward, batch * directions, c.size, threads, *args, *results)
    return grad_u, grad_s, carry, grad_v.sum(axis=0), grad_b.sum(axis=0)
