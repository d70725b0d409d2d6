"""`weights.bin`: what every core reads from shared memory, packed as the kernels want it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.epiphany.lowering.nodes import Exchange, Product, Stage
from mohaq.backends.epiphany.plan.shapes import WORD, constant_bytes, padded, vector_bytes
from mohaq.backends.epiphany.plan.tiles import ProductPlan, StagePlan

Ints = npt.NDArray[np.int64]


@dataclass
class Blob:
    """Bytes and where things start: vectors of a stage, weights of a product; core by core."""

    data: bytearray
    vectors: list[int]
    weights: list[list[int]]


def build_blob(
    stages: list[Stage], plans: tuple[StagePlan, ...], parameters: Mapping[str, npt.NDArray[Any]]
) -> Blob:
    """Pack everything; offsets are multiples of 8."""
    made = Blob(bytearray(), [], [])
    for stage, plan in zip(stages, plans, strict=True):
        made.vectors.append(len(made.data))
        for core in range(stage.active if constant_bytes(stage) else 0):
            made.data += _vectors(stage, core, parameters)
        made.weights.append([])
        for product, one in zip(stage.products, plan.products, strict=True):
            made.weights[-1].append(len(made.data))
            matrix = parameters[product.weights].astype(np.int64)
            for core in range(product.split.active):
                made.data += _weights(product, one, matrix, core)
    if not made.data:
        made.data += bytes(WORD)
    return made


def _vectors(stage: Stage, core: int, parameters: Mapping[str, npt.NDArray[Any]]) -> bytes:
    made = bytearray()
    for (name, group), (split, bits) in stage.params.items():
        channels = split.rows(core, (group,))
        values = parameters[name].astype(np.int64).reshape(-1)
        size = vector_bytes(bits)
        mine = np.where(channels >= 0, values[np.maximum(channels, 0)], 0)
        made += _filled(mine.astype(f"<i{size}").tobytes())
    for fetch in stage.fetches:
        if not fetch.aligned:
            wanted = fetch.split.rows(core, (0,))
            wanted = np.where(wanted >= 0, wanted + fetch.group * fetch.split.units, -1)
            place = {int(c): n for n, c in enumerate(fetch.plane.split.channels()) if c >= 0}
            columns = np.array([place.get(int(c), 0) for c in wanted])
            made += _filled(columns.astype("<u4").tobytes())
    return bytes(made)


def _filled(data: bytes) -> bytes:
    return data + bytes(padded(len(data), WORD) - len(data))


def _weights(product: Product, plan: ProductPlan, matrix: Ints, core: int) -> bytes:
    """[piece][tile][row block][column][row], offset-binary."""
    rows = product.split.rows(core, tuple(product.groups))
    block, bits = plan.shape.block, plan.shape.bits
    height = plan.shape.blocks * block
    first, made = 0, bytearray()
    for number, channels in enumerate(operand_channels(product)):
        tiles = plan.tiles[number]
        grid = np.zeros((height, tiles.columns * tiles.count), dtype=np.int64)
        picked = matrix[np.maximum(rows, 0)][:, first + np.maximum(channels, 0)]
        grid[: len(rows), : len(channels)] = np.where(
            (rows >= 0)[:, None] & (channels >= 0)[None, :], picked, 0
        )
        first += int(channels.max()) + 1
        shaped = grid.reshape(plan.shape.blocks, block, tiles.count, tiles.columns)
        made += pack(shaped.transpose(2, 0, 3, 1).reshape(-1), bits)
    return bytes(made)


def operand_channels(product: Product) -> list[Ints]:
    """Channel of each column of each piece, -1 for idle ones."""
    source = product.source
    if isinstance(source, Exchange):
        return [source.split.channels()]
    return [piece.plane.split.channels() for piece in source.pieces]


def pack(values: Ints, bits: int) -> bytes:
    """Signed weights as unsigned ones with an offset, the first in the lowest bits."""
    offset = (values + (1 << (bits - 1))).astype(np.uint64)
    if bits >= 8:
        return offset.astype(f"<u{bits // 8}").tobytes()
    each = 8 // bits
    shifts = (np.arange(each) * bits).astype(np.uint64)
    joined: npt.NDArray[np.uint64] = (offset.reshape(-1, each) << shifts).sum(axis=1)
    return joined.astype(np.uint8).tobytes()
