"""Does a listing without a query find what was ordered, on the page of its category?

    SHELFWISE_HOME=... python -m benchmarks.listing

Over the candidate of a shop that ran (``SHELFWISE_LANDING`` names its logs): each judging request's query is hidden,
and the items of the ordered item's category that existed then are listed as of the cut: by popularity alone, and as
served.
Read recall@10 and MRR, with 95% intervals, of those whose user is known and of all.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from infra.contract.names import ITEM_COUNTS
from orchestration.shop import candidate_dir, shop_settings
from training.data.arrays import Arrays, prepare_arrays
from training.evaluation.intervals import summary_rows
from training.evaluation.measure import judging_requests
from training.evaluation.report import as_text
from training.ranking.listing import History, Listing
from training.run.candidate import load_candidate, load_prior
from training.run.ranking import second_stage

LEAST_ITEMS = 30
"""Of a category: the first ten of fewer say little."""


def main() -> None:
    settings = shop_settings()
    arrays = prepare_arrays(settings)
    folder = candidate_dir(settings)
    stage = second_stage(settings, arrays, load_candidate(folder), load_prior(folder))
    listing = Listing(_with_counts(arrays), stage.items)
    truth, requests = judging_requests(arrays)
    wanted = (arrays.ordered if truth == "orders" else arrays.clicked).take(requests)
    places: list[tuple[int, int, bool, int]] = []
    for row, (request, item) in enumerate(zip(requests, wanted.ids[wanted.offsets[:-1]], strict=True)):
        category = stage.items.category[item]
        allowed = (stage.items.category == category) & (arrays.item_available <= arrays.request_time[request])
        if category < 0 or allowed.sum() < LEAST_ITEMS or not allowed[item]:
            continue
        user = History(arrays.recent_items[request], arrays.order_history[int(request)])
        nobody = History(user.recent_items[:0], user.order_history[:0])
        popular, listed = (
            int(np.flatnonzero(listing.order(who, int(allowed.sum()), allowed)[0] == item)[0]) for who in (nobody, user)
        )
        places.append((popular, listed, bool((user.recent_items >= 0).any() or (user.order_history >= 0).any()), row))
    found = np.array(places)
    person = arrays.request_user[requests[found[:, 3]]].astype(np.int64)
    person = np.where(person >= 0, person, person.max(initial=0) + 1 + found[:, 3])
    for name, kept in (("all", np.ones(len(found), dtype=bool)), ("known users", found[:, 2] == 1)):
        values = {
            method: {"recall@10": (found[kept, i] < 10).astype(float), "mrr": 1 / (1.0 + found[kept, i])}
            for i, method in enumerate(("popularity", "listed"))
        }
        days = np.zeros(int(kept.sum()), dtype=np.int64)
        for line in as_text(summary_rows(values, days, settings.training.seed, person[kept])):
            print(name, int(kept.sum()), truth, line)


def _with_counts(arrays: Arrays) -> pa.Table:
    """The catalogue with how often each item was met, as of the cut."""
    names, features, catalog = arrays.meta["item_features"], arrays.item_features(arrays.cut), arrays.catalog()
    for name in (name for name in ITEM_COUNTS if name in names):
        catalog = catalog.append_column(name, pa.array(np.nan_to_num(features[:, names.index(name)])))
    return catalog


if __name__ == "__main__":
    main()
