"""The program around the instructions: memory rows, segments of cell programs, their launches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import StringAttr, SymbolNameConstraint, SymbolRefAttr
from xdsl.ir import Block, Operation, Region
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.traits import NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from mohaq.backends.silago.dialect.base import InstructionOp, Int, number
from mohaq.backends.silago.isa.text import row_hex, row_words
from mohaq.backends.silago.isa.words import encode_all
from mohaq.backends.silago.machine import Fabric, fabric_of, load_target
from mohaq.backends.silago.verify import Carried, check
from mohaq.backends.silago.verify.finding import Finding
from mohaq.backends.silago.verify.static import check_static
from mohaq.compiler.diagnostics import MohaqError


@irdl_op_definition
class ImageOp(IRDLOperation):
    """The host writes a memory row: 64 hexadecimal digits, word 0 in the last four.

    Tile row 1 is the one next to the fabric.
    """

    name = "silago.image"
    tile_row = prop_def(Int)
    tile_col = prop_def(Int)
    row = prop_def(Int)
    data = prop_def(StringAttr)
    assembly_format = "$tile_row `,` $tile_col `,` $row $data attr-dict"

    def __init__(self, tile_row: int, tile_col: int, row: int, words: Sequence[int]) -> None:
        super().__init__(
            properties={
                "tile_row": number(tile_row),
                "tile_col": number(tile_col),
                "row": number(row),
                "data": StringAttr(row_hex(words)),
            }
        )

    def verify_(self) -> None:
        try:
            row_words(self.data.data)
        except MohaqError as error:
            raise VerifyException(error.message()) from None


@irdl_op_definition
class CellOp(IRDLOperation):
    """The program of one cell."""

    name = "silago.cell"
    row = prop_def(Int)
    col = prop_def(Int)
    body = region_def("single_block")

    traits = traits_def(NoTerminator())
    assembly_format = "$row `,` $col $body attr-dict"

    def __init__(self, row: int, col: int, ops: Sequence[InstructionOp]) -> None:
        super().__init__(
            properties={"row": number(row), "col": number(col)}, regions=[Region(Block(list(ops)))]
        )

    @property
    def cell(self) -> tuple[int, int]:
        """Row and column."""
        return self.row.value.data, self.col.value.data

    def words(self) -> tuple[int, ...]:
        """The words of 27 bits.

        Raises:
            MohaqError: a field does not fit.
        """
        ops = (op for op in self.body.block.ops if isinstance(op, InstructionOp))
        return encode_all(op.instruction() for op in ops)

    def verify_(self) -> None:
        for op in self.body.block.ops:
            if not isinstance(op, InstructionOp):
                raise VerifyException(f"'{op.name}' is no instruction")


@irdl_op_definition
class SegmentOp(IRDLOperation):
    """Cell programs that are loaded together."""

    name = "silago.segment"
    sym_name = prop_def(SymbolNameConstraint())
    body = region_def("single_block")

    traits = traits_def(NoTerminator(), SymbolOpInterface())
    assembly_format = "$sym_name $body attr-dict"

    def __init__(self, name: str, cells: Sequence[CellOp]) -> None:
        super().__init__(
            properties={"sym_name": StringAttr(name)}, regions=[Region(Block(list(cells)))]
        )

    def programs(self) -> dict[tuple[int, int], tuple[int, ...]]:
        """Words by cell."""
        cells = (op for op in self.body.block.ops if isinstance(op, CellOp))
        return {op.cell: op.words() for op in cells}

    def verify_(self) -> None:
        seen: set[tuple[int, int]] = set()
        for op in self.body.block.ops:
            if not isinstance(op, CellOp):
                raise VerifyException(f"'{op.name}' cannot be in a segment")
            if op.cell in seen:
                raise VerifyException(f"cell {op.cell} has two programs")
            seen.add(op.cell)


@irdl_op_definition
class LaunchOp(IRDLOperation):
    """The host loads a segment, starts it and waits for its end."""

    name = "silago.launch"
    segment = prop_def(SymbolRefAttr)
    assembly_format = "$segment attr-dict"

    def __init__(self, segment: str) -> None:
        super().__init__(properties={"segment": SymbolRefAttr(segment)})


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """A whole program: `silago.image` and `silago.launch` happen in the order they stand in."""

    name = "silago.program"
    target = prop_def(StringAttr)
    body = region_def("single_block")

    traits = traits_def(NoTerminator())
    assembly_format = "$target $body attr-dict"

    def __init__(self, target: str, ops: Sequence[Operation]) -> None:
        super().__init__(
            properties={"target": StringAttr(target)}, regions=[Region(Block(list(ops)))]
        )

    def segments(self) -> dict[str, SegmentOp]:
        """Segments by name."""
        ops = (op for op in self.body.block.ops if isinstance(op, SegmentOp))
        return {op.sym_name.data: op for op in ops}

    def launches(self) -> tuple[str, ...]:
        """Names of the segments in the order they run."""
        ops = (op for op in self.body.block.ops if isinstance(op, LaunchOp))
        return tuple(op.segment.root_reference.data for op in ops)

    def verify_(self) -> None:
        try:
            fabric = fabric_of(load_target(self.target.data))
            segments = {name: op.programs() for name, op in self.segments().items()}
        except MohaqError as error:
            raise VerifyException(error.message()) from None
        for op in self.body.block.ops:
            if isinstance(op, ImageOp):
                self._image(fabric, op)
            elif not isinstance(op, (SegmentOp, LaunchOp)):
                raise VerifyException(f"'{op.name}' cannot be in a program")
        for name, programs in segments.items():
            for cell, words in programs.items():
                _refuse(name, check_static(fabric, cell, words))
        launches = self.launches()
        for name in launches:
            if name not in segments:
                raise VerifyException(f"there is no segment @{name}")
        for name in segments:
            if name not in launches:
                raise VerifyException(f"segment @{name} is never launched")
        _check_launches(fabric, segments, launches)

    def _image(self, fabric: Fabric, op: ImageOp) -> None:
        r, c, row = (p.value.data for p in (op.tile_row, op.tile_col, op.row))
        if not (
            1 <= r <= fabric.tile_rows and 0 <= c < fabric.cols and 0 <= row < fabric.tile_depth
        ):
            raise VerifyException(f"'{fabric.name}' has no memory row ({r}, {c}, {row})")


def _check_launches(
    fabric: Fabric,
    segments: Mapping[str, Mapping[tuple[int, int], tuple[int, ...]]],
    launches: Sequence[str],
) -> None:
    """The rules of timing along the launches; a launch in a known situation is not redone."""
    carried = Carried()
    known: dict[tuple[object, ...], Carried] = {}
    for name in launches:
        situation = (name, carried.key())
        if situation not in known:
            found, after = check(fabric, segments[name], carried)
            _refuse(name, found)
            known[situation] = after
        carried = known[situation]


def _refuse(segment: str, found: Sequence[Finding]) -> None:
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise VerifyException(f"segment @{segment}, {found[0]}{more}")
