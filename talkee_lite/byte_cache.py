"""What was made of pages, in memory, as long as it is true and there is room. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

# What an entry costs beside what it holds.
_OVERHEAD = 512


class ByteCache(Generic[T]):
    """Values by key, each of one version; together at most `budget` bytes.

    The one unused for longest goes first, and one that alone would take a quarter is not kept.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._kept: OrderedDict[Hashable, tuple[Hashable, T, int]] = OrderedDict()
        self.cost = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable, version: Hashable) -> T | None:
        """The value, if it is of this version; one of another is dropped."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] != version:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found[1]

    def keep(self, key: Hashable, version: Hashable, value: T, size: int) -> None:
        """Keep a value of `size` bytes."""
        cost = size + _OVERHEAD
        self._drop(key)
        if cost > self._budget // 4:
            return
        self._kept[key] = (version, value, cost)
        self.cost += cost
        while self.cost > self._budget:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self.cost -= dropped[2]
