"""Behaviour of each item over the windows that end at a snapshot."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis

from features.interactions import in_window, interactions_by_snapshot, recent
from infra.contract.tables import ITEM_FEATURES
from infra.settings import FeatureSettings

COUNTS = tuple(f"{what}_{window}d" for window in (7, 30) for what in ("impressions", "clicks", "carts", "orders"))
SECONDS_PER_DAY = 86_400.0


def item_features(
    impressions: Any, events: Any, catalog: Any, stamps: Any, settings: FeatureSettings, *, hourly: bool
) -> Any:
    """One row per (item, snapshot), in the columns of ``ITEM_FEATURES``.

    A snapshot holds what has ``known_at`` strictly before it. An item has a row where it was shown, clicked, carted
    or ordered in the 30 days before, or became available on the day before; items that the catalogue does not know
    have none. Clicks, carts and orders are interactions of ``interactions_by_snapshot``, so that orders and carts are
    within clicks.

    The rates are smoothed towards the shop's own over the same window, and at most 1 (an item can be ordered that
    was not logged as shown)::

        click_rate = (clicks_30d + prior * g) / (impressions_30d + prior),   g = sum(clicks_30d) / sum(impressions_30d)

    with ``prior = settings.rate_prior`` and the sums over all items; ``order_rate`` likewise. ``price`` and ``rating``
    are the catalogue's; ``age_days`` is since ``available_from``, null where the catalogue does not say (1970) or names
    a later day than the snapshot's: an import into a new shop system stamps all items anew.

    Args:
        impressions: ``IMPRESSIONS``.
        events: ``EVENTS``.
        catalog: ``CATALOG``.
        stamps: ``event_timestamp``, the snapshots, at whole hours or, if not ``hourly``, at midnights.
        settings: the prior.
        hourly: count impressions by the hour first, not by the day.
    """
    rows = ibis.union(
        _shown(impressions, stamps, "h" if hourly else "D"), _acted(events, stamps), _newly_available(catalog, stamps)
    )
    items = rows.group_by("item_id", "event_timestamp").agg(**{name: rows[name].sum() for name in COUNTS})
    shop = ibis.window(group_by=items.event_timestamp)
    items = items.mutate(
        click_rate=_smoothed(items.clicks_30d, items.impressions_30d, shop, settings.rate_prior),
        order_rate=_smoothed(items.orders_30d, items.impressions_30d, shop, settings.rate_prior),
    )
    known = items.inner_join(catalog.select("item_id", "price", "rating", "available_from"), "item_id")
    # DuckDB counts the seconds that begin in between, Spark those that pass: the same number from a whole second on
    seconds = known.event_timestamp.delta(known.available_from.truncate("s"), unit="second").cast("float64")
    # Spark takes a bare literal for a decimal, and rounds the quotient to its digits
    age = seconds / ibis.literal(SECONDS_PER_DAY).cast("float64")
    return known.mutate(
        created=known.event_timestamp,
        age_days=ibis.ifelse((known.available_from.year() > 1970) & (seconds >= 0), age, ibis.null("float64")),
    ).select(ITEM_FEATURES.names)


def _counted(rows: Any, **given: Any) -> Any:
    absent = {name: ibis.literal(0, "int64") for name in COUNTS}
    counts = absent | {name: value.cast("int64") for name, value in given.items()}
    return rows.select("item_id", "event_timestamp", **counts)


def _shown(impressions: Any, stamps: Any, grain: str) -> Any:
    at = impressions.known_at.truncate(grain)
    by_grain = impressions.group_by("item_id", at=at).agg(n=impressions.count())
    rows = in_window(by_grain, "at", stamps)
    return _counted(rows, impressions_30d=rows.n, impressions_7d=ibis.ifelse(recent(rows, "at"), rows.n, 0))


def _acted(events: Any, stamps: Any) -> Any:
    rows = interactions_by_snapshot(events, stamps)
    return _counted(
        rows,
        clicks_30d=ibis.literal(1),
        carts_30d=rows.carted,
        orders_30d=rows.ordered,
        clicks_7d=rows.clicked_7d,
        carts_7d=rows.carted_7d,
        orders_7d=rows.ordered_7d,
    )


def _newly_available(catalog: Any, stamps: Any) -> Any:
    return _counted(in_window(catalog.select("item_id", "available_from"), "available_from", stamps, timedelta(days=1)))


def _smoothed(hits: Any, shown: Any, shop: Any, prior: float) -> Any:
    everywhere = shown.sum().over(shop)
    rate = ibis.ifelse(everywhere > 0, ibis.least(hits.sum().over(shop) / everywhere, 1.0), 0.0)
    return ibis.least((hits + prior * rate) / (shown + prior), 1.0)
