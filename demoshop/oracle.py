"""``python -m demoshop.oracle``: how many later orders one could find who knew more than the log says.

An observer orders the whole catalogue by the chance that the request leads to an order of the item, as far as what it
knows tells: chance = looked at x clicked x carted (``demoshop.clicks``). *What fits* and *quality* are the hidden ones.
*Tastes* are unknown, as the log up to the request tells them (:mod:`demoshop.believed_tastes`), or the true ones. The
*engine* is unknown, known by the popularity that it prefers, or by its pages: with these and the true tastes nothing is
left but chance, so no search of any kind can find more. For evaluation only: nothing that learns may read this.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

from demoshop.believed_tastes import MATCHED, Belief, believed_before, item_vectors, price_match
from demoshop.clicks import STRAY_CLICKS, cart_taste, click_taste
from demoshop.exposure import DRAWS, Exposure
from demoshop.logged_requests import LoggedRequests, last_days, read_requests, with_ids
from demoshop.queries import ComposedShop
from demoshop.randomness import Floats, Longs, stream
from demoshop.tastes import Tastes
from infra.contract.names import STOPPING_SHARE
from infra.contract.partitions import table_files
from infra.settings import Settings, get_settings

CELLS = 2_000_000
"""Requests x items held at once."""
NODES = np.polynomial.hermite_e.hermegauss(7)
"""Gauss-Hermite nodes and weights, over what is not known of a taste."""
UNSEEN = np.float32(1e-6)
"""Chance to be looked at of what was on no page drawn: it comes last, in its own order."""
PRIOR_ORDERS = 1_000
"""Latest orders before the judged ones, from which the worth of the engine's popularity is read."""

PEOPLE = ("what fits", "+ quality", "+ tastes as the log tells them", "+ true tastes")
"""What is known of items and people, each with all before it, but for the tastes, which stand for each other."""
ENGINES = ("unknown", "popularity", "pages")
"""What is known of the shop's own engine."""
MEASURES = ("recall@10", "recall@100", "ndcg@10", "mrr")


@dataclass(frozen=True)
class Found:
    """What the observers find of the orders of some requests."""

    requests: int
    figures: dict[tuple[str, str], dict[str, float]]
    """By what is known of people and of the engine: the measures, means of the means of each day."""
    popularity: float
    """Worth of a standard deviation of the engine's popularity, in the logarithm of the chance of an order."""
    told: float
    """Share of the askers' tastes (brand, style, colour, price) that the log told before they asked."""

    def markdown(self) -> str:
        """The figures as a table, with what they are of."""
        lines = [
            f"What can be found of {self.requests:,} later orders. The log told {self.told:.0%} of the askers' tastes;"
            f" a standard deviation of the engine's popularity is worth {self.popularity:.2f} in the logarithm of an"
            " order's chance.",
            "",
            "| known of items and people | of the engine | " + " | ".join(MEASURES) + " |",
            "| --- | --- |" + " --- |" * len(MEASURES),
        ]
        for (people, engine), of in self.figures.items():
            lines.append(f"| {people} | {engine} | " + " | ".join(f"{of[name]:.3f}" for name in MEASURES) + " |")
        return "\n".join(lines)


