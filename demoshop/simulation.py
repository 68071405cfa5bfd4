"""A shop, its users and its engine, day by day: who comes, what is asked, shown, clicked, bought."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from demoshop.catalog import DAY
from demoshop.clicks import act
from demoshop.randomness import stream
from demoshop.ranker import Ranker
from demoshop.records import TRUTH, Happened, event_rows, numbered, query_rows, truth_rows
from demoshop.sessions import Users, Visits, draw_visits
from demoshop.shop import Shop
from demoshop.tastes import Tastes
from demoshop.ubi import Log
from demoshop.words import keep
from infra.settings import DemoSettings

SESSIONS_AT_ONCE = 20_000
"""Bounds the memory of a busy day."""
SHOWN = 20
"""Items shown in a request."""
LOST_QUERY_IDS = 0.5
"""Share of the cart and purchase events without a query id: checkouts often do not know the search."""


@dataclass(frozen=True)
class SimulatedDay:
    """The log of the sessions that start on a day (its end may lie past midnight), and what was behind it."""

    log: Log
    truth: pa.Table


class Simulation:
    """Runs over a shop. A day depends on the settings, the shop and its number, not on other days having been run."""

    def __init__(self, demo: DemoSettings, shop: Shop, users: int) -> None:
        self.demo, self.shop = demo, shop
        self.users = Users.draw(demo.seed, users, demo.requests_per_user_day)
        self.tastes = Tastes(demo.seed, users, shop.topics, shop.values)
        self.ranker = Ranker(shop.items, shop.opening_stock, shop.shelves)
        self.opening = int(datetime.combine(demo.start, datetime.min.time(), UTC).timestamp()) * 1_000_000

    def midnight(self, day: int) -> int:
        """When a day (0..) begins, in microseconds since 1970."""
        return self.opening + day * DAY

    def run(self, day: int) -> SimulatedDay:
        """Simulate a day; days are run in order, some may be left out."""
        while self.tastes.day < day:
            self.tastes.advance()
        self.ranker.stock(self.shop.items_by(day))
        visits = draw_visits(stream(self.demo.seed, "visits", day), self.users, day, self.midnight(day))
        sessions = int(visits.session[-1]) + 1 if len(visits.session) else 0
        parts, first_query = [], 0
        for chunk, start in enumerate(range(0, sessions, SESSIONS_AT_ONCE)):
            part = visits.part(start, start + SESSIONS_AT_ONCE)
            parts.append(self.run_part(stream(self.demo.seed, "requests", day, chunk), part, day, first_query))
            first_query += len(part.user)
        if not parts:
            return SimulatedDay(Log.empty(), TRUTH.empty_table())
        return SimulatedDay(Log.concat([p.log for p in parts]), pa.concat_tables([p.truth for p in parts]))

    def run_part(self, rng: np.random.Generator, visits: Visits, day: int, first_query: int) -> SimulatedDay:
        """Simulate some sessions of a day, whose queries are numbered from ``first_query``."""
        items = self.shop.items
        asked = self.shop.ask(rng, self.tastes, visits.user, visits.need)
        narrowed = self.shop.narrowed(rng, asked)
        shown = self.ranker.show(rng, asked.text, visits.time, narrowed, SHOWN)
        relevance = self.shop.relevance(asked, shown)
        taste = np.float32(self.demo.taste_strength) * self.tastes.match(visits.user, items, shown)
        actions = act(rng, relevance, taste, items.quality[shown], visits.time)

        date = self.demo.start + timedelta(days=day)
        happened = Happened(
            query_ids=numbered(f"q{date:%Y%m%d}-", first_query + np.arange(len(visits.user))),
            session_ids=numbered(f"s{date:%Y%m%d}-", visits.session),
            user_ids=keep(numbered("u", visits.user), ~self.users.anonymous[visits.user]),
            client_ids=numbered("c", visits.user),
            item_ids=items.ids,
            visits=visits,
            asked=asked,
            shown=shown,
            actions=actions,
        )
        knows_query = (actions.kind == 0) | (rng.random(len(actions.row)) >= LOST_QUERY_IDS)
        return SimulatedDay(Log(query_rows(happened), event_rows(happened, knows_query)), truth_rows(happened))
