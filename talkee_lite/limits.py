"""Token buckets: how often one client may do a thing. Pure; the clock is passed in."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

_FIRST_SWEEP = 4096


class Buckets:
    """One bucket for each key: `burst` tokens, refilled continuously at `rate` a second.

    A rate of 0 means no limit. Full buckets are forgotten, so that memory follows the number of
    clients that are active now, not of all that ever came.
    """

    __slots__ = ("_burst", "_levels", "_rate", "_sweep_at")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._levels: dict[Hashable, tuple[float, float]] = {}
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._levels)

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until `key` may take a token; 0.0 if it may now. Takes nothing."""
        if not self._rate:
            return 0.0
        level = self._level(key, now)
        return 0.0 if level >= 1.0 else (1.0 - level) / self._rate

    def take(self, key: Hashable, now: float) -> None:
        """Take one token. Ask `wait` first: the level may not go below zero."""
        if self._rate:
            self._levels[key] = (max(0.0, self._level(key, now) - 1.0), self._last(key, now))
            if len(self._levels) > self._sweep_at:
                self._sweep(now)

    def give_back(self, key: Hashable, now: float) -> None:
        """Undo one `take`: what it was taken for did not happen."""
        if self._rate:
            level = min(self._burst, self._level(key, now) + 1.0)
            self._levels[key] = (level, self._last(key, now))

    def forget(self, key: Hashable) -> None:
        """Let `key` begin anew."""
        self._levels.pop(key, None)

    def _last(self, key: Hashable, now: float) -> float:
        # Never back: what was refilled once must not be refilled again.
        known = self._levels.get(key)
        return now if known is None else max(known[1], now)

    def _level(self, key: Hashable, now: float) -> float:
        known = self._levels.get(key)
        if known is None:
            return self._burst
        level, then = known
        return min(self._burst, level + max(0.0, now - then) * self._rate)

    def _sweep(self, now: float) -> None:
        self._levels = {
            key: known for key, known in self._levels.items() if self._level(key, now) < self._burst
        }
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._levels))


class Limits:
    """Several buckets that must all agree before any gives a token."""

    __slots__ = ("_buckets",)

    def __init__(self, buckets: Iterable[Buckets]) -> None:
        self._buckets = tuple(buckets)

    def take(self, keys: tuple[Hashable, ...], now: float) -> float:
        """Take a token for `keys[i]` from bucket i; 0.0, or the seconds to wait and none taken."""
        pairs = tuple(zip(self._buckets, keys, strict=True))
        wait = 0.0
        for bucket, key in pairs:
            wait = max(wait, bucket.wait(key, now))
        if wait == 0.0:
            for bucket, key in pairs:
                bucket.take(key, now)
        return wait

    def give_back(self, keys: tuple[Hashable, ...], now: float) -> None:
        """Undo one successful `take`."""
        for bucket, key in zip(self._buckets, keys, strict=True):
            bucket.give_back(key, now)
