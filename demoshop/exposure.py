"""How much the shop's own engine lets people look at each item: what can be ordered at all."""

from __future__ import annotations

import numpy as np

from demoshop.clicks import examination
from demoshop.logged_requests import LoggedRequests
from demoshop.queries import ComposedShop
from demoshop.randomness import Floats, stream
from demoshop.ranker import Ranker
from demoshop.simulation import SHOWN

DRAWS = 400
"""Pages drawn of each request."""


class Exposure:
    """Chance that each item is looked at, by drawing the engine's pages anew."""

    def __init__(self, shop: ComposedShop, draws: int = DRAWS) -> None:
        self._shop, self._draws = shop, draws
        self._engine = Ranker(shop.items, shop.opening_stock, shop.shelves)

    def of(self, requests: LoggedRequests, items: int) -> Floats:
        """For requests of one day, of the first ``items`` items, [R, items]; 0 for what was on no page drawn."""
        day = int(requests.day[0])
        self._engine.stock(self._shop.items_by(day))
        rng = stream(self._shop.demo.seed, "exposure", day, int(requests.time[0] % 2**31))
        looked = np.zeros(len(requests) * items, np.float32)
        first = np.arange(len(requests), dtype=np.int64)[:, None] * items
        chance = np.tile(examination(SHOWN) / np.float32(self._draws), (len(requests), 1))
        for _ in range(self._draws):
            narrowed = self._shop.narrowed(rng, requests.asked)
            page = self._engine.show(rng, requests.text, requests.time, narrowed, SHOWN)
            looked[(first + page).ravel()] += chance[:, : page.shape[1]].ravel()  # a page has an item once
        return looked.reshape(len(requests), items)
