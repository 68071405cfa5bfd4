"""Each rule on raw sessions holds on a healthy shop and is broken by the damage that it is for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.contract.partitions import drop_partition, partition_file
from infra.settings import CheckSettings, Settings
from tests.features.quality.quality_shop import (
    DAYS,
    FIRST,
    ITEMS,
    LAST,
    Change,
    Row,
    broken_rules,
    change,
    check_day,
    judge_day,
    put,
    twice,
    write_report,
    write_shop,
)


def every(**values: Any) -> Change:
    def how(rows: list[Row]) -> None:
        for row in rows:
            row.update(values)

    return how


def only(count: int) -> Change:
    def how(rows: list[Row]) -> None:
        del rows[count:]

    return how


def test_a_healthy_log_meets_every_rule(shop: Settings) -> None:
    result = check_day(shop, LAST)
    assert broken_rules(result) == set()
    assert result.success
    assert result.evaluated == len(result.outcomes) > 28
    assert result.scope == "2026-03-05"


LOST_REQUEST = {"shown_miscounted", "impressions_without_request", "events_without_request"}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

CASES: list[tuple[str, Change, set[str]]] = [
    ("requests", put(query_id=None), {"requests_with_nulls", *LOST_REQUEST}),
    ("requests", put(known_at=None), {"requests_with_nulls"}),
    ("requests", twice, {"requests_repeated"}),
    ("requests", put(shown=9), {"shown_miscounted"}),
    ("requests", every(user_id=None), {"anonymous_share"}),
    ("requests", put(known_at=-HOUR), {"requests_known_early"}),
    ("requests", put(time=-8 * DAY), {"requests_outside_day"}),
    ("requests", put(time=9 * DAY), {"requests_outside_day", "requests_known_early", "events_before_request"}),
    ("impressions", put(item_id=None), {"impressions_with_nulls"}),
    ("impressions", put(query_id="gone"), {"impressions_without_request", "shown_miscounted"}),
    ("impressions", twice, {"impressions_repeated", "shown_miscounted"}),
    ("impressions", put(known_at=HOUR), {"impressions_known_early"}),
    ("impressions", put(time=-30 * DAY), {"impressions_outside_day"}),
    ("events", put(event_id=None), {"events_with_nulls"}),
    ("events", put(item_id="gone"), {"events_not_shown"}),
    ("events", put(item_id=ITEMS[9]), {"events_not_shown"}),
    ("events", put(query_id="gone"), {"events_without_request", "events_not_shown"}),
    ("events", put(query_id=None), {"attribution_unclear", "events_not_shown"}),
    ("events", put(attribution="none"), {"attribution_unclear"}),
    ("events", put(action="hover"), {"actions_unknown"}),
    ("events", put(time=7 * HOUR), {"events_before_request"}),
    ("events", put(known_at=HOUR), {"events_known_early"}),
    ("events", put(time=-20 * DAY), {"events_outside_day", "events_before_request"}),
    ("events", twice, {"events_repeated"}),
]
DAMAGED = FIRST + timedelta(days=len(DAYS))


@pytest.mark.many(2)
@pytest.mark.parametrize(("name", "damage", "broken"), CASES, ids=["-".join(sorted(broken)) for _, _, broken in CASES])
def test_damage_to_a_day_breaks_its_rule(tmp_path: Path, name: str, damage: Change, broken: set[str]) -> None:
    settings = Settings(home=tmp_path, shop="tiny", checks=CheckSettings(max_anonymous_share=0.5))
    write_shop(settings, [*DAYS, DAMAGED])
    change(partition_file(settings.paths.sessions / name, DAMAGED), damage)
    # Rows that came or went are also noticed against the report: that is no damage of its own.
    assert broken_rules(check_day(settings, DAMAGED)) - {"rows_lost"} == broken
    assert check_day(settings, LAST).success, "no other day's rule"


def test_lost_rows_are_noticed(shop: Settings) -> None:
    change(partition_file(shop.paths.sessions / "events", LAST), only(1))
    assert broken_rules(check_day(shop, LAST)) == {"rows_lost"}


def test_a_day_without_requests_fails(shop: Settings) -> None:
    for name in ("requests", "impressions", "events"):
        change(partition_file(shop.paths.sessions / name, LAST), only(0))
    write_report(shop, LAST, rows_out={"requests": 0, "impressions": 0, "events": 0})
    assert broken_rules(check_day(shop, LAST)) == {"requests"}
    (sentence,) = judge_day(shop, LAST).failed_rules
    assert sentence == (
        "The day has requests: 2026-03-05: 0 (expected: at least 1); remove the day's folder if the shop was closed, or"
        " land it again"
    )


def test_more_clicked_items_than_impressions_break_the_funnel(shop: Settings) -> None:
    change(partition_file(shop.paths.sessions / "impressions", LAST), only(1))
    funnel = [o.observed for o in check_day(shop, LAST).failed if o.column == "impressions"]
    assert funnel == ["2026-03-05: impressions 1, requests_shown 3", "2026-03-05: impressions 1, clicked_pairs 3"]


def test_clicks_are_no_broken_funnel_where_a_log_has_no_impressions(shop: Settings) -> None:
    change(partition_file(shop.paths.sessions / "requests", LAST), every(shown=0))
    change(partition_file(shop.paths.sessions / "impressions", LAST), only(0))
    change(partition_file(shop.paths.sessions / "events", LAST), every(attribution="logged"))
    write_report(shop, LAST, rows_out={"requests": 3, "impressions": 0, "events": 4})
    assert check_day(shop, LAST).success


def test_orders_without_clicks_are_in_order(shop: Settings) -> None:
    change(partition_file(shop.paths.sessions / "events", LAST), every(action="order"))
    assert check_day(shop, LAST).success


def test_a_held_day_fails_with_reasons_and_counts(shop: Settings) -> None:
    for name in ("requests", "impressions", "events"):
        drop_partition(shop.paths.sessions / name, LAST)
    reasons = {"no_time": 9, "unknown_action": 3}
    write_report(shop, LAST, rows_in=40, clean=26, reasons=reasons, bad_share=12 / 38, held=True)
    result = check_day(shop, LAST)
    assert broken_rules(result) == {"held", "bad_share", "quarantine_missing"}
    held = next(o for o in result.failed if o.column == "held")
    assert "2026-03-05" in held.observed
    assert "no_time 9, unknown_action 3" in held.observed


def test_rows_that_vanished_between_in_and_out_are_noticed(shop: Settings) -> None:
    write_report(shop, LAST, rows_in=41)
    assert broken_rules(check_day(shop, LAST)) == {"rows_unaccounted"}


def test_no_catalogue_is_an_error(shop: Settings) -> None:
    shop.paths.catalog.unlink()
    with pytest.raises(FileNotFoundError, match="build the catalogue"):
        check_day(shop, LAST)
