"""Checks of the feature tables of a day, on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa

from features.engine import open_engine
from features.quality.results import SuiteResult
from features.quality.rules import Absent, Rule, Suite, none_of
from features.quality.tables import (
    DAY,
    any_null,
    count_per_day,
    on_days,
    per_day,
    read_with_day,
    repeats,
    scope_of,
    start_of,
)
from features.quality.validation import validate
from infra.contract import tables
from infra.contract.names import LIST_LENGTHS
from infra.contract.partitions import part_files
from infra.contract.tables import ENTITY_KEYS, Entity
from infra.settings import Settings

VIEWS = {view: (key, tables.FEATURE_TABLES[view]) for view, key in ENTITY_KEYS.items()}
"""View -> its entity's key and its table."""
STAMP_STEP = timedelta(microseconds=1)
"""A feature is stamped this much after the moment whose events it holds, so that an event never sees itself."""


def check_features(settings: Settings, days: Sequence[date]) -> SuiteResult:
    """Judge the user, item and query features of days: null and range bounds, keys, stamps. All rows are counted."""
    days = sorted(set(days))
    return validate(settings, feature_suite(settings), feature_measures(settings, days), scope_of(days))


def feature_suite(settings: Settings) -> Suite:
    """The rules on a day's features."""
    rules: list[Rule] = [Absent("not_built", "The day's user, item and query features are built")]
    for view, (entity, _) in VIEWS.items():
        rules += [
            none_of(f"{view}_with_nulls", f"{view}: {entity}, times and counts are there"),
            none_of(f"{view}_repeated", f"{view}: one row per {entity} and time"),
            none_of(f"{view}_outside_day", f"{view}: stamped within the day, at most a microsecond after it"),
            none_of(f"{view}_negative", f"{view}: no count is negative"),
        ]
        if limits := _length_limits(settings, view):
            lengths = ", ".join(f"{name} {limit}" for name, limit in limits.items())
            rules.append(none_of(f"{view}_too_long", f"{view}: no list is longer than set ({lengths})"))
    return Suite(
        "features",
        DAY,
        (
            *rules,
            none_of("users_without_features", "user: who searched that day has a row of that day"),
            none_of("item_windows_shrink", "item: 30 days hold no less than 7"),
            none_of("item_rates_outside", "item: smoothed rates are between 0 and 1"),
            none_of("item_scalars_outside", "item: price, rating and age are not negative"),
        ),
    )


def feature_measures(settings: Settings, days: Sequence[date]) -> pd.DataFrame:
    """One row per day: counts over all rows of its three views."""
    folder = settings.paths.features
    missing = {day.isoformat(): _missing_views(settings, day) for day in days}
    built = [day for day in days if missing[day.isoformat()] is None]
    with open_engine(settings) as backend:
        rows = {view: read_with_day(backend, folder / view, built, table) for view, (_, table) in VIEWS.items()}
        requests = read_with_day(backend, settings.paths.sessions / "requests", built, tables.REQUESTS)
        frames = [
            pd.DataFrame({"not_built": missing}),
            *(_common(settings, view, rows[view]) for view in VIEWS),
            *(
                repeats(rows[view], [entity, "event_timestamp"], f"{view}_repeated")
                for view, (entity, _) in VIEWS.items()
            ),
            _users_without_features(requests, rows["user"]),
            _item_bounds(rows["item"]),
        ]
    return on_days(days, frames, counted_on=built)


def _missing_views(settings: Settings, day: date) -> str | None:
    missing = [view for view in VIEWS if not part_files(settings.paths.features / view, day)]
    return f"no {', '.join(missing)} features: build them first" if missing else None


def _length_limits(settings: Settings, view: Entity) -> dict[str, int]:
    """List feature of a view -> how many values it may hold."""
    bounds = settings.features
    # An order has any number of tags: what of them is read is the model's to say.
    limits = {name: getattr(bounds, limit) for name, limit in LIST_LENGTHS.items() if name != "ordered_tags"}
    return {name: limit for name, limit in limits.items() if name in VIEWS[view][1].names}


def _common(settings: Settings, view: Entity, rows: Any) -> pd.DataFrame:
    """What holds for every view."""
    entity, table = VIEWS[view]
    whole = [field.name for field in table if pa.types.is_integer(field.type)]
    start = start_of(rows[DAY])
    end = start + ibis.interval(days=1) + ibis.interval(microseconds=STAMP_STEP // timedelta(microseconds=1))
    outside = (rows.event_timestamp < start) | (rows.event_timestamp > end)
    measures = {
        f"{view}_with_nulls": any_null(rows, [entity, "event_timestamp", "created", *whole]).sum(),
        f"{view}_outside_day": outside.sum(),
        f"{view}_negative": ibis.or_(*(rows[name] < 0 for name in whole)).sum(),
    }
    if limits := _length_limits(settings, view):
        measures[f"{view}_too_long"] = ibis.or_(*(rows[name].length() > limit for name, limit in limits.items())).sum()
    return per_day(rows, **measures)


def _users_without_features(requests: Any, users: Any) -> pd.DataFrame:
    """Users whose request became known on its landing day and who have no feature row of that day."""
    known = requests.known_at < start_of(requests[DAY]) + ibis.interval(days=1)
    searched = requests.filter(known & requests.user_id.notnull()).select("user_id", DAY).distinct()
    return count_per_day(searched.anti_join(users, ["user_id", DAY]), "users_without_features")


def _item_bounds(items: Any) -> pd.DataFrame:
    windows = [(items[f"{name}_7d"], items[f"{name}_30d"]) for name in ("impressions", "clicks", "carts", "orders")]
    scalars = [items.price, items.rating, items.age_days]
    # A rate that is null or NaN is outside: the prior makes every rate known. DuckDB 2.0 folds a summed comparison by
    # the file's least and greatest value, which know no NaN; a counted one it evaluates.
    rates_outside = ibis.or_(*(~rate.between(0, 1).fill_null(False) for rate in (items.click_rate, items.order_rate)))
    return per_day(
        items,
        item_windows_shrink=items.count(where=ibis.or_(*(short > long for short, long in windows))),
        item_rates_outside=items.count(where=rates_outside),
        item_scalars_outside=items.count(where=ibis.or_(*(scalar.fill_null(0) < 0 for scalar in scalars))),
    )
