"""Model files inside packages that are installed for tests alone (tests/pretrained.txt)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def shipped(package: str, *parts: str) -> Path:
    """A file inside an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the package {package} is not installed (tests/pretrained.txt)")
    return Path(found.submodule_search_locations[0]).joinpath(*parts)
