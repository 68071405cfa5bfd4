"""How often a client may ask: a token bucket each.

Ours, since what PyPI has for it brings decorators per route and a store (slowapi, fastapi-limiter need ``limits`` or
Redis); here every request of the process passes one place, on one event loop, and Redis may be away.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_CLIENTS = 10_000
"""Buckets that are kept; beyond it, the client that was quiet longest starts with a full one."""


class Rates:
    """Token buckets by client. For one event loop: nothing here is locked."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token; seconds until there is one, 0.0 where it was taken."""
        if not self._per_second:
            return 0.0
        now = self._clock()
        tokens, seen = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - seen) * self._per_second)
        missing = 1.0 - tokens
        self._buckets[client] = (tokens if missing > 0 else tokens - 1.0, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return max(missing, 0.0) / self._per_second
