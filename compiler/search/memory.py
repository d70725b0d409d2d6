"""A memory of layer values with a limit in bytes; the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.frames import Frames


class ValueMemory:
    """{key: array} that never holds more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise MohaqError(f"the memory limit is not negative, got {limit} bytes")
        self.limit = limit
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._held: OrderedDict[Hashable, Frames] = OrderedDict()

    def get(self, key: Hashable) -> Frames | None:
        """The value of a key, or None."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
            self.hits += 1
        return found

    def put(self, key: Hashable, value: Frames) -> None:
        """Hold a computed value, unless it is larger than the limit."""
        self.misses += 1
        if value.nbytes > self.limit or key in self._held:
            return
        value.setflags(write=False)
        self._held[key] = value
        self.bytes += value.nbytes
        while self.bytes > self.limit:
            _, old = self._held.popitem(last=False)
            self.bytes -= old.nbytes

    def __len__(self) -> int:
        return len(self._held)
