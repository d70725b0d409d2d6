"""The plan of a whole program: tiles that fit, weights that may stay, and what it costs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mohaq.backends.base import NoRoom
from mohaq.backends.epiphany.costs import KernelCycles, breakdown
from mohaq.backends.epiphany.legalize import COLUMNS
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.plan.counts import Counter
from mohaq.backends.epiphany.plan.memory import Placed, bank_room, fields, place
from mohaq.backends.epiphany.plan.shapes import WORD, StageShape, padded
from mohaq.backends.epiphany.plan.tiles import StagePlan, plan_stage

QUADS = (16, 8, 4, 2, 1)
COLUMN_CHOICES = (COLUMNS, 128, 64, 32, 16, 8)
NOMINAL_FRAMES = 64
"""Length of the sequences that a plan is chosen for."""


@dataclass(frozen=True)
class ProgramPlan:
    """Stages with their tiles and places.

    residents: {(stage, product): bank} of weights that stay in local memory.
    """

    stages: tuple[StagePlan, ...]
    places: tuple[Placed, ...]
    residents: dict[tuple[int, int], int]
    room: dict[int, int]

    @property
    def bytes(self) -> int:
        """Bytes of weights and vectors of all cores."""
        total = 0
        for stage in self.stages:
            total += stage.shape.active * stage.shape.constants
            total += sum(p.shape.active * p.bytes for p in stage.products)
        return total

    def used(self, bank: int) -> int:
        """Bytes of a bank that data take: what stays and the largest stage."""
        stays = sum(
            self.stages[s].products[p].bytes
            for (s, p), where in self.residents.items()
            if where == bank
        )
        return stays + max((p.bytes(bank) for p in self.places), default=0)


def plan_program(
    shapes: Sequence[StageShape], machine: Machine, table_bytes: int, cycles: KernelCycles
) -> ProgramPlan:
    """The plan with the fewest cycles for sequences of a nominal length.

    Raises:
        NoRoom: a stage does not fit local memory; with the numbers.
    """
    return Planner(machine, cycles).plan(shapes, table_bytes)


class Planner:
    """Plans programs of one machine; what it found for a stage serves the next program as well."""

    def __init__(self, machine: Machine, cycles: KernelCycles) -> None:
        self._machine, self._cycles = machine, cycles
        self._fits: dict[Hashable, tuple[StagePlan, Placed] | None] = {}
        self._totals: dict[StagePlan, int] = {}
        self._bytes: dict[tuple[StageShape, int], int] = {}

    def plan(self, shapes: Sequence[StageShape], table_bytes: int) -> ProgramPlan:
        """See `plan_program`."""
        machine = self._machine
        described = sum(s.description_bytes for s in shapes)
        room = bank_room(machine, table_bytes + described)
        if min(room.values()) < 0:
            stack = machine.whole("stack_bytes")
            raise NoRoom(
                f"tables and constants of layers do not fit a bank of {machine.bank_bytes} bytes",
                why=f"tables {table_bytes}, layers {described}, stack {stack}",
                hint="fewer layers, or a target with more memory",
                excess=-min(room.values()) / machine.bank_bytes,
            )
        found = [one for most in (16, 4, 1) if (one := self._planned(shapes, room, most))]
        if not found:
            raise _refusal(shapes, machine, room)
        return min(found, key=lambda one: sum(self._total(s) for s in one.stages))

    def _total(self, plan: StagePlan) -> int:
        if plan not in self._totals:
            counts = Counter(self._machine).stage(plan, NOMINAL_FRAMES, 1)
            self._totals[plan] = breakdown(counts, self._machine, self._cycles).total
        return self._totals[plan]

    def _planned(
        self, shapes: Sequence[StageShape], room: dict[int, int], most: int
    ) -> ProgramPlan | None:
        """Tiles that fit, then weights that may stay beside them, then tiles again."""
        first = self._tiled(shapes, room, most, {})
        if first is None:
            return None
        residents = self._keep(*first, room)
        again = self._tiled(shapes, room, most, residents) if residents else first
        if again is None:
            again, residents = first, {}
        return ProgramPlan(tuple(again[0]), tuple(again[1]), residents, room)

    def _tiled(
        self,
        shapes: Sequence[StageShape],
        room: dict[int, int],
        most: int,
        residents: dict[tuple[int, int], int],
    ) -> tuple[list[StagePlan], list[Placed]] | None:
        left = dict(room)
        for (s, p), bank in residents.items():
            left[bank] -= self._weight_bytes(shapes[s], p)
        plans, places = [], []
        for number, shape in enumerate(shapes):
            stays = frozenset(p for s, p in residents if s == number)
            key = shape, tuple(left.values()), most, stays
            if key not in self._fits:
                self._fits[key] = _fitting(shape, self._machine, left, most, stays)
            found = self._fits[key]
            if found is None:
                return None
            plans.append(found[0])
            places.append(found[1])
        return plans, places

    def _weight_bytes(self, shape: StageShape, product: int) -> int:
        """Most bytes of a product's weights, whatever its tiles."""
        key = shape, product
        if key not in self._bytes:
            self._bytes[key] = max(
                plan_stage(shape, 1, columns, 1, resident=True).products[product].bytes
                for columns in COLUMN_CHOICES
            )
        return self._bytes[key]

    def _keep(
        self, plans: Sequence[StagePlan], places: Sequence[Placed], room: dict[int, int]
    ) -> dict[tuple[int, int], int]:
        """Weights that may stay beside the largest stage, smallest first: {(stage, product): bank}."""
        free = {bank: room[bank] - max((p.bytes(bank) for p in places), default=0) for bank in room}
        residents = {}
        wanted = sorted(
            (self._weight_bytes(plan.shape, p), s, p)
            for s, plan in enumerate(plans)
            for p in range(len(plan.products))
        )
        for size, s, p in wanted:
            bank = max(free, key=lambda b: (free[b], b))
            if free[bank] >= size:
                free[bank] -= size
                residents[s, p] = bank
        return residents


