"""The user's say in the genes of a search: frozen slots, and slots tied to one gene."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from mohaq.backends.base import GeneSpace, SlotGroup
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError, did_you_mean


def check_choices(space: GeneSpace, backend: str) -> None:
    """Refuse a slot without legal widths.

    Raises:
        MohaqError: names the slot and the backend.
    """
    for group in space.groups:
        if not group.choices:
            raise MohaqError(
                f"backend '{backend}' has no legal width here",
                where=" + ".join(map(str, group.slots)),
                hint="search for another target, or leave this layer to the host",
            )


def shaped(
    space: GeneSpace, freeze: Sequence[tuple[str, int]], ties: Sequence[Sequence[str]]
) -> tuple[GeneSpace, frozenset[str]]:
    """The genes with frozen and tied slots, and the names of the genes that are frozen.

    Args:
        space: of the backend.
        freeze: (slot or pattern such as `*.input`, bits).
        ties: slots or patterns that share one width.

    Raises:
        MohaqError: an unknown slot, a width that is not legal, ties without a common width.
    """
    groups = list(space.groups)
    frozen: set[str] = set()
    for pattern, bits in freeze:
        for slot in match(groups, [pattern]):
            place = _place(groups, slot)
            groups[place] = _freeze(groups[place], slot, bits)
            frozen.add(groups[place].name)
    for patterns in ties:
        slots = match(groups, patterns)
        if len(slots) < 2:
            raise MohaqError(
                "a tie needs at least two slots",
                where=",".join(patterns),
                why=f"it names {', '.join(map(str, slots)) or 'none'}",
            )
        places = sorted({_place(groups, slot) for slot in slots})
        made = _tie([groups[i] for i in places], slots)
        if any(groups[i].name in frozen for i in places) and len(made.choices) == 1:
            frozen.add(made.name)
        groups[places[0]] = made
        for i in reversed(places[1:]):
            del groups[i]
    return GeneSpace(tuple(groups)), frozenset(frozen)


def match(groups: Iterable[SlotGroup], patterns: Sequence[str]) -> list[Slot]:
    """The slots that patterns name, in the order of the genes.

    Raises:
        MohaqError: a pattern that names nothing.
    """
    every = [slot for group in groups for slot in group.slots]
    found: set[Slot] = set()
    for pattern in patterns:
        mine = [slot for slot in every if fnmatchcase(str(slot), pattern)]
        if not mine:
            raise MohaqError(
                f"the program has no slot '{pattern}'",
                hint=did_you_mean(pattern, map(str, every)),
            )
        found.update(mine)
    return [slot for slot in every if slot in found]


def _place(groups: Sequence[SlotGroup], slot: Slot) -> int:
    return next(i for i, group in enumerate(groups) if slot in group.slots)


def _freeze(group: SlotGroup, slot: Slot, bits: int) -> SlotGroup:
    column = group.slots.index(slot)
    kept = tuple(choice for choice in group.choices if choice[column] == bits)
    if not kept:
        legal = sorted({choice[column] for choice in group.choices})
        raise MohaqError(
            f"slot '{slot}' cannot be frozen at {bits} bits",
            why=f"legal here: {', '.join(map(str, legal))}",
        )
    return replace(group, choices=kept)


def _tie(groups: Sequence[SlotGroup], slots: Sequence[Slot]) -> SlotGroup:
    """One group for several, in which `slots` have one width."""
    joined = tuple(slot for group in groups for slot in group.slots)
    allowed = {
        slot: {choice[group.slots.index(slot)] for choice in group.choices}
        for group in groups
        for slot in group.slots
        if slot in slots
    }
    kept: list[tuple[int, ...]] = []
    for width in sorted(set.intersection(*allowed.values())):
        fitting = [
            [c for c in group.choices if all(c[i] == width for i in _columns(group, slots))]
            for group in groups
        ]
        kept.extend(tuple(itertools.chain(*parts)) for parts in itertools.product(*fitting))
    if not kept:
        each = "; ".join(f"{s}: {', '.join(map(str, sorted(w)))}" for s, w in allowed.items())
        raise MohaqError(
            "tied slots have no legal width in common",
            where=" + ".join(map(str, slots)),
            why=each,
        )
    return SlotGroup("+".join(group.name for group in groups), joined, tuple(kept))


def _columns(group: SlotGroup, slots: Sequence[Slot]) -> list[int]:
    return [i for i, slot in enumerate(group.slots) if slot in slots]
