"""What a cell decodes at which edge: its sequencer run without data.

A branch that depends on data has two ways; all of them are followed, up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mohaq.backends.silago.isa.instructions import Branch, Jump
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.sequencer import Decoded, Sequencer

MOST_DECODES = 1_000_000
"""Longer programs are taken to never end."""


@dataclass(frozen=True)
class Trace:
    """Decodes (edge, instruction with its registers) of one cell in order; registers at the end."""

    cell: tuple[int, int]
    decodes: tuple[tuple[int, Decoded], ...]
    regs: tuple[int, ...]


def traces(
    fabric: Fabric,
    cell: tuple[int, int],
    words: Sequence[int],
    regs: Sequence[int],
    most: int,
) -> tuple[Trace, ...] | None:
    """All ways through a program; None if there are more than `most`, or one has no end."""
    found: list[Trace] = []
    open_ways: list[tuple[bool, ...]] = [()]
    while open_ways:
        choices = open_ways.pop()
        made = _follow(fabric, cell, words, list(regs), choices)
        if made is None:
            return None
        trace, taken = made
        found.append(trace)
        open_ways += [
            (*choices, *([True] * (n - len(choices))), False) for n in range(len(choices), taken)
        ]
        if len(found) + len(open_ways) > most:
            return None
    return tuple(found)


def _follow(
    fabric: Fabric,
    cell: tuple[int, int],
    words: Sequence[int],
    regs: list[int],
    choices: tuple[bool, ...],
) -> tuple[Trace, int] | None:
    """One way: at data-dependent branch n go on (True) or jump; later ones go on."""
    sequencer = Sequencer(words, fabric.imem_words, 1 + fabric.skew(*cell), regs)
    decodes: list[tuple[int, Decoded]] = []
    taken = 0
    seen: set[tuple[object, ...]] = set()
    while sequencer.active:
        status = 0
        edge, pc = sequencer.next, sequencer.pc
        if pc < len(words):
            i = sequencer.fetch(pc)
            if isinstance(i, (Jump, Branch)):
                # Back at a jump with the same registers and loops: it goes round for ever.
                loops = tuple((loop.active, loop.count) for loop in sequencer.loops)
                situation = (pc, tuple(regs), loops)
                if situation in seen:
                    return None
                seen.add(situation)
            if isinstance(i, Branch) and i.mode:
                goes_on = choices[taken] if taken < len(choices) else True
                status = i.mode if goes_on else 0
                taken += 1
        decoded = sequencer.step(edge, status)
        if decoded is not None:
            decodes.append((edge, decoded))
        if len(decodes) > MOST_DECODES:
            return None
    return Trace(cell, tuple(decodes), tuple(regs)), taken