def _fitting(
    shape: StageShape, machine: Machine, room: dict[int, int], most: int, stays: frozenset[int]
) -> tuple[StagePlan, Placed] | None:
    """The largest tiles that fit."""
    for quads in QUADS:
        if quads > most:
            continue
        for columns in COLUMN_CHOICES:
            for share in (1, 2, 4, 8):
                buffer = machine.whole("weight_buffer_bytes") // share
                plan = plan_stage(shape, quads, columns, buffer, stays)
                placed = place(list(fields(plan, machine.cores)), room)
                if placed is not None:
                    return plan, placed
                if not plan.buffer_bytes:
                    break
            if columns < 64 and quads > 1:
                break
    return None


def _refusal(shapes: Sequence[StageShape], machine: Machine, room: dict[int, int]) -> NoRoom:
    """What does not fit, in numbers."""
    for shape in shapes:
        if _fitting(shape, machine, room, 1, frozenset()) is None:
            plan = plan_stage(shape, 1, COLUMN_CHOICES[-1], 1, resident=False)
            sizes = [(f.bytes, f.name) for f in fields(plan, machine.cores)]
            total = sum(size for size, _ in sizes)
            largest = ", ".join(f"{name} {size}" for size, name in sorted(sizes)[::-1][:4])
            missing = total - sum(room.values())
            return NoRoom(
                f"layer '{shape.name}' needs {total} bytes of a core's memory for data, banks "
                f"have {', '.join(str(v) for v in room.values())}",
                why=f"the largest: {largest}",
                hint="more cores, narrower widths, or a layer with fewer units",
                excess=missing / sum(room.values()) if missing > 0 else None,
            )
    return NoRoom("the program does not fit the cores' memory")


def table_bytes(points: Sequence[int]) -> int:
    """Bytes of tables of so many points in a core's memory."""
    return sum(padded(2 * count, WORD) for count in points)
