"""Each rule on features holds on a healthy shop and is broken by the damage that it is for."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from features.quality import SuiteResult, check_features
from infra.contract.partitions import drop_partition, partition_file
from infra.settings import Settings
from tests.features.quality.quality_shop import (
    DAYS,
    FIRST,
    LAST,
    Change,
    Row,
    broken_on,
    broken_rules,
    change,
    put,
    twice,
    write_shop,
)

DAY, HOUR, MICROSECOND = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
LONG = ["x"] * 201


def drop_first(rows: list[Row]) -> None:
    del rows[0]


def test_healthy_features_meet_every_rule(shop: Settings) -> None:
    result = check_features(shop, DAYS)
    assert broken_rules(result) == set()
    assert result.success


CASES: list[tuple[str, Change, str]] = [
    ("user", put(user_id=None), "user_with_nulls"),
    ("user", put(clicks_7d=None), "user_with_nulls"),
    ("user", twice, "user_repeated"),
    ("user", put(event_timestamp=DAY + 2 * MICROSECOND), "user_outside_day"),
    ("user", put(requests_7d=-1), "user_negative"),
    ("user", put(recent_items=LONG), "user_too_long"),
    ("user", put(recent_queries=LONG), "user_too_long"),
    ("user", put(order_history=LONG), "user_too_long"),
    ("user", drop_first, "users_without_features"),
    ("item", put(event_timestamp=None), "item_with_nulls"),
    ("item", twice, "item_repeated"),
    ("item", put(event_timestamp=DAY + HOUR), "item_outside_day"),
    ("item", put(event_timestamp=-HOUR), "item_outside_day"),
    ("item", put(orders_30d=-1, orders_7d=-1), "item_negative"),
    ("item", put(clicks_7d=2), "item_windows_shrink"),
    ("item", put(click_rate=1.01), "item_rates_outside"),
    ("item", put(order_rate=None), "item_rates_outside"),
    ("item", put(click_rate=float("nan")), "item_rates_outside"),
    ("item", put(price=-1.0), "item_scalars_outside"),
    ("item", put(age_days=-0.5), "item_scalars_outside"),
    ("query", put(query=None), "query_with_nulls"),
    ("query", twice, "query_repeated"),
    ("query", put(event_timestamp=DAY + HOUR), "query_outside_day"),
    ("query", put(query_clicks_30d=-1), "query_negative"),
]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> SuiteResult:
    """The check of a shop whose first day is healthy, and each later one has the damage of a case."""
    settings = Settings(home=tmp_path_factory.mktemp("damaged"), shop="tiny")
    days = [day_of(n) for n in range(-1, len(CASES))]
    write_shop(settings, days)
    for case, (view, damage, _) in enumerate(CASES):
        change(partition_file(settings.paths.features / view, day_of(case)), damage)
    return check_features(settings, days)


def day_of(case: int) -> date:
    return FIRST + timedelta(days=1 + case)


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{n}-{case[2]}" for n, case in enumerate(CASES)])
def test_damage_to_a_day_breaks_its_rule(damaged: SuiteResult, case: int) -> None:
    broken = broken_on(damaged, day_of(case))
    assert CASES[case][2] in broken
    # Taking a user's row away, or its name, also leaves the user without a row.
    assert broken <= {CASES[case][2], "users_without_features"}


def test_damage_to_a_day_breaks_nothing_on_others(damaged: SuiteResult) -> None:
    assert broken_on(damaged, day_of(-1)) == set()


def test_a_stamp_just_after_the_day_is_in_order(shop: Settings) -> None:
    change(partition_file(shop.paths.features / "user", LAST), put(event_timestamp=DAY + MICROSECOND))
    assert check_features(shop, [LAST]).success


def test_a_day_with_requests_and_no_user_rows_fails(shop: Settings) -> None:
    change(partition_file(shop.paths.features / "user", LAST), lambda rows: rows.clear())
    result = check_features(shop, [LAST])
    assert broken_rules(result) == {"users_without_features"}
    assert result.failed[0].observed == "2026-03-05: 3"


def test_a_view_that_was_not_built_is_named(shop: Settings) -> None:
    drop_partition(shop.paths.features / "item", LAST)
    result = check_features(shop, [LAST])
    assert broken_rules(result) == {"not_built"}
    assert "no item features" in result.failed[0].observed
