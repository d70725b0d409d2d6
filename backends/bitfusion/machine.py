"""Target files and the numbers that schedule, costs and simulator take from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.backends.base import Target
from mohaq.backends.bitfusion.isa.instructions import Pad
from mohaq.backends.target_file import TargetFiles
from mohaq.compiler.diagnostics import MohaqError

FOLDER = Path(__file__).parent / "targets"

WHOLE = (
    "array_rows", "array_columns", "unit_bits", "wbuf_bytes", "ibuf_bytes", "obuf_bytes",
    "pbuf_bytes", "dram_bits_per_cycle", "ppu_lanes", "ppu_step_latency",
)  # fmt: skip
"""Constants that are positive whole numbers."""

REAL = (
    "clock", "core_pj_per_cycle", "wbuf_read_pj_per_bit", "wbuf_write_pj_per_bit",
    "ibuf_read_pj_per_bit", "ibuf_write_pj_per_bit", "obuf_read_pj_per_bit",
    "obuf_write_pj_per_bit", "pbuf_read_pj_per_bit", "pbuf_write_pj_per_bit",
    "dram_pj_per_bit", "ppu_pj_per_op",
)  # fmt: skip
"""Constants that are real numbers, not negative (the clock: positive)."""

OPTIONAL = ("model_bytes",)
BANKS = {Pad.IBUF: 2, Pad.OBUF: 2, Pad.WBUF: 2, Pad.PBUF: 3}
"""IBUF, OBUF and WBUF are halved for double buffering; PBUF holds the vectors of the tile that
is loaded, the one in the array and the one in the post-processing unit."""


@dataclass(frozen=True)
class Machine:
    """The constants of one target by name; all that simulation needs is in the manifest."""

    constants: Mapping[str, float]

    def whole(self, name: str) -> int:
        """A whole constant."""
        return int(self.constants[name])

    @property
    def rows(self) -> int:
        """Array rows: the reduction direction."""
        return self.whole("array_rows")

    @property
    def columns(self) -> int:
        """Array columns: output channels."""
        return self.whole("array_columns")

    @property
    def port(self) -> int:
        """DRAM bits per cycle, both directions together."""
        return self.whole("dram_bits_per_cycle")

    @property
    def path(self) -> int:
        """Bits per cycle between scratchpads (assumed).

        What they take from the DRAM port or, if that is more, what IBUF gives the array: 32 bits
        a row (published simulator).
        """
        return max(self.port, 32 * self.rows)

    @property
    def lanes(self) -> int:
        """Elements that the post-processing unit handles per cycle and operation."""
        return self.whole("ppu_lanes")

    def capacity(self, pad: Pad) -> int:
        """Bits of one bank of a scratchpad."""
        return 8 * self.whole(f"{pad.name.lower()}_bytes") // BANKS[pad]

    def lanes_of(self, a_bits: int, w_bits: int) -> int:
        """Products of one unit per cycle: pf = floor(8/a) floor(8/w) (published simulator)."""
        bits = self.whole("unit_bits")
        return (bits // max(a_bits, 2)) * (bits // max(w_bits, 2))


def machine_of(target: Target) -> Machine:
    """The machine of a target."""
    return check_machine({n: target[n] for n in (*WHOLE, *REAL)}, target.name)


def check_machine(constants: Mapping[str, Any], where: str) -> Machine:
    """Check the numbers of a machine.

    Raises:
        MohaqError: one is missing, of the wrong kind or out of range.
    """
    for name in (*WHOLE, *REAL):
        value = constants.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise MohaqError(f"constant '{name}' is missing or no number", where=where)
        if not math.isfinite(value) or value < 0:
            raise MohaqError(f"constant '{name}' must not be negative, got {value}", where=where)
        if name in WHOLE and (value != int(value) or value > 1 << 40):
            raise MohaqError(f"constant '{name}' must be whole, got {value}", where=where)
        if value == 0 and (name in WHOLE or name == "clock") and name != "ppu_step_latency":
            raise MohaqError(f"constant '{name}' must be positive", where=where)
    if constants["unit_bits"] != 8:
        raise MohaqError(
            "'unit_bits' must be 8: wider units are another machine",
            where=where,
            hint="16-bit operands run in several passes on 8-bit units",
        )
    return Machine({n: constants[n] for n in (*WHOLE, *REAL)})


FILES = TargetFiles(FOLDER, "bitfusion", "Bit Fusion", (*WHOLE, *REAL, *OPTIONAL), machine_of)
shipped, load_target = FILES.shipped, FILES.load
