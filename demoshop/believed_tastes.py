"""What an ideal observer knows of tastes from the log: a Gaussian belief over each user's hidden vector.

The observer knows how people choose (``demoshop.clicks``), what fits a request, the vectors of brands, styles and
colours and how fast tastes drift, but of the people themselves only what they looked at, clicked and carted before. A
request updates the belief by Fisher scoring on the likelihood of its page (an iterated extended Kalman filter: Bell and
Cathey, IEEE Transactions on Automatic Control 1993). What people say in their queries of their taste is read as what
is relevant alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf  # type: ignore[import-untyped]

from demoshop.clicks import (
    CART_TASTE,
    CLICK_TASTE,
    STRAY_CLICKS,
    cart_taste,
    click_taste,
    examination,
)
from demoshop.items import Items
from demoshop.logged_requests import LoggedRequests
from demoshop.queries import ComposedShop
from demoshop.randomness import Bools, Floats, Ints, Longs
from demoshop.tastes import (
    BRAND,
    BRAND_WEIGHT,
    COLOR,
    COLOR_WEIGHT,
    DIM,
    DRIFT,
    PRICE,
    PRICE_SPREAD,
    PRICE_WEIGHT,
    STYLE,
    STYLE_WEIGHT,
    USUAL_PRICE_DISTANCE,
    Values,
)

WIDTH = 3 * DIM + 1
"""Numbers of a taste that items can match: brand, style, colour, price."""
MATCHED = np.r_[BRAND, STYLE, COLOR, PRICE]
"""Where they stand in :attr:`demoshop.tastes.Tastes.vectors`."""
STEPS = 2
"""Of Fisher scoring per request."""


@dataclass(frozen=True)
class Belief:
    """Mean [n, WIDTH] and covariance [n, WIDTH, WIDTH] of the tastes of n people."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of_strangers(cls, count: int) -> Belief:
        """Of people of whom nothing is known."""
        return cls(np.zeros((count, WIDTH), np.float32), np.tile(np.eye(WIDTH, dtype=np.float32), (count, 1, 1)))

    def of(self, rows: Ints | Longs | slice) -> Belief:
        """Of some of the people."""
        return Belief(self.mean[rows], self.covariance[rows])

    def put(self, rows: Ints | Longs, belief: Belief) -> None:
        """Replace that of some of the people."""
        self.mean[rows], self.covariance[rows] = belief.mean, belief.covariance

    def after(self, days: int) -> Belief:
        """The same after some days of drift."""
        kept = np.float32((1 - DRIFT) ** days)
        return Belief(np.sqrt(kept) * self.mean, kept * self.covariance + (1 - kept) * np.eye(WIDTH, dtype=np.float32))


def item_vectors(items: Items, values: Values) -> Floats:
    """What a taste's brand, style and colour are multiplied with, [items, WIDTH - 1]."""
    return np.concatenate(
        [
            BRAND_WEIGHT * values.brand[items.brand],
            STYLE_WEIGHT * values.style[items.style],
            COLOR_WEIGHT * values.color[items.color],
        ],
        axis=1,
    ).astype(np.float32)


def price_match(belief: Belief, price_level: Floats) -> tuple[Floats, Floats, Floats]:
    """What the price adds to the match: mean, variance, and the mean's slope in the taste; ``price_level`` [n, K].

    Of a normal distance its size is folded normal.
    """
    mean = price_level - np.float32(PRICE_SPREAD) * belief.mean[:, -1:]
    spread = np.float32(PRICE_SPREAD) * np.sqrt(np.maximum(belief.covariance[:, -1, -1, None], 1e-12))
    sign = erf(mean / (spread * np.float32(np.sqrt(2)))).astype(np.float32)
    size = spread * np.float32(np.sqrt(2 / np.pi)) * np.exp(-(mean**2) / (2 * spread**2)) + mean * sign
    variance = np.maximum(mean**2 + spread**2 - size**2, 0)
    weight = np.float32(PRICE_WEIGHT)
    return (
        weight * (np.float32(USUAL_PRICE_DISTANCE) - size),
        weight**2 * variance,
        weight * np.float32(PRICE_SPREAD) * sign,
    )


