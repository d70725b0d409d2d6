"""The array: products of tiles, summed into 32-bit accumulators.

`bricks` forms every product from 2-bit bricks and sums chunk by chunk as the array does; `fast`
gives the same sums with one exact matrix product. Both raise when an accumulator leaves 32 bits,
`fast` after each tile, `bricks` after each chunk.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.machine import Machine
from mohaq.compiler.diagnostics import MohaqError

Array = npt.NDArray[np.int64]
LOW, HIGH = -(1 << 31), (1 << 31) - 1


def digits(values: Array, bits: int, *, signed: bool) -> list[Array]:
    """Base-4 digits, lowest first; only the top digit of a signed operand is signed."""
    count = bits // 2
    found = [values >> (2 * i) & 3 for i in range(count)]
    if signed:
        found[-1] = (found[-1] ^ 2) - 2
    return found


def brick_products(act: Array, weight: Array, a: tuple[int, bool], w: tuple[int, bool]) -> Array:
    """act [R, K] times weight [N, K] elementwise and summed: [R, N], from 2-bit products.

    `a` and `w` give (bits, signed). Each fused unit sums all products of one cycle.
    """
    total = np.zeros((act.shape[0], weight.shape[0]), dtype=np.int64)
    for i, left in enumerate(digits(act, a[0], signed=a[1])):
        for j, right in enumerate(digits(weight, w[0], signed=w[1])):
            brick = left[:, None, :] * right[None, :, :]
            total += brick.sum(axis=2) << (2 * (i + j))
    return total


def accumulate(
    acc: Array,
    act: Array,
    weight: Array,
    a: tuple[int, bool],
    w: tuple[int, bool],
    machine: Machine,
    *,
    bricks: bool,
) -> Array:
    """acc + act times weight transposed.

    Raises:
        MohaqError: an accumulator leaves 32 bits.
    """
    if bricks:
        reach = machine.rows * machine.lanes_of(a[0], w[0])
        for start in range(0, act.shape[1], reach):
            part = slice(start, start + reach)
            acc = _checked(acc + brick_products(act[:, part], weight[:, part], a, w))
        return acc
    # Sums stay below 2^53 for any tile that fits a buffer, so doubles are exact.
    product = act.astype(np.float64) @ weight.astype(np.float64).T
    return _checked(acc + product.astype(np.int64))


def _checked(acc: Array) -> Array:
    if acc.size and (int(acc.min()) < LOW or int(acc.max()) > HIGH):
        raise MohaqError("an accumulator of the array overflows 32 bits")
    return acc


def array_cycles(rows: int, columns: int, k: int, a: int, w: int, machine: Machine) -> int:
    """Cycles of one tile: a row enters per cycle, for each column group and chunk of K."""
    groups = -(-columns // machine.columns)
    chunks = -(-k // (machine.rows * machine.lanes_of(a, w)))
    return rows * groups * chunks
