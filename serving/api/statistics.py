"""What several retrievers count, as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

Told = Mapping[str, Any]
"""As :meth:`serving.retriever.Retriever.statistics` gives it."""


class Statistics:
    """What each of some workers told last. Counts never fall, though a worker that was started again begins at 0."""

    def __init__(self, workers: int) -> None:
        self._last: list[Told | None] = [None] * workers
        self._lives = [0] * workers
        self._before: Counter[tuple[str, str]] = Counter()
        """What ended workers had counted, by cache and what it counts."""

    def told(self, worker: int, life: int, statistics: Told) -> None:
        """Note what a worker tells, in its how-many-th life."""
        last = self._last[worker]
        if last is not None and life != self._lives[worker]:
            self._before.update(_counts(last))
        self._last[worker], self._lives[worker] = statistics, life

    def together(self) -> dict[str, Any]:
        """The same of all: sums of counts; the oldest and the worst of what one may say differently than another."""
        known = [told for told in self._last if told is not None]
        if not known:
            return {}
        counted = self._before.copy()
        for told in known:
            counted.update(_counts(told))
        caches: dict[str, dict[str, int]] = {}
        for (cache, kind), count in counted.items():
            caches.setdefault(cache, {})[kind] = count
        lives, updates = [told["live"] for told in known], [told["item_updates"] for told in known]
        return {
            "cache": caches,
            "item_updates": {
                "items": updates[0]["items"],
                "up": all(told["up"] for told in updates),
                "problem": next((told["problem"] for told in updates if told["problem"] is not None), None),
            },
            "live": {
                "trained_at": min(live["trained_at"] for live in lives),
                "refused": next((live["refused"] for live in lives if live["refused"] is not None), None),
                "up": {part: all(live["up"][part] for live in lives) for part in lives[0]["up"]},
            },
        }


def _counts(told: Told) -> Counter[tuple[str, str]]:
    return Counter({(cache, kind): n for cache, counts in told["cache"].items() for kind, n in counts.items()})
