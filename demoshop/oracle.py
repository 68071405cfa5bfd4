"""How much of a day's orders one could find who knew the truth: the ceiling for any model, for evaluation only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demoshop.clicks import cart_taste, click_taste
from demoshop.queries import MEANT, ComposedShop
from demoshop.randomness import Floats, Longs, stream
from demoshop.shop import Asked
from demoshop.tastes import Tastes
from infra.contract.partitions import partition_file
from infra.settings import Settings

CELLS = 4_000_000


def oracle_recall(settings: Settings, day: date, cutoffs: Sequence[int] = (10, 100)) -> dict[str, list[float]]:
    """Share of a day's ordered items within the first k of the whole catalogue, a figure per cutoff.

    ``relevance`` knows what was meant by the request, ``relevance and taste`` also what the user likes; ties are
    broken at random. Works on the demo shop's own goods.

    Raises:
        FileNotFoundError: no truth of that day; make the landing folder first.
    """
    demo = settings.demo
    shop = ComposedShop(demo)
    rows = pq.read_table(partition_file(settings.paths.truth / "requests", day))
    rows = rows.filter(pc.is_valid(rows["ordered_item"]))
    if not rows.num_rows:
        return {"relevance": [0.0] * len(cutoffs), "relevance and taste": [0.0] * len(cutoffs)}
    meant = rows["meant"].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, len(MEANT))
    users = rows["user"].to_numpy()
    target = pc.index_in(rows["ordered_item"], shop.items.ids).to_numpy()
    tastes = Tastes(demo.seed, demo.users, shop.topics, shop.values)
    while tastes.day < (day - demo.start).days:
        tastes.advance()

    stock = shop.items_by((day - demo.start).days)
    rng = stream(demo.seed, "oracle")
    everything = np.arange(stock, dtype=np.int32)[None, :]
    ranks: dict[str, list[Longs]] = {"relevance": [], "relevance and taste": []}
    step = max(1, CELLS // stock)
    for at in range(0, rows.num_rows, step):
        part = slice(at, at + step)
        asked = Asked(pa.nulls(len(users[part]), pa.string()), dict(zip(MEANT, meant[part].T, strict=True)))
        shown = np.repeat(everything, len(users[part]), axis=0)
        fit = shop.relevance(asked, shown)
        taste = np.float32(demo.taste_strength) * tastes.match(users[part], shop.items, shown)
        quality = shop.items.quality[shown]
        liked = fit * fit * click_taste(taste, quality) * cart_taste(taste, quality)
        noise = np.float32(1e-6) * rng.random(fit.shape, np.float32)
        ranks["relevance"].append(rank_of(fit + noise, target[part]))
        ranks["relevance and taste"].append(rank_of(liked, target[part]))
    return {name: [float(np.mean(np.concatenate(found) < k)) for k in cutoffs] for name, found in ranks.items()}


def rank_of(scores: Floats, target: Longs) -> Longs:
    """How many items score above the target: scores [R, items], target [R] -> [R]."""
    ranks: Longs = (scores > scores[np.arange(len(target)), target][:, None]).sum(axis=1)
    return ranks
