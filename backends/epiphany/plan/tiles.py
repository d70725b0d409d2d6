"""Tiles of a stage: time steps and columns at once, weights resident or streamed."""

from __future__ import annotations

from dataclasses import dataclass

from mohaq.backends.epiphany.legalize import COLUMNS
from mohaq.backends.epiphany.lowering.split import STEP_BYTES, STEPS
from mohaq.backends.epiphany.plan.shapes import WORD, ProductShape, StageShape, padded


@dataclass(frozen=True)
class ColumnTiles:
    """A piece of an operand in `count` tiles of `columns` columns, zero weights at the end.

    Columns come in eights, so that rows of 2-bit weights are whole words.
    """

    real: int
    columns: int
    count: int

    @staticmethod
    def of(real: int, most: int) -> ColumnTiles:
        """Even tiles of at most `most` columns."""
        count = -(-real // most)
        return ColumnTiles(real, padded(-(-real // count), WORD), count)

    def inside(self, tile: int) -> int:
        """Real columns of a tile."""
        return max(0, min(self.columns, self.real - tile * self.columns))


@dataclass(frozen=True)
class ProductPlan:
    """How the weights of a product are read.

    tiles: of each piece. blocks_at_once: row blocks of one weight buffer. resident: the weights
    stay in local memory.
    """

    shape: ProductShape
    tiles: tuple[ColumnTiles, ...]
    blocks_at_once: int
    resident: bool

    def block_bytes(self, piece: int) -> int:
        """Bytes of one row block of a tile."""
        return self.tiles[piece].columns * self.shape.block * self.shape.bits // 8

    def tile_bytes(self, piece: int) -> int:
        """Bytes of all row blocks of a tile."""
        return self.shape.blocks * self.block_bytes(piece)

    @property
    def bytes(self) -> int:
        """Bytes of all weights of one core."""
        return sum(t.count * self.tile_bytes(n) for n, t in enumerate(self.tiles))

    @property
    def buffer_bytes(self) -> int:
        """Bytes of one of the two weight buffers that it needs."""
        if self.resident:
            return 0
        most = max(self.block_bytes(n) for n in range(len(self.tiles)))
        return self.blocks_at_once * most

    @property
    def chunks(self) -> int:
        """Transfers for all row blocks of a tile."""
        return -(-self.shape.blocks // self.blocks_at_once)


@dataclass(frozen=True)
class StagePlan:
    """Tiles of one stage.

    quads: groups of four steps that are worked on at once.
    """

    shape: StageShape
    quads: int
    products: tuple[ProductPlan, ...]
    operands: tuple[tuple[ColumnTiles, ...], ...]

    @property
    def operand_bytes(self) -> int:
        """Bytes of the widened tile of an operand."""
        most = max((t.columns for tiles in self.operands for t in tiles), default=0)
        return self.quads * most * STEPS * 4

    def share(self, tiles: ColumnTiles, cores: int) -> int:
        """Columns of a tile that one core fetches for all."""
        return -(-tiles.columns // cores)

    def share_bytes(self, cores: int) -> int:
        """Bytes of a core's share as it lies in shared memory, for all quads."""
        most = max((self.share(t, cores) for tiles in self.operands for t in tiles), default=0)
        return self.quads * most * STEP_BYTES

    @property
    def buffer_bytes(self) -> int:
        """Bytes of one weight buffer."""
        return max((p.buffer_bytes for p in self.products), default=0)


def plan_stage(
    shape: StageShape, quads: int, columns: int, buffer: int, resident: bool | frozenset[int]
) -> StagePlan:
    """A plan with given tile sizes.

    Args:
        shape: of the stage.
        quads: groups of four steps at once.
        columns: most columns of a tile.
        buffer: bytes of a weight buffer, as far as one row block fits it.
        resident: whether weights stay in local memory, or which products' do.
    """
    operands = tuple(
        tuple(ColumnTiles.of(real, min(columns, COLUMNS)) for real in pieces)
        for pieces in shape.operands
    )
    products = []
    for number, product in enumerate(shape.products):
        tiles = (
            operands[product.source]
            if product.batched
            else tuple(ColumnTiles.of(real, COLUMNS) for real in product.columns)
        )
        largest = max(t.columns for t in tiles) * product.block * product.bits // 8
        at_once = max(1, min(product.blocks, buffer // largest))
        stays = resident if isinstance(resident, bool) else number in resident
        products.append(ProductPlan(product, tiles, at_once, stays))
    return StagePlan(shape, quads, tuple(products), operands)
