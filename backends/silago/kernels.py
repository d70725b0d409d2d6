"""Single programs of the compiler with their data: products and elementwise segments.

What `lower` and `emit` make for whole layers, one run at a time, for checks on other models of the
fabric (`python -m mohaq.tools.vectors silago --export`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mohaq.backends.silago.images import weight_rows
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.layout import CHUNK, late, layout
from mohaq.backends.silago.schedule.line import words_of
from mohaq.backends.silago.schedule.matrix import OUT_BLOCK, matrix_program
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
        x: [K] in `bits` bits, or [2, K]: two vectors at once, on both lanes of pairs of cells.
            Results are then those of the first vector, then those of the second one.
        bits: 16, 8 or 4.
        q411: 16-bit sums leave shifted by 12.

    Raises:
        MohaqError: the product does not fit one run, or shapes that do not fit.
    """
    rows, features = weights.shape
    lanes = fabric.lanes(bits)
    vectors = np.atleast_2d(x)
    pairs = len(vectors) == 2
    task = MatrixTask(fabric, rows, features, bits, (Band(0, ((0, rows),)),), pairs)
    groups = -(-rows // lanes)
    at = layout(fabric, features, bits, [-(-groups // task.cells)], drained=False)
    fits = len(at.parts) == 1 and not at.turn and at.groups * task.cells >= groups
    if not fits or vectors.shape not in {(1, features), (2, features)}:
        raise MohaqError(f"a product of {rows} x {features} does not fit one run")
    if pairs and not task.paired:
        raise MohaqError(f"a product with {rows} rows has no pair of cells")
    task.__dict__["place"] = at
    run = replace(task.run(0, 0, len(vectors)), shift=0, wide=False, q411=q411)
    image = weight_rows(weights, task)[0]
    programs, tiles = {}, {}
    for number, (row, col) in enumerate(task.places):
        programs[row, col] = words_of(matrix_program(run, row).program)
        for n, words in enumerate(image[number]):
            tiles[row, col, n] = tuple(int(w) for w in words)
        mine = vectors[min(row, len(vectors) - 1)]
        for n, words in enumerate(_input_rows(mine, at.chunks, bits, late(row, weights=False))):
            tiles[row, col, at.input_row + n] = tuple(int(w) for w in words)
    results = []
    for vector in range(len(vectors)):
        for group in range(groups):
            slot, number = divmod(group, task.cells)
            word = CHUNK * OUT_BLOCK + len(vectors) * slot + vector
            results.append((*task.places[number], word))
    return Kernel(programs, tiles, tuple(results))


def _input_rows(x: Words, chunks: int, bits: int, early: int) -> npt.NDArray[np.int16]:
    """Rows of an input, replicated into the lanes; the first words belong to the next chunk."""
    full = np.zeros(CHUNK * chunks, dtype=np.int64)
    full[: len(x)] = x
    given = full.reshape(-1, CHUNK).copy()
    given[:, :early] = np.roll(given[:, :early], -1, axis=0)
    low = given & ((1 << bits) - 1)
    packed = sum(low << (bits * lane) for lane in range(16 // bits))
    return np.asarray(packed).astype(np.uint16).view(np.int16)


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
    room = dealt.rounds * dealt.cells * segment.width
    given = np.zeros((segment.per_row * segment.rows, room), dtype=np.int64)
    for slot, n in enumerate(segment.inputs):
        given[slot, :extent] = values[n]
    shaped = given.reshape(segment.rows, segment.per_row, dealt.rounds, dealt.cells, segment.width)
    for number in range(dealt.cells):
        row, col = place(fabric.cols, number)
        how = {"wide": task.wide, "latched": fabric.latched}
        code = vector_program(segment, dealt.rounds, row, **how)[0]
        programs[row, col] = words_of(code)
        for step in range(dealt.rounds):
            for height in range(segment.rows):
                words = shaped[height, :, step, number].reshape(-1)
                tiles[row, col, step * segment.rows + height] = tuple(int(w) for w in words)
        first = CHUNK * STORED_BLOCK
        results += [(row, col, first + segment.width * n) for n in range(len(segment.outputs))]
    return Kernel(programs, tiles, tuple(results))
