"""Two-level access patterns of register-file ports and memory tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mohaq.backends.silago.isa.instructions import Refi, Sram


@dataclass(frozen=True)
class Access:
    """A pattern with its dynamic fields resolved; counts are real counts, not minus one.

    Element j of repetition i: address init + i step2 + j step1. The first access comes
    `delay` edges after the earliest possible one; 1 + delay1 edges lie between elements and
    1 + delay2 edges between the last element of a repetition and the first of the next.
    """

    init: int
    delay: int
    count1: int
    step1: int
    delay1: int
    count2: int
    step2: int
    delay2: int

    @property
    def span(self) -> int:
        """Edges from the first to the last access."""
        level1 = (self.count1 - 1) * (1 + self.delay1)
        return self.count2 * level1 + (self.count2 - 1) * (1 + self.delay2)

    def at(self, index: int) -> tuple[int, int]:
        """(edges after the first access, address) of access `index`."""
        i, j = divmod(index, self.count1)
        period = (self.count1 - 1) * (1 + self.delay1) + 1 + self.delay2
        return i * period + j * (1 + self.delay1), self.init + i * self.step2 + j * self.step1

    @property
    def count(self) -> int:
        """Number of accesses."""
        return self.count1 * self.count2


def refi_access(i: Refi, regs: Sequence[int]) -> Access:
    """The pattern of a REFI; `regs` are the RACCU registers at its decode.

    The sign of the step acts in the two-word form only.
    """
    step = _value(i.l1_step, i.l1_step_sd, regs)
    return Access(
        init=_value(i.init_addr, i.init_addr_sd, regs),
        delay=_value(i.init_delay, i.init_delay_sd, regs),
        count1=1 + _value(i.l1_iter, i.l1_iter_sd, regs),
        step1=-step if i.extra == 1 and i.l1_step_sign else step,
        delay1=_value(i.full_l1_delay, i.l1_delay_sd, regs, i.l1_delay),
        count2=1 + _value(i.full_l2_iter, i.l2_iter_sd, regs, i.l2_iter),
        step2=i.full_l2_step,
        delay2=_value(i.l2_delay, i.l2_delay_sd, regs),
    )


def sram_access(i: Sram, regs: Sequence[int]) -> Access:
    """The pattern of an SRAM instruction; `regs` are the RACCU registers at its decode."""
    return Access(
        init=_value(i.init_addr, i.init_addr_sd, regs, mask=127),
        delay=_value(i.init_delay, i.init_delay_sd, regs, mask=15),
        count1=1 + _value(i.l1_iter, i.l1_iter_sd, regs, mask=127),
        step1=_value(i.l1_step, i.l1_step_sd, regs, mask=127),
        delay1=_value(i.l1_delay, i.l1_delay_sd, regs),
        count2=1 + _value(i.l2_iter, i.l2_iter_sd, regs, mask=127),
        step2=_value(i.l2_step, i.l2_step_sd, regs, mask=127),
        delay2=_value(i.l2_delay, i.l2_delay_sd, regs),
    )


def _value(
    literal: int, dynamic: int, regs: Sequence[int], register: int | None = None, mask: int = 63
) -> int:
    """The literal, or the low bits of the register that the field (low part) names."""
    if not dynamic:
        return literal
    return int(regs[(literal if register is None else register) % len(regs)]) & mask


class Pattern:
    """An access pattern under way."""

    def __init__(self, access: Access, first: int) -> None:
        self.access_of = access
        self.first = first
        self.index = 0

    @property
    def over(self) -> bool:
        """Whether the last access is done."""
        return self.index >= self.access_of.count

    def access(self, edge: int) -> int | None:
        """The address accessed at an edge, if any; edges must be asked for in order."""
        if self.over:
            return None
        offset, address = self.access_of.at(self.index)
        if self.first + offset != edge:
            return None
        self.index += 1
        return address
