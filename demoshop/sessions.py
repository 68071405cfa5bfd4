"""When users come, and how many requests a session has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demoshop.catalog import DAY
from demoshop.randomness import Bools, Floats, Ints, Longs, stream

PER_SESSION = 1.6
MOST_REQUESTS = 8
CONTINUED = 0.7
"""Share of a session's further requests that look for the same thing again."""
ACTIVITY_SPREAD = 1.0
LATER_USERS = 0.2
"""Share of the users who are not there on the first day; half of them have come after ten days."""
LATER_HALF_DAYS = 10
ANONYMOUS = 0.1
"""Share of the users who never log in: only their client id is in the logs."""
MILLISECOND = 1_000
SECOND = 1_000_000
HOUR = 3600 * SECOND


@dataclass(frozen=True)
class Users:
    """Requests per day of each user, the day from which the user comes, and whether the user never logs in."""

    rate: Floats
    joins: Ints
    anonymous: Bools

    @classmethod
    def draw(cls, seed: int, count: int, requests_per_day: float) -> Users:
        """Heavy-tailed activity around ``requests_per_day``."""
        rng = stream(seed, "users")
        rate = np.exp(ACTIVITY_SPREAD * rng.standard_normal(count) - ACTIVITY_SPREAD**2 / 2) * requests_per_day
        days = 1 + rng.exponential(LATER_HALF_DAYS / np.log(2), count)
        joins = np.where(rng.random(count) < LATER_USERS, days, 0).astype(np.int32)
        return cls(rate.astype(np.float32), joins, rng.random(count) < ANONYMOUS)


@dataclass(frozen=True)
class Visits:
    """Requests by session, in order: user, session (0..), need (0.., what is looked for), time in microseconds."""

    user: Ints
    session: Ints
    need: Ints
    time: Longs

    def part(self, start: int, stop: int) -> Visits:
        """The requests of sessions ``start`` to ``stop``; needs count from 0 again."""
        rows = slice(*np.searchsorted(self.session, (start, stop)))
        need = self.need[rows]
        return Visits(self.user[rows], self.session[rows], need - need[:1], self.time[rows])


def draw_visits(rng: np.random.Generator, users: Users, day: int, midnight: int) -> Visits:
    """The sessions that start on a day; the late ones run past midnight. ``midnight`` opens the day, microseconds."""
    expected = np.where(users.joins <= day, users.rate, 0) / PER_SESSION
    user = np.repeat(np.arange(len(expected), dtype=np.int32), rng.poisson(expected))
    rng.shuffle(user)
    count = np.minimum(rng.geometric(1 / PER_SESSION, len(user)), MOST_REQUESTS)
    evening = rng.random(len(user)) < 0.55
    hour = np.where(evening, rng.normal(20.5, 2.0, len(user)), rng.normal(12.5, 3.0, len(user))) % 24
    start = np.minimum(midnight + (hour * HOUR).astype(np.int64), midnight + DAY - 1)

    session = np.repeat(np.arange(len(user), dtype=np.int32), count)
    opens = np.zeros(len(session), bool)
    opens[np.cumsum(count) - count] = True
    pause = np.where(opens, 0, 8 + rng.exponential(90.0, len(session))) * SECOND
    waited = np.cumsum(pause)
    waited -= np.repeat(waited[opens], count)
    fresh = opens | (rng.random(len(session)) >= CONTINUED)
    need = (np.cumsum(fresh) - 1).astype(np.int32)
    time = start[session] + waited.astype(np.int64)
    return Visits(user[session], session, need, time // MILLISECOND * MILLISECOND)
