"""Reads a table of layers measured with the published simulator."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mohaq.backends.bitfusion.machine import Machine, load_target, machine_of
from mohaq.backends.bitfusion.schedule.compat import ORDERS, Product, Tiling
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

CONFIGS = {"bf_e_conf.ini": "bitfusion-e", "bf_s_conf.ini": "bitfusion-s"}
"""Configuration files of the published simulator, and our targets for them."""

MODELS = ("reference", "ext_temporal16")
"""Who a row comes from (column `model`, optional): the simulator itself, or its extension to 16
bits by passes."""

SHAPE = ("T", "K", "N", "wbits", "abits")
TILES = ("tile_b", "tile_ic", "tile_oc")
WHOLE = (
    "perf_factor", "total_cycles", "compute_cycles", "mem_stall_cycles", "dram_read_bits",
    "dram_write_bits", "ibuf_read_bits", "ibuf_write_bits", "wbuf_read_bits", "wbuf_write_bits",
    "obuf_read_bits", "obuf_write_bits", "num_b", "num_ic", "num_oc",
)  # fmt: skip
"""Columns of whole numbers that are compared exactly."""

REAL = ("energy_nJ", "energy_core_nJ", "energy_sram_nJ", "energy_dram_nJ")
"""Columns of energies."""

NEEDED = ("config", *SHAPE, *WHOLE, *REAL, "loop_order", *TILES, "stationary")
MAX_EXTENT = 1 << 24


@dataclass(frozen=True)
class Row:
    """One measured layer. `digits` are the decimals that each energy was printed with."""

    name: str
    target: str
    machine: Machine
    product: Product
    tiling: Tiling
    whole: Mapping[str, int]
    real: Mapping[str, float]
    digits: Mapping[str, int]
    stationary: str


def load_rows(path: Path) -> list[Row]:
    """All rows of a CSV file.

    Raises:
        MohaqError: no such file, columns are missing, or a field is malformed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MohaqError("cannot read this file", where=str(path), why=str(error)) from None
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        lines = list(reader)
    except csv.Error as error:
        raise MohaqError("not a CSV file", where=str(path), why=str(error)) from None
    held = reader.fieldnames or ()
    for column in NEEDED:
        if column not in held:
            raise MohaqError(f"column '{column}' is missing", where=str(path))
    if len(set(held)) != len(held):
        raise MohaqError("a column appears twice", where=str(path))
    if not lines:
        raise MohaqError("the file has no rows", where=str(path))
    machines: dict[str, Machine] = {}
    return [_row(line, f"{path}, row {n}", machines) for n, line in enumerate(lines, 1)]


def _row(line: dict[str, str | None], where: str, machines: dict[str, Machine]) -> Row:
    if None in line or None in line.values():
        raise MohaqError("a row has another number of fields than the header", where=where)
    fields = {k: (v or "").strip() for k, v in line.items()}
    model = fields.get("model") or MODELS[0]
    if model not in MODELS:
        raise MohaqError(f"unknown model '{model}'", where=where, hint=did_you_mean(model, MODELS))
    config = fields["config"]
    if config not in CONFIGS:
        raise MohaqError(
            f"unknown config '{config}'", where=where, hint=did_you_mean(config, tuple(CONFIGS))
        )
    target = CONFIGS[config]
    if target not in machines:
        machines[target] = machine_of(load_target(target))
    order = tuple(fields["loop_order"].split(">"))
    if order not in ORDERS:
        raise MohaqError(f"unknown loop order '{fields['loop_order']}'", where=where)
    t, k, n, w, a = (_whole(fields, key, where, 1, MAX_EXTENT) for key in SHAPE)
    b, ic, oc = (_whole(fields, key, where, 1, MAX_EXTENT) for key in TILES)
    # The extension has no agreed lanes for 16 bits.
    compared = WHOLE if model == MODELS[0] else WHOLE[1:]
    try:
        product = Product(t, k, n, a, w)
    except MohaqError as error:
        raise MohaqError(error.what, where=where) from None
    name = f"{fields.get('workload') or 'fc'} T={t} K={k} N={n} w{w} a{a} {target}"
    return Row(
        name,
        target,
        machines[target],
        product,
        Tiling(b, ic, oc, order),
        {key: _whole(fields, key, where, 0, 1 << 62) for key in compared},
        {key: _real(fields, key, where) for key in REAL},
        {key: len(fields[key].partition(".")[2]) for key in REAL},
        fields["stationary"],
    )


def _whole(fields: Mapping[str, str], key: str, where: str, low: int, high: int) -> int:
    text = fields[key]
    if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
        raise MohaqError(
            f"'{key}' must be a whole number from {low} to {high}, got '{text}'", where=where
        )
    return int(text)


def _real(fields: Mapping[str, str], key: str, where: str) -> float:
    try:
        value = float(fields[key])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise MohaqError(f"'{key}' must be a number, got '{fields[key]}'", where=where)
    return value