def observe(belief: Belief, pages: Pages, strength: np.float32) -> Belief:
    """The belief after what n people did with their pages."""
    precision = np.linalg.inv(belief.covariance)
    mean = belief.mean
    for _ in range(STEPS):
        here = Belief(mean, belief.covariance)
        price, _, slope = price_match(here, pages.price_level)
        taste = strength * (np.einsum("nkd,nd->nk", pages.vectors, mean[:, :-1]) + price)
        pull, weight = pages.told(taste)
        towards = strength * np.concatenate([pages.vectors, slope[:, :, None]], axis=2)
        gradient = np.einsum("nkd,nk->nd", towards, pull) - np.einsum("nde,ne->nd", precision, mean - belief.mean)
        covariance = np.linalg.inv(precision + np.einsum("nkd,nk,nke->nde", towards, weight, towards, optimize=True))
        mean = mean + np.einsum("nde,ne->nd", covariance, gradient)
    return Belief(mean.astype(np.float32), covariance.astype(np.float32))


@dataclass(frozen=True)
class Pages:
    """What n people saw and did, [n, K] each; ``vectors`` [n, K, WIDTH - 1]."""

    vectors: Floats
    price_level: Floats
    relevance: Floats
    quality: Floats
    clicked: Bools
    carted: Bools

    def told(self, taste: Floats) -> tuple[Floats, Floats]:
        """The slope of the log-likelihood in the taste, and its Fisher information, [n, K] each."""
        looked = examination(taste.shape[1])
        fits = click_taste(taste, self.quality)
        chance = looked * np.maximum(self.relevance * fits, STRAY_CLICKS)
        liked = self.relevance * fits > STRAY_CLICKS
        pull, weight = _bernoulli(self.clicked, chance, liked * chance * CLICK_TASTE * (1 - fits))
        into_cart = cart_taste(taste, self.quality)
        chance = self.relevance * into_cart
        of_cart = _bernoulli(self.carted, chance, chance * CART_TASTE * (1 - into_cart))
        clicked = self.clicked.astype(np.float32)
        return pull + clicked * of_cart[0], weight + clicked * of_cart[1]


def _bernoulli(happened: Bools, chance: Floats, slope: Floats) -> tuple[Floats, Floats]:
    """Score and Fisher information of a chance whose slope is given."""
    spread = np.maximum(chance * (1 - chance), np.float32(1e-6))
    score: Floats = np.where(happened, 1 - chance, -chance) * slope / spread
    information: Floats = slope * slope / spread
    return score, information


def believed_before(shop: ComposedShop, requests: LoggedRequests, wanted: Longs) -> Belief:
    """What is known of the askers of the ``wanted`` requests before each, from the requests before it.

    Requests are in order of time. A day goes by rounds: the first request of each of its users, the second, ...
    """
    people = Belief.of_strangers(shop.demo.users)
    before = Belief.of_strangers(len(wanted))
    place = np.full(len(requests), -1, np.int64)
    place[wanted] = np.arange(len(wanted))
    vectors = item_vectors(shop.items, shop.values)
    strength = np.float32(shop.demo.taste_strength)
    last = int(requests.day[wanted].max(initial=-1))
    for day in range(last + 1):
        if day:
            people = people.after(1)
        of_day = np.flatnonzero(requests.day == day)
        for rows in rounds(of_day, requests.user[of_day]):
            belief = people.of(requests.user[rows])
            asked = place[rows] >= 0
            before.put(place[rows][asked], belief.of(np.flatnonzero(asked)))
            page = requests.part(rows)
            pages = Pages(
                vectors[page.shown],
                shop.items.price_level[page.shown],
                shop.relevance(page.asked, page.shown),
                shop.items.quality[page.shown],
                page.clicked,
                page.carted,
            )
            people.put(requests.user[rows], observe(belief, pages, strength))
    return before


def rounds(rows: Longs, user: Ints) -> list[Longs]:
    """Rows in order of time, parted so that each part has a user once: their first, their second, ..."""
    order = np.argsort(user, kind="stable")
    _, begin, count = np.unique(user[order], return_index=True, return_counts=True)
    number = np.empty(len(rows), np.int64)
    number[order] = np.arange(len(rows)) - np.repeat(begin, count)
    return [rows[number == at] for at in range(int(count.max(initial=0)))]
