"""Target files and the fabric they describe."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mohaq.backends.base import Constant, Target
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

SCHEMA = "mohaq.target/1"
FOLDER = Path(__file__).parent / "targets"
MARKS = ("verified", "remembered", "assumed")

Numerics = Literal["faithful", "wide_acc", "analytic"]
Repair = Literal["bw_latch", "lane_slice"]
NUMERICS: tuple[Numerics, ...] = ("faithful", "wide_acc", "analytic")
"""By the code that target files give."""

WHOLE = (
    "rows", "cols", "imem_words", "rf_words", "rf_block_words", "word_bits", "tile_rows",
    "tile_depth", "row_bits", "reach", "hop_cycles", "read_base", "write_base", "q_frac",
    "q_shift", "raccu_regs", "raccu_bits", "model_bytes", "refill_bits_per_cycle",
)  # fmt: skip
"""Constants that are positive whole numbers."""

CODES = {"numerics": len(NUMERICS), "bw_latch": 2, "lane_slice": 2}
"""Constants that are codes: 0 up to (not including) the number."""

REAL = (
    "clock", "mac16_pj", "mac8_pj", "mac4_pj", "sram_read_pj_per_bit", "sram_write_pj_per_bit",
    "refill_pj_per_bit", "rf_pj_per_word", "nonlinear_pj", "elementwise_pj",
    "instruction_pj_per_word",
)  # fmt: skip
"""Constants that are real numbers, not negative. A clock of 0 Hz means "cycles only"."""

FIXED = {
    "rows": 2, "imem_words": 64, "rf_words": 64, "rf_block_words": 16, "word_bits": 16,
    "row_bits": 256, "reach": 2, "raccu_regs": 16, "raccu_bits": 7, "q_frac": 11,
}  # fmt: skip
"""Numbers that the instruction encoding or the simulator builds in; files state them for readers."""


@dataclass(frozen=True)
class Fabric:
    """One SiLago fabric: geometry, timing constants, arithmetic, energies.

    Cell (r, c) lags the start by r + c edges. Energies are picojoules; 0 where no public number
    exists. `model_bytes` bounds the model; what exceeds the tiles is refilled from outside at
    `refill_bits_per_cycle`.
    """

    name: str
    rows: int
    cols: int
    imem_words: int
    rf_words: int
    rf_block_words: int
    word_bits: int
    tile_rows: int
    tile_depth: int
    row_bits: int
    reach: int
    hop_cycles: int
    read_base: int
    """A read decoded at S can store its block at S + read_base + row + 2 hops + delay."""
    write_base: int
    """A write decoded at S reaches the array at S + write_base + delay."""
    raccu_regs: int
    raccu_bits: int
    q_frac: int
    q_shift: int
    """Output shift of mult and mac in Q4.11; 12 in the RTL, so products come out halved."""
    numerics: Numerics
    repairs: frozenset[Repair]
    model_bytes: int
    refill_bits_per_cycle: int
    clock: float
    mac_pj: Mapping[int, float] = field(hash=False)
    """Energy of one MAC by operand width 16, 8, 4."""
    sram_read_pj_per_bit: float
    sram_write_pj_per_bit: float
    refill_pj_per_bit: float
    rf_pj_per_word: float
    nonlinear_pj: float
    elementwise_pj: float
    instruction_pj_per_word: float

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.cols

    @property
    def rf_blocks(self) -> int:
        """Blocks of a register file."""
        return self.rf_words // self.rf_block_words

    @property
    def tile_bytes(self) -> int:
        """Bytes of all memory tiles together."""
        return self.tile_rows * self.cols * self.tile_depth * self.row_bits // 8

    def lanes(self, bits: int) -> int:
        """Lanes of one datapath word: 16 / bits.

        Raises:
            MohaqError: the fabric has no such width.
        """
        if bits not in self.mac_pj:
            raise MohaqError(f"'{self.name}' has no {bits}-bit lanes", hint="16, 8 or 4 bits")
        return self.word_bits // bits

    def skew(self, row: int, col: int) -> int:
        """Edges that cell (row, col) lags behind cell (0, 0)."""
        return row + col

    def has(self, row: int, col: int) -> bool:
        """Whether there is such a cell."""
        return 0 <= row < self.rows and 0 <= col < self.cols


def fabric_of(target: Target) -> Fabric:
    """The fabric of a target.

    Raises:
        MohaqError: a constant is missing, of the wrong kind or out of range.
    """
    where = target.path.name if target.path else target.name
    for name in (*WHOLE, *CODES, *REAL):
        _check(name, target[name], where)
    repairs: set[Repair] = set()
    if target["bw_latch"]:
        repairs.add("bw_latch")
    if target["lane_slice"]:
        repairs.add("lane_slice")
    skip = {"clock", "mac16_pj", "mac8_pj", "mac4_pj"}
    numbers: dict[str, Any] = {n: target.whole(n) for n in WHOLE}
    numbers |= {n: float(target[n]) for n in REAL if n not in skip}
    return Fabric(
        name=target.name,
        numerics=NUMERICS[target.whole("numerics")],
        repairs=frozenset(repairs),
        clock=float(target["clock"]),
        mac_pj={b: float(target[f"mac{b}_pj"]) for b in (16, 8, 4)},
        **numbers,
    )


def _check(name: str, value: float, where: str) -> None:
    if not math.isfinite(value) or value < 0:
        raise MohaqError(f"constant '{name}' must not be negative, got {value}", where=where)
    if name in REAL:
        return
    if value != int(value) or value > 1 << 40:
        raise MohaqError(f"constant '{name}' must be whole, got {value}", where=where)
    if name in CODES and value >= CODES[name]:
        raise MohaqError(f"constant '{name}' must be below {CODES[name]}, got {value}", where=where)
    if name in WHOLE and value == 0:
        raise MohaqError(f"constant '{name}' must be positive", where=where)
    if name in FIXED and value != FIXED[name]:
        raise MohaqError(
            f"constant '{name}' must be {FIXED[name]}, got {value}",
            where=where,
            why="the instruction words or the timing rules build it in",
        )
    limits = {"cols": 64, "tile_rows": 8, "tile_depth": 128, "q_shift": 31}
    if value > limits.get(name, value):
        raise MohaqError(f"constant '{name}' must be at most {limits[name]}", where=where)


def shipped() -> tuple[str, ...]:
    """Names of the targets that come with the backend."""
    return tuple(sorted(p.stem for p in FOLDER.glob("*.toml")))


def load_target(name_or_path: str) -> Target:
    """A shipped target by name, or a TOML file by path.

    Raises:
        MohaqError: unknown name or malformed file.
    """
    if name_or_path in shipped():
        path, own = FOLDER / f"{name_or_path}.toml", True
    else:
        path, own = Path(name_or_path), False
        if not path.is_file():
            raise MohaqError(
                f"no SiLago target '{name_or_path}'", hint=did_you_mean(name_or_path, shipped())
            )
    where = path.name if own else str(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MohaqError("cannot read this target file", where=where, why=str(error)) from None
    target = _target(data, path, where)
    fabric_of(target)
    return target


def _target(data: dict[str, Any], path: Path, where: str) -> Target:
    if data.get("schema") != SCHEMA or data.get("backend") != "silago":
        raise MohaqError(
            "not a SiLago target file",
            where=where,
            hint=f'it must say schema = "{SCHEMA}" and backend = "silago"',
        )
    top = {"schema", "backend", "name", "description", "constants"}
    if unknown := sorted(set(data) - top):
        raise MohaqError(f"unknown key '{unknown[0]}'", where=where)
    name, description, tables = (data.get(k) for k in ("name", "description", "constants"))
    if not isinstance(name, str) or not isinstance(description, str) or not name:
        raise MohaqError("'name' and 'description' must be texts", where=where)
    if not isinstance(tables, dict):
        raise MohaqError("'constants' must be a table", where=where)
    known = (*WHOLE, *CODES, *REAL)
    for key in tables:
        if key not in known:
            raise MohaqError(
                f"unknown constant '{key}'", where=where, hint=did_you_mean(key, known)
            )
    constants = {key: _constant(key, value, where) for key, value in tables.items()}
    return Target(name, "silago", description, constants, path)


def _constant(name: str, table: Any, where: str) -> Constant:
    if not isinstance(table, dict) or set(table) != {"value", "unit", "source", "mark"}:
        raise MohaqError(
            f"constant '{name}' needs exactly value, unit, source and mark", where=where
        )
    value = table["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MohaqError(f"the value of '{name}' must be a number, got {value!r}", where=where)
    if table["mark"] not in MARKS:
        raise MohaqError(f"the mark of '{name}' must be one of {', '.join(MARKS)}", where=where)
    if not all(isinstance(table[k], str) and table[k] for k in ("unit", "source")):
        raise MohaqError(f"unit and source of '{name}' must be texts", where=where)
    return Constant(value, table["unit"], table["source"], table["mark"])
