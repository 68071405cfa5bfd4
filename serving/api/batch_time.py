"""How long a batch of searches takes, learned from those that ended."""

from __future__ import annotations

NEWEST, NEWEST_OFF = 1 / 16, 1 / 8
"""Weights of the newest batch in the moments of size and time, and in the mean of how far its estimate was off."""
DEVIATIONS = 2.0


class BatchTime:
    """Seconds by size, fixed + each * n, by least squares in which each batch weighs less than the one after it; and
    how far that is off, as TCP bounds its round trips (Jacobson 1988, Congestion avoidance and control)."""

    def __init__(self) -> None:
        self._size = self._seconds = self._size_size = self._size_seconds = 0.0
        self._off = 0.0
        self._fixed = self._each = 0.0
        self._seen = 0

    def learn(self, size: int, seconds: float) -> None:
        """Note a batch that ended."""
        weight = max(NEWEST, 1 / (self._seen + 1))
        if self._seen:
            self._off += max(NEWEST_OFF, 1 / self._seen) * (abs(seconds - self.expected(size)) - self._off)
        self._seen += 1
        self._size += weight * (size - self._size)
        self._seconds += weight * (seconds - self._seconds)
        self._size_size += weight * (size * size - self._size_size)
        self._size_seconds += weight * (size * seconds - self._size_seconds)
        spread = self._size_size - self._size**2
        slope = (self._size_seconds - self._size * self._seconds) / spread if spread > 1e-9 else 0.0
        # Neither part is below 0, whatever noise says.
        self._each = min(max(slope, 0.0), self._seconds / self._size)
        self._fixed = self._seconds - self._each * self._size

    def at_most(self, size: int) -> float:
        """Seconds within which nearly every batch of that size ends; 0.0 before there was one."""
        return self.expected(size) + DEVIATIONS * self._off

    def largest_within(self, seconds: float, most: int) -> int:
        """How many searches a batch may have, of at most ``most``, to be expected to end within that time; at least a
        quarter of that: smaller batches cost more than they save."""
        fewest = -(-most // 4)
        if self.expected(most) <= seconds:
            return most
        return max(fewest, int((seconds - self._fixed) / self._each)) if self._each else fewest

    def expected(self, size: int) -> float:
        """Seconds that a batch of that size is expected to take; 0.0 before there was one."""
        return self._fixed + self._each * size
