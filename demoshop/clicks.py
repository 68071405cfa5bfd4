"""From items shown to clicks, carts and orders: position bias x relevance x taste."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demoshop.randomness import Bools, Floats, Ints, Longs
from demoshop.sessions import SECOND

POSITION_DECAY = 0.7
"""Examination falls as rank^-decay (the form of Joachims et al., 2017; the exponent is ours)."""
STRAY_CLICKS = 0.004
CLICK_TASTE, CLICK_OFFSET = np.float32(1.5), np.float32(-1.6)
CART_TASTE, CART_OFFSET = np.float32(1.2), np.float32(-1.5)
QUALITY = np.float32(0.3)
ORDER_GIVEN_CART = 0.3
SLOW_ORDERS = 0.3
"""Share of the orders that take up to two hours; the others take minutes."""
LONGEST_ORDER = 110 * 60 * SECOND


@dataclass(frozen=True)
class Actions:
    """Clicks, carts and orders: kind (index of ``KINDS``), request row, rank from 0, time in microseconds."""

    kind: Ints
    row: Longs
    rank: Longs
    time: Longs


KINDS = ("click", "add_to_cart", "purchase")


def act(rng: np.random.Generator, relevance: Floats, taste: Floats, quality: Floats, times: Longs) -> Actions:
    """What users do with the items shown, [R, K] each; ``times`` [R]. At most one order per request."""
    requests, page = relevance.shape
    examined = examination(page)
    attraction = relevance * click_taste(taste, quality)
    clicked = rng.random((requests, page), np.float32) < examined * np.maximum(attraction, STRAY_CLICKS)
    cart_chance = relevance * cart_taste(taste, quality)
    carted = clicked & (rng.random((requests, page), np.float32) < cart_chance)
    ordered = first_of_row(carted & (rng.random((requests, page), np.float32) < ORDER_GIVEN_CART))

    row, rank = np.nonzero(clicked)
    click_time = times[row] + seconds(3 + rng.exponential(4.0, len(row)) + 2.5 * rank)
    cart = carted[row, rank]
    cart_time = click_time[cart] + seconds(8 + rng.exponential(40.0, int(cart.sum())))
    bought = ordered[row[cart], rank[cart]]
    quick = 30 + rng.exponential(300.0, int(bought.sum()))
    slow = rng.uniform(600, 6000, len(quick))
    order_time = cart_time[bought] + seconds(np.where(rng.random(len(quick)) < SLOW_ORDERS, slow, quick))
    order_rows, order_ranks = row[cart][bought], rank[cart][bought]
    order_time = np.minimum(order_time, times[order_rows] + LONGEST_ORDER)
    counts = (len(row), len(cart_time), len(order_time))
    return Actions(
        np.repeat(np.arange(3, dtype=np.int32), counts),
        np.concatenate([row, row[cart], order_rows]),
        np.concatenate([rank, rank[cart], order_ranks]),
        np.concatenate([click_time, cart_time, order_time]),
    )


def examination(page: int) -> Floats:
    """Chance that each place of a page is looked at, [page]."""
    looked: Floats = np.arange(1, page + 1, dtype=np.float32) ** np.float32(-POSITION_DECAY)
    return looked


def click_taste(taste: Floats, quality: Floats) -> Floats:
    """Chance that an examined item that fits is clicked."""
    return sigmoid(CLICK_TASTE * taste + QUALITY * quality + CLICK_OFFSET)


def cart_taste(taste: Floats, quality: Floats) -> Floats:
    """Chance that a clicked item that fits goes to the cart."""
    return sigmoid(CART_TASTE * taste + QUALITY * quality + CART_OFFSET)


def first_of_row(marked: Bools) -> Bools:
    """Only the first mark of each row."""
    firsts: Bools = marked & (np.cumsum(marked, axis=1) == 1)
    return firsts


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return np.float32(1) / (np.float32(1) + np.exp(-x))


def seconds(value: np.ndarray) -> Longs:
    """Seconds as whole milliseconds, in microseconds: what a browser's clock gives."""
    return (value * 1000).astype(np.int64) * 1000