def what_can_be_found(
    settings: Settings, query_ids: Sequence[str] | pa.Array | None = None, draws: int = DRAWS
) -> Found:
    """What each observer finds of the orders of requests; by default of those that judge a release.

    Raises:
        FileNotFoundError: nothing was made, or (without ``query_ids``) no training set.
        ValueError: the shop's logs are given, so nobody knows their truth, or none of the requests has an order.
    """
    if settings.landing is not None:
        raise ValueError("the truth is known of the demo shop alone: leave SHELFWISE_LANDING unset")
    shop = ComposedShop(settings.demo)
    requests = read_requests(settings, shop.items.ids)
    wanted = np.flatnonzero(
        with_ids(requests, judging_query_ids(settings) if query_ids is None else query_ids) & (requests.ordered >= 0)
    )
    if not len(wanted):
        raise ValueError("none of these requests led to an order: there is nothing to find")
    earlier = np.flatnonzero((requests.day < requests.day[wanted].min()) & (requests.ordered >= 0))[-PRIOR_ORDERS:]
    popularity = popularity_worth(shop, requests.part(earlier)) if len(earlier) else 0.0
    beliefs = believed_before(shop, requests, wanted)
    judged, engine = requests.part(wanted), Exposure(shop, draws)
    tastes = Tastes(settings.demo.seed, settings.demo.users, shop.topics, shop.values)
    ranks: dict[tuple[str, str], list[Longs]] = {(people, of): [] for people in PEOPLE for of in ENGINES}
    told = np.zeros(2)
    rng = stream(settings.demo.seed, "oracle")
    for rows in _blocks(judged, len(shop.items)):
        block, items = judged.part(rows), shop.items_by(int(judged.day[rows.start]))
        while tastes.day < int(block.day[0]):
            tastes.advance()
        belief = beliefs.of(rows)
        told += _told(tastes, block, belief)
        there = shop.items.created[:items] <= block.time[:, None]
        looked = {
            "unknown": np.float32(1),
            "popularity": np.exp(np.float32(popularity) * shop.items.popularity[:items]),
            "pages": engine.of(block, items),
        }
        for people, chance in _chances(shop, tastes, block, belief, items):
            for of, share in looked.items():
                score = np.where(there, (share + UNSEEN) * chance, -1)
                ranks[people, of].append(rank_of(score, block.ordered, rng))
    return Found(
        len(judged),
        {known: _measures(np.concatenate(of), judged.day) for known, of in ranks.items()},
        popularity,
        float(1 - told[0] / told[1]),
    )


def judging_query_ids(settings: Settings) -> pa.Array:
    """The requests that judge a release: those after the cut with an order, of people who do not choose the epoch.

    As :func:`training.evaluation.measure.judging_requests` tells them, which this room does not import.

    Raises:
        FileNotFoundError: there is no training set.
    """
    requests, rows = (settings.paths.training_set / name for name in ("requests", "rows"))
    if not table_files(requests):
        raise FileNotFoundError(f"no training set under {requests}: run first, or judge the last days (--days)")
    query = """
        SELECT query_id FROM read_parquet($requests, hive_partitioning = false)
        SEMI JOIN (SELECT query_id FROM read_parquet($rows, hive_partitioning = false) WHERE ordered) USING (query_id)
        WHERE split = 'validation' AND
            ('0x' || left(md5($seed || coalesce('user ' || user_id, 'request ' || query_id)), 13))::BIGINT / 2.0**52
            >= $share
        """
    files = {name: [str(file) for file in table_files(of)] for name, of in (("requests", requests), ("rows", rows))}
    given = {**files, "seed": str(settings.training.seed), "share": STOPPING_SHARE}
    with duckdb.connect() as db:
        return db.sql(query, params=given).to_arrow_table()["query_id"].combine_chunks()


def popularity_worth(shop: ComposedShop, orders: LoggedRequests) -> float:
    """What a standard deviation of the engine's popularity adds to the logarithm of an order's chance.

    That of the greatest likelihood of ``orders`` among all items, beside what fits and quality.
    """
    popularity = shop.items.popularity
    chances = [
        np.log(_by_quality(shop, orders.part(rows), len(shop.items)) + 1e-12)
        for rows in _blocks(orders, len(shop.items))
    ]

    def loss(worth: float) -> float:
        added = np.float32(worth) * popularity
        total = sum(float(np.log(np.exp(chance + added).sum(axis=1, dtype=np.float64)).sum()) for chance in chances)
        return total - worth * float(popularity[orders.ordered].sum())

    return float(minimize_scalar(loss, bounds=(0, 5), method="bounded", options={"xatol": 0.01}).x)


