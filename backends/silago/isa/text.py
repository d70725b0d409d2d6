"""Text forms: cell programs as bits, readable assembly, listings and SRAM images.

Cell programs: `CELL row col`, then `<immediate> <27 bits>` a line. Assembly: `CELL row col`, then
`NAME field=value ...` a line; fields at their defaults are left out, values are numbers or the
symbols of the field table. SRAM images: `tile_row tile_col row hex256`, word 0 of a row in the
last four digits. In all of them `#` starts a comment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mohaq.backends.silago.isa.fields import FORMATS, WORD_BITS, Field
from mohaq.backends.silago.isa.instructions import KINDS, Dpu, Instruction
from mohaq.backends.silago.isa.words import decode_all, encode_all
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

Cell = tuple[int, int]
Programs = Mapping[Cell, Sequence[int]]
"""Words of 27 bits by cell (row, col)."""

Image = Mapping[tuple[int, int, int], Sequence[int]]
"""16 signed words by (tile row, tile column, row); tile row 1 is the one next to the fabric."""

ROW_WORDS = 16


def write_bits(programs: Programs) -> str:
    """Cell programs as bits, cells in order; every immediate bit is 1."""
    lines = []
    for (row, col), words in sorted(programs.items()):
        lines.append(f"CELL {row} {col}")
        lines += [f"1 {word:0{WORD_BITS}b}" for word in words]
    return "\n".join(lines) + "\n"


def read_bits(text: str, where: str = "program") -> dict[Cell, tuple[int, ...]]:
    """Cell programs from bits.

    Raises:
        MohaqError: a line that is neither form, a cell twice, or an immediate bit of 0.
    """
    programs: dict[Cell, list[int]] = {}
    for number, line, current in _sections(text, where, programs):
        parts = line.split()
        at = f"{where}, line {number}"
        if len(parts) != 2 or parts[0] not in {"0", "1"} or not _is_bits(parts[1]):
            raise MohaqError(
                f"expected '<immediate> <{WORD_BITS} bits>', got '{line[:60]}'", where=at
            )
        if parts[0] == "0":
            raise MohaqError(
                "the immediate bit must be 1",
                where=at,
                why="a parked configuration was never measured with the datapath",
            )
        current.append(int(parts[1], 2))
    return {cell: tuple(words) for cell, words in programs.items()}


def disassemble(programs: Programs) -> str:
    """Cell programs as assembly.

    Raises:
        MohaqError: a word is no instruction.
    """
    lines = []
    for (row, col), words in sorted(programs.items()):
        lines.append(f"CELL {row} {col}")
        lines += [instruction_text(i) for _, i in decode_all(words)]
    return "\n".join(lines) + "\n"


def assemble(text: str, where: str = "assembly") -> dict[Cell, tuple[int, ...]]:
    """Cell programs from assembly.

    Raises:
        MohaqError: an unknown instruction, field or symbol, or a value that does not fit.
    """
    programs: dict[Cell, list[int]] = {}
    for number, line, current in _sections(text, where, programs):
        try:
            current.extend(encode_all([parse_instruction(line)]))
        except MohaqError as error:
            raise MohaqError(
                error.what, where=f"{where}, line {number}", why=error.why, hint=error.hint
            ) from None
    return {cell: tuple(words) for cell, words in programs.items()}


def instruction_text(instruction: Instruction) -> str:
    """One instruction as assembly."""
    parts = [instruction.NAME]
    for item in instruction.format.fields:
        if item.fixed:
            continue
        value = int(getattr(instruction, item.name))
        if value != item.default or _required(type(instruction), item.name):
            parts.append(f"{item.name}={_symbol(item, value)}")
    if isinstance(instruction, Dpu) and instruction.shift:
        parts.append(f"shift={instruction.shift}")
    return " ".join(parts)


def parse_instruction(line: str) -> Instruction:
    """One instruction from assembly.

    Raises:
        MohaqError: an unknown name, field or symbol, a field twice or one that is missing.
    """
    name, *settings = line.split()
    kind = KINDS.get(name)
    if kind is None:
        raise MohaqError(f"no instruction '{name}'", hint=did_you_mean(name, KINDS))
    items = {f.name: f for f in FORMATS[name].fields if not f.fixed}
    if kind is Dpu:
        items["shift"] = Field("shift", 5, 0)
    values: dict[str, int] = {}
    for setting in settings:
        key, found, value = setting.partition("=")
        if not found or key not in items:
            raise MohaqError(f"{name} has no field '{key}'", hint=did_you_mean(key, items))
        if key in values:
            raise MohaqError(f"field '{key}' of {name} is given twice")
        values[key] = _number(items[key], name, value)
    for key in items:
        if _required(kind, key) and key not in values:
            raise MohaqError(f"{name} needs field '{key}'")
    return kind(**values)


def listing(programs: Programs, remarks: Mapping[tuple[Cell, int], str] | None = None) -> str:
    """An annotated listing: address, words in hexadecimal, assembly, remark.

    `remarks` are texts by (cell, address); line breaks in them become blanks.
    """
    lines = []
    for cell, words in sorted(programs.items()):
        lines.append(f"CELL {cell[0]} {cell[1]}    # {len(words)} words")
        for pc, i in decode_all(words):
            code = " ".join(f"{w:07x}" for w in words[pc : pc + i.words])
            remark = " ".join((remarks or {}).get((cell, pc), "").split())
            line = f"{pc:3d}  {code:<23}  {instruction_text(i)}"
            lines.append(f"{line:<96}  # {remark}" if remark else line)
    return "\n".join(lines) + "\n"


def row_hex(words: Sequence[int]) -> str:
    """64 hexadecimal digits of a memory row of 16 words; word 0 comes last."""
    return "".join(f"{int(w) & 0xFFFF:04x}" for w in reversed(words))


def row_words(text: str) -> tuple[int, ...]:
    """The 16 signed words of a memory row.

    Raises:
        MohaqError: not 64 hexadecimal digits.
    """
    if len(text) != 4 * ROW_WORDS or any(c not in "0123456789abcdefABCDEF" for c in text):
        raise MohaqError(f"a memory row has {4 * ROW_WORDS} hexadecimal digits, got '{text[:70]}'")
    raw = [int(text[i : i + 4], 16) for i in range(0, len(text), 4)]
    return tuple((w ^ 0x8000) - 0x8000 for w in reversed(raw))


def write_image(image: Image) -> str:
    """An SRAM image, rows in order."""
    lines = [f"{r} {c} {row} {row_hex(words)}" for (r, c, row), words in sorted(image.items())]
    return "".join(f"{line}\n" for line in lines)


def read_image(text: str, where: str = "SRAM image") -> dict[tuple[int, int, int], tuple[int, ...]]:
    """An SRAM image from text.

    Raises:
        MohaqError: a line of another form, or a row twice.
    """
    found: dict[tuple[int, int, int], tuple[int, ...]] = {}
    for number, line in _lines(text):
        at, parts = f"{where}, line {number}", line.split()
        if len(parts) != 4 or not all(p.isdecimal() for p in parts[:3]):
            raise MohaqError(
                f"expected 'tile_row tile_col row hex256', got '{line[:60]}'", where=at
            )
        key = (int(parts[0]), int(parts[1]), int(parts[2]))
        if key in found:
            raise MohaqError(f"row {key} is given twice", where=at)
        try:
            found[key] = row_words(parts[3])
        except MohaqError as error:
            raise MohaqError(error.what, where=at) from None
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        kept = line.partition("#")[0].strip()
        if kept:
            yield number, kept


def _sections(
    text: str, where: str, programs: dict[Cell, list[int]]
) -> Iterator[tuple[int, str, list[int]]]:
    """Lines with the program they belong to; opens a program at each CELL line."""
    current: list[int] | None = None
    for number, line in _lines(text):
        parts = line.split()
        if parts[0] == "CELL":
            if len(parts) != 3 or not all(p.isdecimal() and len(p) < 6 for p in parts[1:]):
                raise MohaqError("expected 'CELL row col'", where=f"{where}, line {number}")
            cell = (int(parts[1]), int(parts[2]))
            if cell in programs:
                raise MohaqError(f"cell {cell} has two programs", where=f"{where}, line {number}")
            current = programs[cell] = []
        elif current is None:
            raise MohaqError(
                "a program starts with 'CELL row col'", where=f"{where}, line {number}"
            )
        else:
            yield number, line, current


def _is_bits(text: str) -> bool:
    return len(text) == WORD_BITS and set(text) <= {"0", "1"}


def _symbol(item: Field, value: int) -> str:
    names: Iterable[str] = (name for name, code in item.symbols.items() if code == value)
    return next(iter(names), str(value))


def _number(item: Field, name: str, text: str) -> int:
    if text in item.symbols:
        return item.symbols[text]
    if text.isdecimal() and text.isascii() and len(text) < 10:
        return int(text)
    raise MohaqError(
        f"'{text[:40]}' is no value of field '{item.name}' of {name}",
        hint=did_you_mean(text, item.symbols) if item.symbols else "a number",
    )


def _required(kind: type[Instruction], field: str) -> bool:
    """Whether the dataclass has no default for a field."""
    return field not in vars(kind)
