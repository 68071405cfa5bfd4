"""Days of a raw log as a run judges them: the first run explains, later ones compare with the shop's own days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import build_sessions
from features.catalog import build_catalog
from features.day_report import DayReport
from features.quality import SessionJudge, SuiteResult, first_run_until, together
from infra.settings import CheckSettings, Settings
from tests.features.raw_log import DAY, event, land, query

pytestmark = pytest.mark.slow
FIRST = DAY  # a Sunday
SOLD = [f"s{n}" for n in range(50)]


def new_shop(folder: Path, items: Sequence[str] = SOLD, **checks: Any) -> Settings:
    settings = Settings(home=folder / "home", landing=str(folder / "logs"), shop="test", checks=CheckSettings(**checks))
    land_catalogue(settings, items)
    return settings


def land_catalogue(settings: Settings, items: Sequence[str]) -> None:
    landing = Path(str(settings.landing))
    landing.mkdir(parents=True, exist_ok=True)
    (landing / "catalog.csv").write_text("sku,ean,name\n" + "".join(f"{i},9{i},lamp {i}\n" for i in items))
    build_catalog(settings)


def land_day(
    settings: Settings,
    n: int,
    requests: int = 60,
    clicked: int | None = None,
    gone: float = 0.0,
    anonymous: float = 0.0,
    prefix: str = "s",
) -> date:
    """A day of requests that show three items each, of which a share is not sold any more, and are clicked."""
    day = FIRST + timedelta(days=n)
    queries, events = [], []
    for r in range(requests):
        hits = [f"{'gone' if 37 * (3 * r + p) % 100 < 100 * gone else prefix}{(r + p) % 50}" for p in range(3)]
        user = None if r < anonymous * requests else f"u{r % 7}"
        queries.append(query(f"{day}-{r}", day=day, user=user, session_id=f"{r}", query_response_hit_ids=hits))
        if clicked is None or r < clicked:
            events.append(event("click", hits[0], day=day, user=user, session_id=f"{r}", query_id=f"{day}-{r}"))
    land(settings, queries, events, day=day)
    return day


def run(settings: Settings, *days: date) -> list[DayReport]:
    return build_sessions(settings, days, judge=SessionJudge())


def test_a_first_run_explains_delisted_goods_small_days_and_weekends(tmp_path: Path) -> None:
    settings = new_shop(tmp_path)
    volumes = [3, 90, 100, 95, 90, 100, 4, 5, 100]
    reports = run(settings, *(land_day(settings, n, v, gone=0.5 - 0.05 * n) for n, v in enumerate(volumes)))
    assert [r.message for r in reports if r.held] == []
    warnings = reports[1].warnings
    assert warnings[-1].startswith(
        "45.2% of its impressions are and 45.6% of its clicks, carts and orders are on items"
    )
    assert "the log has 'gone" in warnings[-1]
    assert "the catalogue 's0' (its column sku)" in warnings[-1]
    sunday = next(warning for warning in reports[6].warnings if warning.startswith("Requests"))
    assert sunday.startswith("Requests: 4, against the last 6 days: 2026-05-15 100, 2026-05-14 90")


def test_a_first_run_tells_of_odd_days_and_later_ones_are_held(tmp_path: Path) -> None:
    settings = new_shop(tmp_path)
    volumes = [200, 200, 200, 3, 200]

    def nightly(*days: date) -> list[DayReport]:
        judge = SessionJudge(explained_until=first_run_until(settings, days))
        return build_sessions(settings, days, judge=judge)

    days = [land_day(settings, n, v) for n, v in enumerate(volumes)]
    reports = nightly(*days)
    assert [r.held for r in reports] == [False] * 5
    assert [r.warnings for r in reports if r.day != days[3]] == [()] * 4
    assert reports[3].warnings[0].startswith("Requests: 3, against the last 3 days: 2026-05-12 200")
    (later,) = nightly(land_day(settings, 5, 3))
    assert later.held
    (again,) = nightly(land_day(settings, 3, 2))
    assert not again.held
    assert first_run_until(settings, [later.day]) == days[-1]


def test_ids_that_do_not_meet_hold_even_the_first_day_and_name_the_setting(tmp_path: Path) -> None:
    settings = new_shop(tmp_path)
    first, second = run(settings, *(land_day(settings, n, prefix="9s") for n in range(2)))
    assert (first.held, second.held) == (True, True)
    assert "Share of impressions and events on items of the catalogue: 2026-05-10: 0" in first.message
    assert "(expected: at least 0.1). 50 of the 50 items that the log names are not in the catalogue" in first.message
    assert "the log has '9s" in first.message
    assert "The log's ids are in its column ean (50 of them): set SHELFWISE_RAW__ITEM_ID=ean" in first.message
    assert "ean (50 of those of 2026-05-10): set SHELFWISE_RAW__ITEM_ID=ean" in second.message
    cured = settings.model_copy(update={"raw": settings.raw.model_copy(update={"item_id": "ean"})})
    build_catalog(cured)
    assert [r.held for r in run(cured, first.day, second.day)] == [False, False]


def test_later_items_are_unknown_only_where_far_more_are_than_usual(tmp_path: Path) -> None:
    settings = new_shop(tmp_path)
    *_, as_usual, worse = run(settings, *(land_day(settings, n, gone=g) for n, g in enumerate([0.1] * 4 + [0.2, 0.8])))
    assert not as_usual.held
    assert worse.held
    assert "Share of impressions of unknown items, by the shop's own days: 2026-05-15: 0.8" in worse.message
    assert "by the last 5 days: 2026-05-14 20.0%, 2026-05-13 10.0%" in worse.message
    assert worse.message.count("No column of the catalogue has them: land the catalogue of the days of the log") == 1
    assert "if these items are no longer sold, set SHELFWISE_CHECKS__HISTORY_FROM=2026-05-15" in worse.message


def test_days_before_are_compared_by_the_catalogue_of_today(tmp_path: Path) -> None:
    settings = new_shop(tmp_path, items=[*SOLD, *(f"gone{n}" for n in range(50))])
    days = [land_day(settings, n, gone=0.6) for n in range(5)]
    run(settings, *days)
    land_catalogue(settings, SOLD)
    (mended,) = run(settings, land_day(settings, 4, requests=61, gone=0.6))
    assert not mended.held, mended.message
    assert "60" in mended.warnings[-1]


@pytest.mark.parametrize(
    ("odd", "rule", "seen", "against"),
    [
        (
            {"requests": 40},
            "Requests, by the shop's own days",
            "40 (expected: 105 to ",
            "the last 6 days: 2026-05-15 350",
        ),
        ({"clicked": 10}, "Clicks per request", "0.02857 (expected: 0.3 to 5", "the last 6 days: 2026-05-15 1, "),
        (
            {"anonymous": 0.7},
            "Share of requests without a user, by the shop's own days",
            "0.7 (expected: at most 0.2",
            "the last 6 days: 2026-05-15 0.0%",
        ),
    ],
    ids=["requests", "clicks", "anonymous"],
)
def test_a_rule_that_blocks_says_both_sides_and_one_thing_to_change(
    tmp_path: Path, odd: dict[str, Any], rule: str, seen: str, against: str
) -> None:
    settings = new_shop(tmp_path, min_first_weekday_share=0.3)
    days = [land_day(settings, n, 350) for n in range(6)]
    good = run(settings, *days, land_day(settings, 6, 350))
    assert [r.held for r in good] == [False] * 7
    (bad,) = run(settings, land_day(settings, 6, **({"requests": 350} | odd)))
    assert (bad.kept_previous, bad.output) == (True, good[-1].output)
    (sentence,) = bad.failed_rules
    assert sentence.startswith(rule)
    assert seen in sentence
    assert against in sentence
    assert sentence.count("SHELFWISE_CHECKS__") == 1
    if "HISTORY_FROM" in sentence:
        changed = settings.model_copy(update={"checks": CheckSettings(history_from=bad.day)})
        assert [r.held for r in run(changed, bad.day)] == [False]


def test_what_lies_after_a_day_is_nothing_to_it(tmp_path: Path) -> None:
    settings = new_shop(tmp_path / "together")
    days = [land_day(settings, n, 60 + n) for n in range(6)]
    whole = run(settings, *days)
    again = run(settings, land_day(settings, 2, 62))
    assert [(r.judged, r.checked["success"]) for r in again] == [(whole[2].judged, True)]


def test_results_of_days_are_shown_as_one(tmp_path: Path) -> None:
    settings = new_shop(tmp_path)
    reports = run(settings, *(land_day(settings, n, v) for n, v in enumerate([200, 200, 200, 2, 200, 3])))
    results = [SuiteResult.from_json(report.checked) for report in reports]
    both = together(results, "six days")
    assert (both.success, both.scope) == (False, "six days")
    assert len(both.outcomes) == max(len(result.outcomes) for result in results)
    (requests,) = [outcome for outcome in both.failed if outcome.column == "requests"]
    assert requests.rows == ("2026-05-13", "2026-05-15")
    assert requests.observed == "2026-05-13: 2; 2026-05-15: 3"
    assert both.data_docs == results[3].data_docs
    assert (settings.paths.data_docs / both.data_docs).exists()
    assert SuiteResult.from_json(both.to_json()) == both
    assert together(results[:3], "three").success
