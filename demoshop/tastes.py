"""What a user likes: hidden vectors over brands, styles, colours, price and topics, which drift by day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demoshop.items import Items
from demoshop.randomness import Floats, Ints, stream

DIM = 8
BRAND = slice(0, DIM)
STYLE = slice(DIM, 2 * DIM)
COLOR = slice(2 * DIM, 3 * DIM)
INTEREST = slice(3 * DIM, 4 * DIM)
PRICE = 4 * DIM
WIDTH = 4 * DIM + 1

BRAND_WEIGHT, STYLE_WEIGHT, COLOR_WEIGHT, PRICE_WEIGHT = 0.9, 0.7, 0.5, 0.8
PRICE_SPREAD = 0.8
"""Of the price levels that people wish for."""
USUAL_PRICE_DISTANCE = 0.8
"""From the level wished for, at which a price neither draws nor repels."""
INTEREST_WEIGHT = 1.1
FAVOURITES = 5
FAVOURITE_SHARE = 0.4
FAVOURITE_CHANGE = 0.03
DRIFT = 0.05
"""Share of a taste that is drawn anew each day."""


@dataclass(frozen=True)
class Topics:
    """What one can look for: item types, or judged queries.

    ``weight`` [topics] is how often, ``vector`` [topics, DIM] whom it interests.
    """

    weight: Floats
    vector: Floats


@dataclass(frozen=True)
class Values:
    """Vectors of brands, styles and colours, [values + 1, DIM]: the last row (code -1, absent) is zero."""

    brand: Floats
    style: Floats
    color: Floats

    @classmethod
    def draw(cls, seed: int, brands: int, styles: int, colors: int) -> Values:
        """Random vectors; the dot product with a user's is about standard normal."""
        rng = stream(seed, "values")

        def vectors(count: int) -> Floats:
            drawn = rng.standard_normal((count + 1, DIM), np.float32) / np.float32(np.sqrt(DIM))
            drawn[-1] = 0
            return drawn

        return cls(vectors(brands), vectors(styles), vectors(colors))


class Tastes:
    """The users' tastes on one day; ``advance`` moves to the next."""

    def __init__(self, seed: int, users: int, topics: Topics, values: Values) -> None:
        self.seed, self.topics, self.values = seed, topics, values
        self.day = 0
        rng = stream(seed, "tastes")
        self.vectors: Floats = rng.standard_normal((users, WIDTH), np.float32)
        self.favourites: Ints = self.choose(rng, np.repeat(np.arange(users, dtype=np.int32), FAVOURITES)).reshape(
            users, FAVOURITES
        )

    def advance(self) -> None:
        """Move the tastes on by a day; their spread stays the same."""
        self.day += 1
        rng = stream(self.seed, "drift", self.day)
        fresh = rng.standard_normal(self.vectors.shape, np.float32)
        self.vectors = np.float32(np.sqrt(1 - DRIFT)) * self.vectors + np.float32(np.sqrt(DRIFT)) * fresh
        user, slot = np.nonzero(rng.random(self.favourites.shape) < FAVOURITE_CHANGE)
        self.favourites[user, slot] = self.choose(rng, user.astype(np.int32))

    def choose(self, rng: np.random.Generator, users: Ints) -> Ints:
        """A topic for each of ``users``: by how often it is wanted and by the user's interest."""
        chosen = np.empty(len(users), np.int32)
        log_weight = np.log(np.maximum(self.topics.weight, 1e-12))
        step = max(1, 4_000_000 // len(log_weight))
        for at in range(0, len(users), step):  # a slab at a time bounds the memory, [users, topics]
            part = users[at : at + step]
            interest = self.vectors[part][:, INTEREST] @ self.topics.vector.T
            likelihood = np.exp(log_weight + np.float32(INTEREST_WEIGHT) * interest)
            cumulated = np.cumsum(likelihood, axis=1)
            level = rng.random((len(part), 1), np.float32) * cumulated[:, -1:]
            chosen[at : at + step] = np.minimum((cumulated <= level).sum(axis=1), len(log_weight) - 1)
        return chosen

    def choose_with_habits(self, rng: np.random.Generator, users: Ints) -> Ints:
        """As ``choose``, but often one of the user's few standing favourites: people come back for the same things."""
        habit = self.favourites[users, rng.integers(0, FAVOURITES, len(users))]
        return np.where(rng.random(len(users)) < FAVOURITE_SHARE, habit, self.choose(rng, users)).astype(np.int32)

    def match(self, users: Ints, items: Items, shown: Ints) -> Floats:
        """How well items suit users, about zero mean and unit spread: users [R], shown [R, K] -> [R, K]."""
        vectors = self.vectors[users]

        def affinity(part: slice, values: Floats, codes: Ints) -> Floats:
            dot: Floats = np.einsum("rd,rkd->rk", vectors[:, part], values[codes[shown]])
            return dot

        wished = np.float32(PRICE_SPREAD) * vectors[:, PRICE : PRICE + 1]
        price = np.float32(USUAL_PRICE_DISTANCE) - np.abs(items.price_level[shown] - wished)
        liked: Floats = (
            BRAND_WEIGHT * affinity(BRAND, self.values.brand, items.brand)
            + STYLE_WEIGHT * affinity(STYLE, self.values.style, items.style)
            + COLOR_WEIGHT * affinity(COLOR, self.values.color, items.color)
            + PRICE_WEIGHT * price
        ).astype(np.float32)
        return liked
