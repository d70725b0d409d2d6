"""Target files of Epiphany chips and the numbers that planning and costs take from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.backends.base import Target
from mohaq.backends.target_file import TargetFiles
from mohaq.compiler.diagnostics import MohaqError

FOLDER = Path(__file__).parent / "targets"

WHOLE = (
    "rows", "columns", "first_row", "first_column", "memory_bytes", "code_bytes", "stack_bytes",
    "dram_bytes", "dram_base", "weight_buffer_bytes", "clock", "dram_read_one",
    "dram_read_all", "dram_write_one", "dram_write_all", "dma_setup_cycles",
    "push_cycles_per_store", "push_setup_cycles", "barrier_cycles", "rescale_cycles", "lookup_cycles", "state_cycles", "convert_cycles",
    "flush_cycles", "store_cycles",
)  # fmt: skip
"""Constants that are whole numbers."""

REAL = ("core_pj_per_cycle", "dram_pj_per_byte", "mesh_pj_per_byte_hop", "idle_pj_per_cycle")
"""Constants that are real numbers, not negative."""

OPTIONAL = ("model_bytes",)
MAY_BE_ZERO = frozenset({"first_row", "first_column", "dram_base", *REAL}) | {
    name for name in WHOLE if name.endswith("_cycles")
}
BANKS = 4
MOST_CORES = 4096
"""A core number has 6 bits of row and 6 of column (facts: addresses)."""


@dataclass(frozen=True)
class Machine:
    """The constants of one chip by name, checked."""

    constants: Mapping[str, float]

    def whole(self, name: str) -> int:
        """A whole constant."""
        return int(self.constants[name])

    @property
    def cores(self) -> int:
        """Cores of the mesh."""
        return self.whole("rows") * self.whole("columns")

    @property
    def bank_bytes(self) -> int:
        """Bytes of one of the four banks of a core's memory."""
        return self.whole("memory_bytes") // BANKS

    def place(self, core: int) -> tuple[int, int]:
        """(row, column) of a core within the mesh."""
        return divmod(core, self.whole("columns"))


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
        if not math.isfinite(value) or value < 0 or (value == 0 and name not in MAY_BE_ZERO):
            raise MohaqError(f"constant '{name}' is out of range: {value}", where=where)
        if name in WHOLE and (value != int(value) or value > 1 << 40):
            raise MohaqError(f"constant '{name}' must be whole, got {value}", where=where)
    made = Machine({n: constants[n] for n in (*WHOLE, *REAL)})
    last = (
        made.whole("first_row") + made.whole("rows"),
        made.whole("first_column") + made.whole("columns"),
    )
    if max(last) > 64:
        raise MohaqError(
            "the mesh leaves the 64 x 64 core numbers of the architecture",
            where=where,
            why=f"it ends at row {last[0]}, column {last[1]}",
        )
    code, stack = made.whole("code_bytes"), made.whole("stack_bytes")
    banks = made.bank_bytes
    if made.whole("memory_bytes") % (8 * BANKS) or stack > banks or not banks <= code <= 2 * banks:
        raise MohaqError(
            f"'memory_bytes' must be four banks of whole 8-byte words; the code ({code} bytes) "
            f"takes the first and at most the second, the stack ({stack} bytes) lies in the last",
            where=where,
        )
    if made.whole("columns") & (made.whole("columns") - 1):
        raise MohaqError("'columns' must be a power of two", where=where)
    if made.whole("weight_buffer_bytes") % 8:
        raise MohaqError("'weight_buffer_bytes' must be a multiple of 8", where=where)
    return made


FILES = TargetFiles(FOLDER, "epiphany", "Epiphany", (*WHOLE, *REAL, *OPTIONAL), machine_of)
shipped, load_target = FILES.shipped, FILES.load
