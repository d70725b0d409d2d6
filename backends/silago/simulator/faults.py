"""What stops a run: things the fabric cannot do, or whose effect was never measured."""

from __future__ import annotations

from enum import IntEnum

from mohaq.compiler.diagnostics import MohaqError


class Fault(IntEnum):
    """Codes that the compiled engine returns; `fault` has their words."""

    NONE = 0
    NO_INSTRUCTION = 1
    DPU_MODE = 2
    RACCU_MODE = 3
    LOOP_COUNT = 4
    COMPRESS = 5
    BLOCK_PORT = 6
    REACH = 7
    SINK = 8
    ROUTE_LEAVES = 10
    ROUTE_ROW = 11
    NO_ROUTE = 12
    HOPS = 13
    TILE_TWICE = 14
    TILE_ROW = 15
    STREAMS = 16
    ENDLESS = 17


MESSAGES = {
    Fault.NO_INSTRUCTION: "the word at {value} is no instruction",
    Fault.DPU_MODE: "what DPU mode {value} computes is not known",
    Fault.RACCU_MODE: "what RACCU mode {value} computes is not known",
    Fault.LOOP_COUNT: "LOOP with iter_sd = 1 or iter = 0 is not known to run its body",
    Fault.COMPRESS: "what REFI with compress = 1 does is not known",
    Fault.BLOCK_PORT: "only the ports w0 and r0 take memory blocks",
    Fault.REACH: "SWB reads a cell that is out of reach or does not exist (hb_index {value})",
    Fault.SINK: "there is no switchbox destination {value}",
    Fault.ROUTE_LEAVES: "the route leaves the memory",
    Fault.ROUTE_ROW: "a route for the other row was never measured",
    Fault.NO_ROUTE: "SRAM without a route to a tile",
    Fault.HOPS: "the hops of SRAM are not those of the route ({value})",
    Fault.TILE_TWICE: "a memory tile is accessed twice at once, it has a single port",
    Fault.TILE_ROW: "the memory tile has no row {value}",
    Fault.STREAMS: "more than {value} memory patterns run at once",
    Fault.ENDLESS: "the program does not end",
}


def fault(code: int, row: int, col: int, edge: int, value: int = 0) -> MohaqError:
    """The error of a fault in cell (row, col) at an edge."""
    # Which of the patterns in a tile came second is no fact: they meet at one edge.
    place = "" if code in {Fault.TILE_TWICE, Fault.ENDLESS} else f"cell ({row}, {col}), "
    return MohaqError(MESSAGES[Fault(code)].format(value=value), where=f"{place}edge {edge}")
