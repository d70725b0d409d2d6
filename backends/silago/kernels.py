"""Single programs of the compiler with their data: products and elementwise segments.

What `lower` and `emit` make for whole layers, one run at a time, for checks on other models of the
fabric (`python -m mohaq.tools.vectors silago --export`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mohaq.backends.silago.emit import weight_rows
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.line import words_of
from mohaq.backends.silago.schedule.matrix import (
    CHUNK,
    OUT_BLOCK,
    MatrixRun,
    layout,
    matrix_program,
)
from mohaq.backends.silago.schedule.passes import CHUNK as ELEMENTS
from mohaq.backends.silago.schedule.passes import Pass
from mohaq.backends.silago.schedule.tasks import Band, MatrixTask, VectorTask, place
from mohaq.backends.silago.schedule.vector import OUT_BLOCK as STORED_BLOCK
from mohaq.backends.silago.schedule.vector import vector_program
from mohaq.compiler.diagnostics import MohaqError

Cell = tuple[int, int]
Words = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Kernel:
    """Programs by cell, rows of tiles (tile row from 0 = near, column, row) -> 16 words.

    results: register-file places (row, column, address) of the results, in their order.
    """

    programs: Mapping[Cell, tuple[int, ...]]
    rows: Mapping[tuple[int, int, int], tuple[int, ...]]
    results: tuple[tuple[int, int, int], ...]


def matvec(fabric: Fabric, weights: Words, x: Words, bits: int, *, q411: bool = False) -> Kernel:
    """y = W x in faithful numerics: int16, Q4.11, or packed lanes without a shift.

    Args:
        fabric: the machine.
        weights: [M, K] in `bits` bits.
        x: [K] in `bits` bits.
        bits: 16, 8 or 4.
        q411: 16-bit sums leave shifted by 12.

    Raises:
        MohaqError: the product does not fit one run, or shapes that do not fit.
    """
    rows, features = weights.shape
    lanes = fabric.lanes(bits)
    task = MatrixTask(fabric, rows, features, bits, (Band(0, ((0, rows),)),))
    groups = -(-rows // lanes)
    at = layout(fabric, features, bits, -(-groups // task.cells), drained=False)
    if len(at.parts) > 1 or at.groups * task.cells < groups or len(x) != features:
        raise MohaqError(f"a product of {rows} x {features} does not fit one run")
    run = MatrixRun(at, 0, bits, 0, wide=False, q411=q411, latched=fabric.latched)
    task.__dict__["place"] = at
    image = weight_rows(weights, task)[0]
    full = np.zeros(CHUNK * at.chunks, dtype=np.int64)
    full[:features] = x
    given = full.reshape(-1, CHUNK).copy()
    given[:, 0] = np.roll(given[:, 0], -1)
    low = given & ((1 << bits) - 1)
    packed = sum(low << (bits * lane) for lane in range(lanes))
    inputs = np.asarray(packed).astype(np.uint16).view(np.int16)
    programs, tiles, results = {}, {}, []
    for number in range(task.cells):
        row, col = place(fabric, number)
        programs[row, col] = words_of(matrix_program(run, row)[0])
        for n, words in enumerate(image[number]):
            tiles[row, col, n] = tuple(int(w) for w in words)
        for n, words in enumerate(inputs):
            tiles[row, col, at.input_row + n] = tuple(int(w) for w in words)
    for group in range(groups):
        slot, number = divmod(group, task.cells)
        results.append((*place(fabric, number), CHUNK * OUT_BLOCK + slot))
    return Kernel(programs, tiles, tuple(results))


def elementwise(
    fabric: Fabric, passes: Sequence[Pass], kept: Sequence[int], values: Mapping[int, Words]
) -> Kernel:
    """The first segment of passes over vectors, in one run.

    Args:
        fabric: the machine.
        passes: the code.
        kept: values that are needed in the end.
        values: inputs and constants by number, [N] each.

    Raises:
        MohaqError: the vectors do not fit one run.
    """
    extent = len(next(iter(values.values())))
    task = VectorTask(fabric, extent, tuple(passes), tuple(kept))
    segment = task.segments[0]
    dealt = task.deal(segment)
    if dealt.runs != 1:
        raise MohaqError(f"vectors of {extent} elements do not fit one run")
    programs, tiles, results = {}, {}, []
    room = dealt.rounds * dealt.cells * ELEMENTS
    given = np.zeros((4 * segment.rows, room), dtype=np.int64)
    for slot, n in enumerate(segment.inputs):
        given[slot, :extent] = values[n]
    shaped = given.reshape(segment.rows, 4, dealt.rounds, dealt.cells, ELEMENTS)
    for number in range(dealt.cells):
        row, col = place(fabric, number)
        how = {"wide": task.wide, "latched": fabric.latched}
        code = vector_program(segment, dealt.rounds, row, **how)[0]
        programs[row, col] = words_of(code)
        for step in range(dealt.rounds):
            for height in range(segment.rows):
                words = shaped[height, :, step, number].reshape(-1)
                tiles[row, col, step * segment.rows + height] = tuple(int(w) for w in words)
        first = CHUNK * STORED_BLOCK
        results += [(row, col, first + ELEMENTS * n) for n in range(len(segment.outputs))]
    return Kernel(programs, tiles, tuple(results))
