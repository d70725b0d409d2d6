"""Beacons trained in the process of the test: it takes seconds to start another."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from mohaq.compiler.search.beacon_training import BeaconTrainer, work_on


def train_here(patch: pytest.MonkeyPatch) -> None:
    """Let searches do so while `patch` holds."""

    def run(self: BeaconTrainer, task: dict[str, Any]) -> str:
        with contextlib.chdir(self._folder):
            work_on(task, self._tell)
        return ""

    patch.setattr(BeaconTrainer, "_run", run)
