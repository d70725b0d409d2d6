"""Layer values and compiled layers within one limit in bytes; values of late layers go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Protocol

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.frames import Frames


class Sized(Protocol):
    """What can be held."""

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        ...


class ValueMemory:
    """{key: array or compiled layer} that never holds more than `limit` bytes.

    Arrays of the last layers go first, and among those of one layer the least recently used:
    few candidates share many layers. Hits and misses are those of arrays.
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise MohaqError(f"the memory limit is not negative, got {limit} bytes")
        self.limit = limit
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._held: dict[Hashable, tuple[int, Any]] = {}
        self._ages: dict[int, OrderedDict[Hashable, None]] = {}

    def get(self, key: Hashable) -> Frames | None:
        """The array of a key, or None."""
        found: Frames | None = self.held(key)
        self.hits += found is not None
        return found

    def held(self, key: Hashable) -> Any:
        """What a key stands for, or None."""
        if key not in self._held:
            return None
        depth, found = self._held[key]
        self._ages[depth].move_to_end(key)
        return found

    def put(self, key: Hashable, value: Frames, depth: int = 0) -> None:
        """Hold the computed array of the layer at `depth`, counted from the input."""
        self.misses += 1
        value.setflags(write=False)
        self.keep(key, value, depth)

    def keep(self, key: Hashable, value: Sized, depth: int = 0) -> None:
        """Hold anything, unless it is larger than the limit."""
        if value.nbytes > self.limit or key in self._held:
            return
        self._held[key] = depth, value
        self._ages.setdefault(depth, OrderedDict())[key] = None
        self.bytes += value.nbytes
        while self.bytes > self.limit:
            deepest = max(depth for depth, keys in self._ages.items() if keys)
            oldest, _ = self._ages[deepest].popitem(last=False)
            self.bytes -= self._held.pop(oldest)[1].nbytes

    def __len__(self) -> int:
        return len(self._held)
