"""Layer values and compiled layers within one limit in bytes; the least recently used go first."""

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

    Hits and misses are those of arrays.
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise MohaqError(f"the memory limit is not negative, got {limit} bytes")
        self.limit = limit
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._held: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable) -> Frames | None:
        """The array of a key, or None."""
        found: Frames | None = self.held(key)
        self.hits += found is not None
        return found

    def held(self, key: Hashable) -> Any:
        """What a key stands for, or None."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: Hashable, value: Frames) -> None:
        """Hold a computed array."""
        self.misses += 1
        value.setflags(write=False)
        self.keep(key, value)

    def keep(self, key: Hashable, value: Sized) -> None:
        """Hold anything, unless it is larger than the limit."""
        if value.nbytes > self.limit or key in self._held:
            return
        self._held[key] = value
        self.bytes += value.nbytes
        while self.bytes > self.limit:
            _, old = self._held.popitem(last=False)
            self.bytes -= old.nbytes

    def __len__(self) -> int:
        return len(self._held)
