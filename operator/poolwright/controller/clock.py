"""The world's clock: like the wall's, but it may run faster (docs/adr/0002).

Rate windows, staleness, stabilisation and cold starts are world seconds. Leases, timeouts and retries are wall seconds
and never come here.
"""

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """World time, ``speed`` times as fast as the wall's; 1 in production."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._started_s = time.monotonic()

    def now_s(self) -> float:
        """Return world seconds since some fixed moment; never goes back."""
        return self._started_s + (time.monotonic() - self._started_s) * self.speed

    def wall(self) -> datetime:
        """Return the wall's time, with zone."""
        return datetime.now(UTC)

    async def sleep(self, world_s: float) -> None:
        """Sleep for world seconds."""
        await asyncio.sleep(world_s / self.speed)
