"""`lower-to-bitfusion`: a legalized program becomes regions, ports and blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

from mohaq.backends.base import NoRoom
from mohaq.backends.bitfusion.isa.blocks import Block, check_block
from mohaq.backends.bitfusion.lowering.chain import candidates, chain
from mohaq.backends.bitfusion.lowering.context import Lowering
from mohaq.backends.bitfusion.lowering.feed import Feed, feeds_of
from mohaq.backends.bitfusion.lowering.groups import Group, build_groups, remove_dead
from mohaq.backends.bitfusion.lowering.placement import Memory, Region, View
from mohaq.backends.bitfusion.lowering.scan_block import scan_block
from mohaq.backends.bitfusion.lowering.tile_blocks import (
    copy_block,
    figures_of,
    gemm_block,
    stream_block,
)
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.schedule.front import Choice, pareto, pick
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.files import safe_name
from mohaq.compiler.program import Program, argument_grids, result_grids

DEFAULT_MAX_ROWS = 4096
"""Rows (steps times sequences) that buffers in DRAM are laid out for."""


@dataclass(frozen=True)
class Port:
    """An argument or result of the program: one view, or several stacked ones."""

    views: tuple[View, ...]
    stacked: bool
    grid: GridAttr | None


@dataclass(frozen=True)
class Lowered:
    """All that a lowered program consists of."""

    layers: tuple[str, ...]
    regions: tuple[Region, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    blocks: tuple[Block, ...]

    @property
    def ports(self) -> list[int]:
        """First bits of all arguments and results."""
        return [v.address for port in (*self.inputs, *self.outputs) for v in port.views]


def build(program: Program, machine: Machine, prefer: str, max_rows: int) -> Lowered:
    """Group, place, tile and chain a legalized program.

    Raises:
        MohaqError: something the target cannot run.
    """
    made = build_apart(program, machine, prefer, max_rows)
    values = candidates(made.regions, made.ports)
    return replace(made, blocks=chain(made.blocks, values, machine, max_rows))


def build_apart(program: Program, machine: Machine, prefer: str, max_rows: int) -> Lowered:
    """As `build`, with all values between blocks in DRAM.

    The program is changed (dead code goes).

    Raises:
        MohaqError: something the target cannot run.
    """
    if not 1 <= max_rows <= 1 << 20:
        raise MohaqError(f"max_rows must be 1..{1 << 20}, got {max_rows}")
    entry = program.entry
    remove_dead(entry.body.block)
    end = entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    low = Lowering(program, machine, prefer, Memory(max_rows))
    low.place_constants()
    inputs = tuple(_port(low, v, g) for v, g in zip(entry.args, argument_grids(entry), strict=True))
    groups = build_groups(entry.body.block)
    if not groups:
        raise MohaqError("the program computes nothing")
    names = _names([g.layer for g in groups])
    index = {name: number for number, name in enumerate(names)}
    blocks = _blocks(low, groups, index)
    for block in blocks:
        check_block(block)
    outputs = tuple(
        _port(low, v, g) for v, g in zip(end.operands, result_grids(entry), strict=True)
    )
    return Lowered(tuple(names.values()), tuple(low.memory.regions), inputs, outputs, blocks)


def _blocks(low: Lowering, groups: list[Group], index: dict[str, int]) -> tuple[Block, ...]:
    """The blocks of all groups.

    Products that feed recurrences alone run inside their blocks where that is better.
    """
    builders = {"gemm": gemm_block, "stream": stream_block, "copy": copy_block}
    scans = {group.ops[0]: group for group in groups if group.kind == "scan"}
    feeds: dict[Operation, Feed] = {}
    found: list[Block] = []
    for group in groups:
        layer = index[group.layer]
        if group.kind == "scan":
            found.append(scan_block(low, group, layer, feeds.get(group.ops[0])))
            continue
        fed = feeds_of(group)
        if fed and _inside(low, group, [(scans[s], f) for s, f in fed.items()], layer):
            feeds |= dict(fed.items())
            continue
        found.append(builders[group.kind](low, group, layer))
    return tuple(found)


def _inside(low: Lowering, group: Group, fed: list[tuple[Group, Feed]], layer: int) -> bool:
    """Whether products run inside the blocks of the recurrences that they feed."""
    trial = low.snapshot()
    try:
        inside = [scan_block(trial, scan, layer, feed) for scan, feed in fed]
    except NoRoom:
        return False
    trial = low.snapshot()
    apart = [gemm_block(trial, group, layer)]
    apart += [scan_block(trial, scan, layer) for scan, _ in fed]
    choices = [_together(blocks, low, what) for blocks, what in ((inside, True), (apart, False))]
    return pick(pareto(choices), low.prefer).what


def _together(blocks: list[Block], low: Lowering, what: bool) -> Choice[bool]:
    each = [figures_of(block, low.machine, low.memory.max_rows).figures for block in blocks]
    cycles, energy, moved = (sum(figures) for figures in zip(*each, strict=True))
    return Choice(cycles, energy, moved, what)


def _names(layers: list[str]) -> dict[str, str]:
    """{layer: safe and unique name} in order of appearance."""
    found: dict[str, str] = {}
    for layer in layers:
        if layer not in found:
            base, number = safe_name(layer), 1
            name = base
            while name in found.values():
                number += 1
                name = f"{base}_{number}"
            found[layer] = name
    return found


def _port(low: Lowering, value: SSAValue, grid: GridAttr | None) -> Port:
    shape = shape_of(value)
    if len(shape) == 3 and shape[0] != DYNAMIC:
        return Port(tuple(low.parts(value)), stacked=True, grid=grid)
    return Port((low.view(value),), stacked=False, grid=grid)
