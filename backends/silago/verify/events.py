"""The accesses and settings behind a trace, with the edges at which they happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mohaq.backends.silago.isa.instructions import (
    Branch,
    BwConfig,
    Dpu,
    Refi,
    Route,
    Sram,
    Swb,
)
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.patterns import Access, refi_access, sram_access
from mohaq.backends.silago.simulator.refusals import source_of, tile_of
from mohaq.backends.silago.simulator.state import Ints
from mohaq.backends.silago.verify.trace import Trace


@dataclass(frozen=True)
class PortUse:
    """One REFI: its decode, address, port (0..3 as in REFI), kind and accesses."""

    decode: int
    pc: int
    port: int
    block: bool
    access: Access

    @property
    def first(self) -> int:
        """Edge of the first access."""
        return self.decode + 1 + self.access.delay

    @property
    def last(self) -> int:
        """Edge of the last access."""
        return self.first + self.access.span

    def edges(self) -> Ints:
        """Edges of all accesses."""
        return self.first + offsets(self.access)[0]

    def addresses(self, words: int) -> Ints:
        """Addresses of all accesses, modulo the number of words or blocks."""
        return offsets(self.access)[1] % words


@dataclass(frozen=True)
class Stream:
    """One SRAM instruction: tile (code), hops, direction and accesses."""

    decode: int
    pc: int
    tile: int
    hops: int
    write: bool
    access: Access


@dataclass
class Events:
    """Everything a cell does, in decode order; `route_problem` lists SRAMs without their route."""

    cell: tuple[int, int]
    ports: list[PortUse] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    sources: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    """(first edge live, code, word address) by destination."""
    dpu: list[tuple[int, int, Dpu]] = field(default_factory=list)
    """(decode, word address, instruction)."""
    bw: list[tuple[int, int]] = field(default_factory=list)
    """(decode, width)."""
    branches: list[tuple[int, int]] = field(default_factory=list)
    """(decode, word address) of those that depend on data."""
    route_problem: list[tuple[int, int, str]] = field(default_factory=list)
    routes: dict[int, tuple[int, int]] = field(default_factory=dict)


def events_of(fabric: Fabric, trace: Trace, routes: Mapping[int, tuple[int, int]]) -> Events:
    """The events of a trace; `routes` were opened before."""
    found = Events(trace.cell, routes=dict(routes))
    row, col = trace.cell
    for edge, decoded in trace.decodes:
        i, pc = decoded.instruction, decoded.pc
        if isinstance(i, Refi):
            access = refi_access(i, decoded.regs)
            found.ports.append(PortUse(edge, pc, i.port_no, bool(i.dimarch), access))
        elif isinstance(i, Sram):
            _stream(found, edge, pc, i, sram_access(i, decoded.regs))
        elif isinstance(i, Swb):
            code = source_of(i, row, col, fabric)
            found.sources.setdefault(i.v_index, []).append((edge + 2, code, pc))
        elif isinstance(i, Route):
            (tile_row, tile_col), hops = tile_of(i, col)
            found.routes[i.direction] = (tile_row * fabric.cols + tile_col, hops)
        elif isinstance(i, Dpu):
            found.dpu.append((edge, pc, i))
        elif isinstance(i, BwConfig):
            found.bw.append((edge, i.bw))
        elif isinstance(i, Branch) and i.mode:
            found.branches.append((edge, pc))
    return found


def _stream(found: Events, edge: int, pc: int, i: Sram, access: Access) -> None:
    if i.rw not in found.routes:
        found.route_problem.append((edge, pc, "SRAM without a route to a tile"))
        return
    tile, hops = found.routes[i.rw]
    if hops != i.hops:
        text = f"SRAM says {i.hops} hops, the route has {hops}"
        found.route_problem.append((edge, pc, text))
        return
    found.streams.append(Stream(edge, pc, tile, hops, bool(i.rw), access))


def offsets(access: Access) -> tuple[Ints, Ints]:
    """(edges after the first access, addresses) of all accesses, in order."""
    i, j = np.divmod(np.arange(access.count, dtype=np.int64), access.count1)
    period = (access.count1 - 1) * (1 + access.delay1) + 1 + access.delay2
    edges = i * period + j * (1 + access.delay1)
    return edges, access.init + i * access.step2 + j * access.step1
