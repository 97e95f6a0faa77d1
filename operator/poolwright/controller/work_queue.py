"""Which pools need a look: each at most once, never two looks at one pool at a time, failures with growing delay."""

import asyncio
import random
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

FIRST_DELAY_S: Final = 0.5
"""[wall s] Delay after a first failure; doubles with each further one."""
LONGEST_DELAY_S: Final = 60.0
"""[wall s] Longest delay: a cluster that comes back is noticed within a minute."""
JITTER_RATIO: Final = 0.2
"""Random share of a delay, so that pools that failed together do not return together [ratio]."""

Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """A set of keys that are due, now or later."""

    def __init__(self, *, monotonic_s: Callable[[], float] = time.monotonic, rng: random.Random | None = None) -> None:
        self._now_s = monotonic_s
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self._due_s: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys are due now."""
        return sum(due_s <= self._now_s() for due_s in self._due_s.values())

    def add(self, key: Key, *, after_s: float = 0.0) -> None:
        """Make a key due; an earlier time wins."""
        due_s = self._now_s() + after_s
        self._due_s[key] = min(due_s, self._due_s.get(key, due_s))
        self._changed.set()

    def forget(self, key: Key) -> None:
        """Drop a key and its failures."""
        self._due_s.pop(key, None)
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Wait for a key that is due and that nobody looks at, and take it."""
        while True:
            now_s = self._now_s()
            waiting = {key: due_s for key, due_s in self._due_s.items() if key not in self._busy}
            ready = [key for key, due_s in waiting.items() if due_s <= now_s]
            if ready:
                key = min(ready, key=lambda each: waiting[each])
                del self._due_s[key]
                self._busy.add(key)
                return key
            self._changed.clear()
            delay_s = min(waiting.values()) - now_s if waiting else None
            try:
                await asyncio.wait_for(self._changed.wait(), delay_s)
            except TimeoutError:
                continue

    def done(self, key: Key, *, again_after_s: float | None = None) -> None:
        """End a look that went well; come again after a time, unless something makes the key due before."""
        self._busy.discard(key)
        self._failures.pop(key, None)
        if again_after_s is not None:
            self.add(key, after_s=again_after_s)
        self._changed.set()

    def failed(self, key: Key, *, at_least_s: float = 0.0) -> float:
        """End a look that failed, come again with growing delay, and return that delay [wall s]."""
        self._busy.discard(key)
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay_s = min(FIRST_DELAY_S * 2.0 ** min(count, 16), LONGEST_DELAY_S)
        delay_s = max(delay_s * (1.0 + JITTER_RATIO * self._rng.random()), at_least_s)
        # A change that came meanwhile does not shorten the delay: it may be our own doing.
        self._due_s[key] = self._now_s() + delay_s
        self._changed.set()
        return delay_s
