"""Target files and the fabric they describe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mohaq.backends.base import Target
from mohaq.backends.target_file import TargetFiles
from mohaq.compiler.diagnostics import MohaqError

FOLDER = Path(__file__).parent / "targets"

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
    def latched(self) -> bool:
        """Whether BW_CONFIG holds until the next one; otherwise it acts on one result."""
        return "bw_latch" in self.repairs

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


FILES = TargetFiles(FOLDER, "silago", "SiLago", (*WHOLE, *CODES, *REAL), fabric_of)
shipped, load_target = FILES.shipped, FILES.load
