"""Rules of register files: port reuse, reads before writes, clashes."""

from __future__ import annotations

import numpy as np

from mohaq.backends.silago.isa.instructions import Port
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.state import Ints
from mohaq.backends.silago.verify.events import Events, PortUse
from mohaq.backends.silago.verify.finding import Finding

FAR = np.iinfo(np.int64).max


def check_ports(events: Events) -> list[Finding]:
    """A REFI may not replace a pattern of its port that still runs.

    It may be decoded at the last access edge. Behind a block pattern one edge earlier is known
    to be right too (worked example of the ISA page).
    """
    found = []
    last: dict[int, PortUse] = {}
    for use in events.ports:
        previous = last.get(use.port)
        if previous is not None:
            slack = 1 if previous.block and not use.block else 0
            if use.decode < previous.last - slack:
                name = Port(use.port).name.lower()
                text = f"port {name} is busy until edge {previous.last} (word {previous.pc})"
                found.append(Finding("port-reuse", events.cell, use.pc, use.decode, text))
        if previous is None or use.last > previous.last:
            last[use.port] = use
    return found


def check_registers(fabric: Fabric, events: Events, written: int) -> tuple[list[Finding], int]:
    """Words are written before they are read, and by one port at an edge.

    `written` is the mask of words that held a value before; the new mask is returned.
    """
    first = np.full(fabric.rf_words, FAR, dtype=np.int64)
    first[[w for w in range(fabric.rf_words) if written >> w & 1]] = -1
    stores: list[Ints] = []
    for use in events.ports:
        if use.port in {Port.W0, Port.W1}:
            edges, addresses = accessed_words(fabric, use)
            np.minimum.at(first, addresses, edges)
            stores.append(edges * fabric.rf_words + addresses)
    found = _clashes(fabric, events, stores)
    for use in events.ports:
        if use.port in {Port.R0, Port.R1}:
            edges, addresses = accessed_words(fabric, use)
            early = first[addresses] >= edges
            if early.any():
                at = int(np.argmax(early))
                text = f"register-file word {addresses[at]} is read before it is written"
                found.append(
                    Finding("read-before-write", events.cell, use.pc, int(edges[at]), text)
                )
    mask = sum(1 << w for w in range(fabric.rf_words) if first[w] != FAR)
    return found, mask


def accessed_words(fabric: Fabric, use: PortUse) -> tuple[Ints, Ints]:
    """Edges and word addresses of a pattern; a block counts as its 16 words."""
    if not use.block:
        return use.edges(), use.addresses(fabric.rf_words)
    size = fabric.rf_block_words
    blocks = use.addresses(fabric.rf_blocks)
    words = (blocks[:, None] * size + np.arange(size)).ravel()
    return np.repeat(use.edges(), size), words


def _clashes(fabric: Fabric, events: Events, stores: list[Ints]) -> list[Finding]:
    if not stores:
        return []
    together, counts = np.unique(np.concatenate(stores), return_counts=True)
    if not (counts > 1).any():
        return []
    edge, word = divmod(int(together[np.argmax(counts > 1)]), fabric.rf_words)
    text = f"register-file word {word} is written twice at one edge"
    return [Finding("write-clash", events.cell, None, edge, text)]
