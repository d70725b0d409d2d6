"""What each experiment searches, and what the abstracts claim of it.

Spaces, limits and settings are those of the authors' search code; claims are those of the two
versions of the abstract. No table of the paper is quoted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mohaq.compiler.diagnostics import MohaqError, did_you_mean

Accounting = Literal["paper", "true"]

MIB = 1 << 20
PAPER_SIXTEEN = (5_549_500 * 16 + 8_800 * 16) / 8
"""Bytes of the paper's network with 16 bits everywhere, by its own count."""

ERROR_MARGIN = 0.08
"""Largest rise of the error that a candidate may have, a share: 24 % from the 16 % of the code."""

AGAIN = (0.028, 0.138)
"""Rises of the error between which the code considers beacons: 19 % and 30 % from 16.2 %."""

BEACON_SHARE = 20 / 64
"""Speed-up above which it does: 20, as a share of the 64 of 2 x 2 bits."""

BEACON_THRESHOLD = 5.0


@dataclass(frozen=True)
class Claim:
    """One statement of the abstract, in both versions of it."""

    what: str
    v1: str
    v3: str


@dataclass(frozen=True)
class Experiment:
    """One search of the paper.

    Attributes:
        name: as the command calls it.
        target: machine whose widths and arithmetic are searched.
        objectives: beside the error, without the accounting.
        generations: of the authors' code.
        limit: of the model, as a share of its 16-bit size; None: none. It is the paper's limit
            for the paper's network.
        beacons: whether the search is done without and with beacons.
        claims: of the abstract.
        note: what differs from the paper's search whatever is chosen.
    """

    name: str
    target: str
    objectives: tuple[str, ...]
    generations: int
    limit: float | None
    beacons: bool
    claims: tuple[Claim, ...]
    note: str

    def names(self, accounting: Accounting) -> tuple[str, ...]:
        """The objectives in an accounting, the error first."""
        prefix = "paper_" if accounting == "paper" else ""
        return ("error", *(prefix + name for name in self.objectives))


_FUSION = Experiment(
    "bitfusion",
    "bitfusion-mohaq",
    ("speedup",),
    60,
    2 * MIB / PAPER_SIXTEEN,
    False,
    (),
    "16 genes of 2, 4, 8 or 16 bits; the paper has no 2-bit inputs of the last layer, this search has",
)

EXPERIMENTS: dict[str, Experiment] = {
    e.name: e
    for e in (
        Experiment(
            "size",
            "bitfusion-e",
            ("size",),
            60,
            None,
            False,
            (
                Claim(
                    "8x smaller", "no significant error increase", "no significant error increase"
                ),
                Claim("12x smaller", "+1.5 points", "not stated"),
            ),
            "16 genes of 2, 4, 8 or 16 bits, in the arithmetic of bitfusion-e",
        ),
        Experiment(
            "silago",
            "silago-mohaq",
            ("speedup", "energy"),
            15,
            6 * MIB / PAPER_SIXTEEN,
            False,
            (
                Claim(
                    "share of the largest speed-up", "80 % at +0.5 points", "97 %, minor increase"
                ),
                Claim(
                    "share of the largest energy saving",
                    "64 % at +0.5 points",
                    "86 %, minor increase",
                ),
            ),
            "8 genes of 4, 8 or 16 bits, weights and inputs alike",
        ),
        _FUSION,
        replace(
            _FUSION,
            name="beacon",
            beacons=True,
            claims=(
                Claim(
                    "error won by beacons at the same speed-up",
                    "4 points, and a higher speed-up",
                    "up to 4.9 points",
                ),
            ),
        ),
    )
}


def find_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        MohaqError: there is none.
    """
    if name not in EXPERIMENTS:
        raise MohaqError(f"no experiment '{name}'", hint=did_you_mean(name, EXPERIMENTS))
    return EXPERIMENTS[name]
