"""Instructions that a fabric cannot execute, or whose effect was never measured."""

from __future__ import annotations

from mohaq.backends.silago.isa.instructions import (
    Dpu,
    Instruction,
    Loop,
    Port,
    Raccu,
    RaccuMode,
    Refi,
    Route,
    Swb,
)
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.datapath import DRAIN, MODELLED
from mohaq.backends.silago.simulator.faults import Fault
from mohaq.backends.silago.simulator.state import SINKS


def refused(i: Instruction, row: int, col: int, fabric: Fabric) -> tuple[Fault, int]:
    """Why cell (row, col) cannot execute an instruction, with the value at fault; or NONE."""
    if isinstance(i, Refi):
        if i.compress:
            return Fault.COMPRESS, 1
        if i.dimarch and i.port_no not in {Port.W0, Port.R0}:
            return Fault.BLOCK_PORT, i.port_no
    elif isinstance(i, Swb):
        if i.v_index >= SINKS:
            return Fault.SINK, i.v_index
        source_col = col + i.hb_index - fabric.reach
        if i.hb_index > 2 * fabric.reach or not fabric.has(row ^ i.send_to_other_row, source_col):
            return Fault.REACH, i.hb_index
    elif isinstance(i, Dpu):
        shows_lane = i.mode == DRAIN and fabric.numerics == "wide_acc"
        if i.mode not in MODELLED and not shows_lane:
            return Fault.DPU_MODE, i.mode
    elif isinstance(i, Raccu):
        if i.mode in {RaccuMode.MULT_ADD, RaccuMode.MULT_SUB}:
            return Fault.RACCU_MODE, i.mode
    elif isinstance(i, Loop):
        if i.iter_sd or not i.iter:
            return Fault.LOOP_COUNT, i.iter
    elif isinstance(i, Route):
        (tile_row, tile_col), _ = tile_of(i, col)
        if not 0 <= tile_row < fabric.tile_rows or not 0 <= tile_col < fabric.cols:
            return Fault.ROUTE_LEAVES, tile_row
        if i.select_drra_row != row:
            return Fault.ROUTE_ROW, i.select_drra_row
    return Fault.NONE, 0


def source_of(i: Swb, row: int, col: int, fabric: Fabric) -> int:
    """Code of the source of a connection made in cell (row, col), as in `State.source`."""
    cell = (row ^ i.send_to_other_row) * fabric.cols + col + i.hb_index - fabric.reach
    return cell * 4 + 2 * i.src_block + i.src_port


def tile_of(i: Route, col: int) -> tuple[tuple[int, int], int]:
    """Tile (row counted from 0 = next to the fabric, col) and hops of a route from a column."""
    row = i.vertical_hops if i.vertical_dir else -i.vertical_hops
    tile_col = col + (i.horizontal_hops if i.horizontal_dir else -i.horizontal_hops)
    return (row, tile_col), i.horizontal_hops + i.vertical_hops
