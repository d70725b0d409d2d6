"""Beacon options of the command line, as a beacon search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.qat import RetrainOptions
from mohaq.compiler.search.beacon_settings import BeaconSearch, BeaconSettings, Condition
from mohaq.tools.sources import held_out, load_data


@dataclass(frozen=True)
class BeaconArguments:
    """What the command line said; None: not given."""

    train: str | None = None
    threshold: float | None = None
    error: str | None = None
    conditions: Sequence[str] = ()
    most: int | None = None
    epochs: int | None = None
    rate: float | None = None
    store: Path | None = None

    def given(self) -> bool:
        """Whether there is anything."""
        return self != BeaconArguments()


def beacon_search(mode: str, given: BeaconArguments) -> BeaconSearch | None:
    """The beacon search of `--mode beacon`, None for `--mode inference`.

    Every fifth sequence of the training data chooses the epochs.

    Raises:
        MohaqError: another mode, options without it, no training data, bad bounds.
    """
    if mode not in ("inference", "beacon"):
        raise MohaqError(f"no mode '{mode}'", hint="inference or beacon")
    if mode == "inference":
        if given.given():
            raise MohaqError("beacon options go with --mode beacon only")
        return None
    if given.train is None:
        raise MohaqError(
            "a beacon search needs --train, data to retrain on",
            hint="not what the search measures errors on, e.g. --train speech:calibration",
        )
    train, validation = held_out(load_data(given.train))
    chosen = {"epochs": given.epochs, "rate": given.rate}
    recipe = RetrainOptions(threads=1, **{k: v for k, v in chosen.items() if v is not None})  # type: ignore[arg-type]
    settings = BeaconSettings(
        BeaconSettings.threshold if given.threshold is None else given.threshold,
        None if given.error is None else _bounds(given.error),
        tuple(Condition.parse(text) for text in given.conditions),
        given.most,
        recipe,
    )
    return BeaconSearch(train, validation, settings, given.store)


def _bounds(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        if colon:
            return float(low), float(high)
    except ValueError:
        pass
    raise MohaqError(f"--beacon-error takes LOW:HIGH, e.g. 0.19:0.3, got '{text}'")
