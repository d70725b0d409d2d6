"""Our figures for the abstract's claims, from the points of a front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mohaq.compiler.search.front import Point

NEAR, MORE = 0.005, 0.015
"""Rises of the error that the abstract names: 0.5 and 1.5 points."""


@dataclass(frozen=True)
class Figure:
    """A figure of ours, and the point that it is of (None: no point reaches it)."""

    text: str
    point: Point | None


def size_figures(front: Sequence[Point], full: float, size: str, whole: float) -> list[Figure]:
    """For 8x and 12x smaller: the least error there, and the most compression near it.

    Args:
        front: feasible points.
        full: error of the float program.
        size: name of the objective [bytes].
        whole: bytes of the float parameters.
    """
    found = []
    for times, margin in ((8.0, NEAR), (12.0, MORE)):
        beyond = [p for p in front if whole / p.objectives[size] >= times]
        near = [p for p in front if p.objectives["error"] <= full + margin]
        best = min(beyond, key=lambda p: p.objectives["error"], default=None)
        small = min(near, key=lambda p: p.objectives[size], default=None)
        at = "not reached" if best is None else f"{rise(best, full)} at {times:g}x"
        within = f"within +{100 * margin:g}: "
        within += "none" if small is None else f"{whole / small.objectives[size]:.1f}x"
        found.append(Figure(f"{at}; {within}", small or best))
    return found


def share_figures(
    front: Sequence[Point],
    full: float,
    speedup: str,
    energy: str,
    widest: Mapping[str, float],
    narrowest: Mapping[str, float],
) -> list[Figure]:
    """Shares of the largest speed-up, and of the largest saving of energy, near the float error.

    The largest are those of the narrowest assignment; a saving is counted from the widest.
    """
    found = []

    def share(point: Point, name: str) -> float:
        if name == speedup:
            return point.objectives[speedup] / narrowest[speedup]
        saved = widest[energy] - point.objectives[energy]
        return saved / (widest[energy] - narrowest[energy])

    for name in (speedup, energy):
        parts, chosen = [], None
        for margin in (NEAR, MORE):
            near = [p for p in front if p.objectives["error"] <= full + margin]
            best = max(near, key=lambda p, name=name: share(p, name), default=None)  # type: ignore[misc]
            value = "none" if best is None else f"{100 * share(best, name):.0f} %"
            parts.append(f"{value} within +{100 * margin:g}")
            chosen = chosen or best
        found.append(Figure("; ".join(parts), chosen))
    return found


def speed_figures(front: Sequence[Point], full: float, speedup: str) -> list[Figure]:
    """The largest speed-up near the float error and anywhere."""
    found = []
    for margin in (NEAR, MORE, None):
        near = [p for p in front if margin is None or p.objectives["error"] <= full + margin]
        best = max(near, key=lambda p: p.objectives[speedup], default=None)
        where = "largest of all" if margin is None else f"within +{100 * margin:g}"
        value = "none" if best is None else f"{best.objectives[speedup]:.1f}x, {rise(best, full)}"
        found.append(Figure(f"{where}: {value}", best))
    return found


def won_by_beacons(
    plain: Sequence[Point], beacon: Sequence[Point], speedup: str
) -> tuple[float, Point | None, Point | None]:
    """(error won, plain point, beacon point) where beacons win most at a speed-up or beyond it.

    At each speed-up of the plain front, the least errors of both searches with at least that
    speed-up are compared; (0, None, None) where beacons win nowhere.
    """
    best: tuple[float, Point | None, Point | None] = (0.0, None, None)
    for mark in sorted({p.objectives[speedup] for p in plain}):
        ours = [p for p in beacon if p.objectives[speedup] >= mark]
        theirs = [p for p in plain if p.objectives[speedup] >= mark]
        if ours and theirs:
            a = min(theirs, key=lambda p: p.objectives["error"])
            b = min(ours, key=lambda p: p.objectives["error"])
            won = a.objectives["error"] - b.objectives["error"]
            if won > best[0]:
                best = (won, a, b)
    return best


def beacon_figures(plain: Sequence[Point], beacon: Sequence[Point], speedup: str) -> list[Figure]:
    """What beacons win at equal speed-up, and the largest speed-ups of both searches."""
    won, a, b = won_by_beacons(plain, beacon, speedup)
    top = [max((p.objectives[speedup] for p in f), default=0.0) for f in (plain, beacon)]
    text = f"largest speed-up {top[0]:.1f}x without, {top[1]:.1f}x with"
    if a is None or b is None:
        return [Figure(f"nothing won; {text}", None)]
    at = f"{100 * won:.1f} points at {a.objectives[speedup]:.1f}x"
    return [Figure(f"up to {at}; {text}", b)]


def rise(point: Point, full: float) -> str:
    """How far a point's error is above the float program's, in points."""
    return f"{100 * (point.objectives['error'] - full):+.1f} points"
