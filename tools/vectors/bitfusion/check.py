"""Compares the `compat` model with measured rows."""

from __future__ import annotations

from mohaq.backends.bitfusion.schedule.compat import Result, evaluate, search
from mohaq.tools.vectors.bitfusion.file import Row

TOLERANCE = 1e-6
"""Relative difference allowed between energies, besides the rounding of the printed digits."""

ENERGIES = {
    "energy_nJ": "energy_nj",
    "energy_core_nJ": "energy_core_nj",
    "energy_sram_nJ": "energy_sram_nj",
    "energy_dram_nJ": "energy_dram_nj",
}


def differences(row: Row) -> list[str]:
    """What the model says otherwise than the row: under its tiling, then by its own search."""
    found = evaluate(row.product, row.tiling, row.machine)
    if found is None:
        return ["the row's tiles do not fit the buffers"]
    lines = [
        f"{name}: {ours}, the file says {row.whole[name]}"
        for name, ours in _figures(row, found).items()
        if ours != row.whole[name]
    ]
    for name, attribute in ENERGIES.items():
        ours, theirs = getattr(found, attribute), row.real[name]
        slack = TOLERANCE * abs(theirs) + 0.5 * 10.0 ** -row.digits[name]
        if abs(ours - theirs) > slack:
            lines.append(f"{name}: {ours!r}, the file says {theirs!r}")
    if found.stationary != row.stationary:
        lines.append(f"stationary: {found.stationary}, the file says {row.stationary}")
    best = search(row.product, row.machine).total_cycles
    if best != row.whole["total_cycles"]:
        lines.append(f"cycles of our search: {best}, the file says {row.whole['total_cycles']}")
    return lines


def _figures(row: Row, found: Result) -> dict[str, int]:
    counts = row.tiling.counts(row.product)
    figures = {
        "perf_factor": row.product.lanes(row.machine),
        "num_b": counts["B"],
        "num_ic": counts["IC"],
        "num_oc": counts["OC"],
    }
    figures |= {n: getattr(found, n) for n in row.whole if n not in figures}
    return figures
