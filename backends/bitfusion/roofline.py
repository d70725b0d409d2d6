"""A roofline plot of a run: what every block with products reaches, and what it could."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from mohaq.backends.bitfusion.counters import INDEX
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.report import Shown

WIDTH, HEIGHT, EDGE = 720, 420, 60
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2")
FONT = 'font-family="sans-serif" font-size="11"'


def roofline(run: Sequence[Shown], machine: Machine) -> str:
    """SVG: multiply-accumulates a cycle over multiply-accumulates a bit of DRAM traffic.

    Both axes are logarithmic. The slope is the DRAM port, a flat roof the array at the operand
    widths of a block; a point lies below its roof by fill, edges of tiles and the PPU.
    """
    points = []
    for one in run:
        macs = float(one.counts[INDEX["macs"]])
        if not macs:
            continue
        moved = one.counts[INDEX["dram_read_bits"]] + one.counts[INDEX["dram_write_bits"]]
        lanes = machine.lanes_of(one.block.a_bits, one.block.w_bits)
        roof = float(machine.rows * machine.columns * lanes)
        points.append((one, macs / float(moved), macs / one.cycles, roof))
    top = max([p[3] for p in points], default=float(machine.rows * machine.columns))
    ridge = top / machine.port
    left = min([p[1] for p in points] + [ridge]) / 4
    right = max([p[1] for p in points] + [ridge]) * 4
    low = min([p[2] for p in points] + [left * machine.port]) / 2
    high = top * 2

    def x(value: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * math.log(value / left) / math.log(right / left)

    def y(value: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * math.log(value / low) / math.log(high / low)

    tall = HEIGHT + 16 * len(points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{tall}" {FONT}>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    parts += _ticks(left, right, lambda v: (x(v), HEIGHT - EDGE + 14), "middle")
    parts += _ticks(low, high, lambda v: (EDGE - 6, y(v) + 4), "end")
    for roof in sorted({p[3] for p in points} or {top}):
        knee = roof / machine.port
        parts.append(_line(x(max(knee, left)), y(roof), x(right), y(roof)))
        parts.append(_text(x(right), y(roof) - 4, f"{roof:.0f} MAC/cycle", "end"))
    parts.append(_line(x(left), y(left * machine.port), x(ridge), y(top)))
    parts.append(_text(x(left) + 4, EDGE - 30, f"DRAM port: {machine.port} bit/cycle", "start"))
    parts.append(_text(WIDTH / 2, HEIGHT - 20, "MAC per bit of DRAM traffic", "middle"))
    parts.append(_text(8, EDGE - 46, "MAC per cycle", "start"))
    for number, (one, intensity, rate, roof) in enumerate(points):
        colour = COLOURS[number % len(COLOURS)]
        bound = min(roof, intensity * machine.port)
        parts.append(f'<circle cx="{x(intensity):.1f}" cy="{y(rate):.1f}" r="5" fill="{colour}"/>')
        told = f"{one.title()}: {rate:.1f} MAC/cycle, {rate / bound:.0%} of its roof"
        at = HEIGHT + 16 * number
        parts.append(f'<circle cx="{EDGE}" cy="{at - 4}" r="5" fill="{colour}"/>')
        parts.append(_text(EDGE + 12, at, told, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ticks(
    low: float, high: float, place: Callable[[float], tuple[float, float]], anchor: str
) -> list[str]:
    found = []
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        at_x, at_y = place(10.0**power)
        found.append(_text(at_x, at_y, f"{10.0**power:g}", anchor))
    return found


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#444" '
        'stroke-width="1.5"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
