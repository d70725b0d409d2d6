"""Target files and the numbers that schedule, costs and simulator take from them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.backends.base import Constant, Target
from mohaq.backends.bitfusion.isa.instructions import Pad
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

SCHEMA = "mohaq.target/1"
FOLDER = Path(__file__).parent / "targets"
MARKS = ("verified", "remembered", "assumed")

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
                f"no Bit Fusion target '{name_or_path}'", hint=did_you_mean(name_or_path, shipped())
            )
    where = path.name if own else str(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MohaqError("cannot read this target file", where=where, why=str(error)) from None
    target = _target(data, path, where)
    machine_of(target)
    return target


def _target(data: dict[str, Any], path: Path, where: str) -> Target:
    if data.get("schema") != SCHEMA or data.get("backend") != "bitfusion":
        raise MohaqError(
            "not a Bit Fusion target file",
            where=where,
            hint=f'it must say schema = "{SCHEMA}" and backend = "bitfusion"',
        )
    top = {"schema", "backend", "name", "description", "constants"}
    if unknown := sorted(set(data) - top):
        raise MohaqError(f"unknown key '{unknown[0]}'", where=where)
    name, description, tables = (data.get(k) for k in ("name", "description", "constants"))
    if not isinstance(name, str) or not isinstance(description, str) or not name:
        raise MohaqError("'name' and 'description' must be texts", where=where)
    if not isinstance(tables, dict):
        raise MohaqError("'constants' must be a table", where=where)
    known = (*WHOLE, *REAL, *OPTIONAL)
    for key in tables:
        if key not in known:
            raise MohaqError(
                f"unknown constant '{key}'", where=where, hint=did_you_mean(key, known)
            )
    constants = {key: _constant(key, value, where) for key, value in tables.items()}
    return Target(name, "bitfusion", description, constants, path)


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