def _chances(
    shop: ComposedShop, tastes: Tastes, block: LoggedRequests, belief: Belief, items: int
) -> Iterator[tuple[str, Floats]]:
    """Chance of an order of an item that is looked at, [R, items], by what is known of items and people."""
    strength = np.float32(shop.demo.taste_strength)
    quality = shop.items.quality[:items]
    everything = np.broadcast_to(np.arange(items, dtype=np.int32), (len(block), items))
    fit = shop.relevance(block.asked, everything)
    yield PEOPLE[0], chosen(fit, np.float32(0), np.zeros_like(quality))
    yield PEOPLE[1], chosen(fit, np.float32(0), quality)
    mean, deviation = match_believed(shop, belief, items)
    chance = np.zeros_like(fit)
    for node, weight in zip(*NODES, strict=True):
        taste = strength * (mean + np.float32(node) * deviation)
        chance += np.float32(weight / NODES[1].sum()) * chosen(fit, taste, quality)
    yield PEOPLE[2], chance
    yield PEOPLE[3], chosen(fit, strength * tastes.match(block.user, shop.items, everything), quality)


def chosen(fit: Floats, taste: Floats | np.float32, quality: Floats) -> Floats:
    """Chance that an item that is looked at goes to the cart."""
    clicked = np.maximum(fit * click_taste(np.asarray(taste), quality), STRAY_CLICKS)
    carted: Floats = clicked * fit * cart_taste(np.asarray(taste), quality)
    return carted


def match_believed(shop: ComposedShop, belief: Belief, items: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of how well the first ``items`` items suit people, as far as is known,
    [R, items] each."""
    vectors = item_vectors(shop.items, shop.values)[:items]
    levels = np.broadcast_to(shop.items.price_level[:items], (len(belief.mean), items))
    price, variance, slope = price_match(belief, levels)
    among = belief.covariance[:, :-1, :-1]
    variance = variance + 2 * slope * (belief.covariance[:, :-1, -1] @ vectors.T)
    squares = (vectors[:, :, None] * vectors[:, None, :]).reshape(items, -1)
    variance += among.reshape(len(among), -1) @ squares.T
    return belief.mean[:, :-1] @ vectors.T + price, np.sqrt(np.maximum(variance, 0))


def rank_of(scores: Floats, target: Longs, rng: np.random.Generator) -> Longs:
    """How many items stand before the target, ties in random order: scores [R, items], target [R] -> [R]."""
    own = scores[np.arange(len(target)), target][:, None]
    ranks: Longs = (scores > own).sum(axis=1) + rng.integers(0, (scores == own).sum(axis=1))
    return ranks


def _by_quality(shop: ComposedShop, block: LoggedRequests, items: int) -> Floats:
    everything = np.broadcast_to(np.arange(items, dtype=np.int32), (len(block), items))
    return chosen(shop.relevance(block.asked, everything), np.float32(0), shop.items.quality[:items])


def _blocks(requests: LoggedRequests, items: int) -> Iterator[slice]:
    """Requests of one day each, few enough for ``CELLS``."""
    step = max(1, CELLS // items)
    for day in np.unique(requests.day):
        first, last = np.searchsorted(requests.day, (day, day + 1))
        yield from (slice(at, min(at + step, last)) for at in range(first, last, step))


def _told(tastes: Tastes, block: LoggedRequests, belief: Belief) -> Floats:
    """Squared error of what is believed of the askers' tastes, and their squared size."""
    true = tastes.vectors[block.user][:, MATCHED]
    return np.array([((true - belief.mean) ** 2).sum(), (true**2).sum()])


def _measures(rank: Longs, day: Longs) -> dict[str, float]:
    values = {
        "recall@10": rank < 10,
        "recall@100": rank < 100,
        "ndcg@10": np.where(rank < 10, 1 / np.log2(rank + 2.0), 0),
        "mrr": 1 / (rank + 1.0),
    }
    _, of_day = np.unique(day, return_inverse=True)
    return {name: float(np.mean(np.bincount(of_day, v) / np.bincount(of_day))) for name, v in values.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what can be found of the shop that the settings name."""
    parser = argparse.ArgumentParser(prog="python -m demoshop.oracle", description=__doc__)
    parser.add_argument("--days", type=int, help="Orders of the last days; without it those that judge a release.")
    days = parser.parse_args(arguments).days
    settings = get_settings()
    ids = None
    if days is not None:
        requests = read_requests(settings, ComposedShop(settings.demo).items.ids)
        ids = requests.ids.filter(pa.array(last_days(requests, days)))
    found = what_can_be_found(settings, ids)
    sys.stdout.write(f"{found.markdown()}\n")


if __name__ == "__main__":
    main()
