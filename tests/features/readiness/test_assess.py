from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from features.readiness import Readiness, assess
from features.readiness.page import render_page
from infra.settings import CheckSettings, RawSettings, Settings
from tests.features.raw_log import event, land, query
from tests.features.readiness.shop import DAYS, catalogue, events, new_shop, queries

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return new_shop(tmp_path)


def gaps(report: Readiness) -> str:
    return "\n".join(gap.what for gap in report.gaps)


def test_a_shop_that_a_run_takes(settings: Settings) -> None:
    told: list[float] = []
    report = assess(settings, progress=lambda _, share: told.append(share))
    assert report.stops == ()
    assert report.verdict == "ready with gaps"  # four days, four orders a day
    assert [line.requests for line in report.days] == [8] * 4
    assert [line.state for line in report.days] == ["read"] * 4
    assert (report.rows.rows_in, report.rows.clean) == (80, 80)
    assert report.joins and report.joins.attributed["order"].told == "100% of 16"
    assert report.learning and report.learning.requests == {"train": 24, "validation": 8}
    states = {part.name: part.state for part in report.parts}
    assert states["graph"] == states["user history (transformer)"] == "on"
    assert (states["location"], states["quality prior"], states["clicked over unclicked"]) == ("off", "weak", "weak")
    assert [gap.weight for gap in report.gaps] == sorted((gap.weight for gap in report.gaps), reverse=True)
    assert told == sorted(told)


def test_the_report_is_json(settings: Settings) -> None:
    report = assess(settings)
    stored = json.loads(json.dumps(report.to_json(), default=str))
    assert stored["verdict"] == report.verdict
    assert stored["joins"]["requests"] == 32


def held(settings: Settings) -> None:
    land(settings, [*queries(DAYS[1])[:2], "{", "{"], events(DAYS[1])[:2], day=DAYS[1])


def no_catalogue(settings: Settings) -> None:
    Path(str(settings.landing), "catalog.csv").unlink()


def no_id(settings: Settings) -> None:
    catalogue(settings, ["name,price", "red shoe,3"])


def bare(settings: Settings) -> None:
    catalogue(settings, ["sku", "a", "b", "c", "d"])


def other_ids(settings: Settings) -> None:
    catalogue(settings, ["sku,shelf,name", *(f"S{item},{item},shoe {item}" for item in "abc")])


def nothing_clicked(settings: Settings) -> None:
    for day in DAYS:
        land(settings, queries(day), [event("search", "b", day=day)], day=day)


def torn(settings: Settings) -> None:
    folder = Path(str(settings.landing), f"dt={DAYS[0]}")
    (folder / "ubi_queries.ndjson").unlink()
    (folder / "ubi_queries.parquet").write_bytes(b"PAR1 no more")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            held,
            r"2026-05-11 is held: 33.3% of its rows were refused \(not_json 2\).*raise SHELFWISE_RAW__MAX_BAD_SHARE",
        ),
        (no_catalogue, r"No catalogue in .*expected catalog.parquet"),
        (no_id, r"The catalogue has no id column. Found: name, price; rename one of them"),
        (bare, r"Share of items with no text.*expected: at most 0.05.*bring titles"),
        (
            other_ids,
            r"Share of impressions and events on items of the catalogue.*in its column shelf.*SHELFWISE_RAW__ITEM_ID=",
        ),
        (nothing_clicked, r"Training set: train: some rows are clicked.*0 \(expected: at least 1\); log clicks"),
        (torn, r"2026-05-10: ubi_queries.parquet cannot be read.*land the file again"),
    ],
)
def test_what_stops_a_run_is_said_with_what_to_do(
    settings: Settings, spoil: Callable[[Settings], None], sentence: str
) -> None:
    spoil(settings)
    report = assess(settings)
    assert report.verdict == "a run would stop"
    assert re.search(sentence, "\n".join(report.stops), re.DOTALL), report.stops
    assert "A run would stop" in render_page(report)


def test_ids_of_another_column_are_found(settings: Settings) -> None:
    other_ids(settings)
    report = assess(settings)
    assert report.joins and report.joins.ids_found_in == "shelf"
    assert report.gaps[0].remedy == "The catalogue's column shelf has the log's ids: set SHELFWISE_RAW__ITEM_ID=shelf."


def test_days_that_are_passed_over_missing_or_misnamed(settings: Settings) -> None:
    landing = Path(str(settings.landing))
    folder = landing / f"dt={DAYS[3] + timedelta(days=2)}"
    folder.mkdir()
    (folder / "ubi_queries.xlsx").write_text("x")
    today = datetime.now(UTC).date()
    land(settings, queries(today), events(today), day=today)
    (landing / "dt=2026-5-9").mkdir()
    report = assess(settings)
    assert report.stops == ()
    lines = {line.day: line for line in report.days}
    assert lines[DAYS[3] + timedelta(days=2)].state == lines[today].state == "left out"
    assert "not over" in lines[today].why
    assert "dt=2026-5-9 is no day's folder" in gaps(report)
    rename = next(gap.remedy for gap in report.gaps if "dt=2026-5-9" in gap.what)
    assert rename == "Rename it dt=2026-05-09."


@pytest.mark.parametrize("place", ["", f"dt={DAYS[0]}/", "dt=2026-05-20/"])
def test_a_catalogue_that_is_passed_over_is_reported_once(settings: Settings, place: str) -> None:
    Path(str(settings.landing), place).mkdir(exist_ok=True)
    for name, changed in (("catalog.csv", 1e9), ("catalog.ndjson", 0)):
        file = Path(str(settings.landing), place, name)
        file.write_text('{"sku": "a"}\n' if name.endswith("ndjson") else "sku,name\na,red shoe\n", encoding="utf-8")
        os.utime(file, (changed, changed))
    report = assess(settings)
    assert [(names, f"{place}catalog.csv" in why) for why, names in report.unread.items()] == [
        ((f"{place}catalog.ndjson",), True)
    ]
    assert any("catalog.ndjson" in gap.what for gap in report.gaps)


def test_ignored_and_refused_rows_have_an_example(tmp_path: Path) -> None:
    settings = new_shop(tmp_path, raw=RawSettings(max_bad_share=0.9))
    odd = [event("wiggle", "b", day=DAYS[1]), event("search", "b", day=DAYS[1]), event("view", "zz", day=DAYS[1])]
    land(settings, [*queries(DAYS[1]), "{torn"], [*events(DAYS[1]), *odd, *events(DAYS[1])[:1]], day=DAYS[1])
    rows = assess(settings).rows
    ignored = {reason.reason: reason for reason in rows.ignored}
    assert set(ignored) == {"unknown_action", "ignored_action", "outside_search", "delivered_twice"}
    assert '"wiggle"' in ignored["unknown_action"].example
    assert '"zz"' in ignored["outside_search"].example
    assert '"click"' in ignored["delivered_twice"].example
    assert [(reason.reason, reason.example) for reason in rows.refused] == [("not_json", "{torn")]
    assert rows.unknown_actions == {"wiggle": 1}
    assert rows.rows_in == rows.clean + sum(r.rows for r in (*rows.refused, *rows.ignored))


def test_user_agents_tell_bots(settings: Settings) -> None:
    robot = query("r1", user="c9", day=DAYS[0], user_agent="Mozilla/5.0 (compatible; Googlebot/2.1)")
    phone = query("r2", user="c8", day=DAYS[0], user_agent="Mozilla/5.0 (Linux; CUBOT X30)")
    land(settings, [*queries(DAYS[0]), robot, phone], events(DAYS[0]), day=DAYS[0])
    report = assess(settings)
    assert report.agents
    assert [(bot.client, bot.requests, bot.rows) for bot in report.bots] == [("c9", 1, 1)]
    assert "Googlebot" in report.bots[0].why
    ignored = {reason.reason: reason for reason in report.rows.ignored}
    assert ignored["bot"].rows == 1 and "Googlebot" in ignored["bot"].example
    assert "c9" in render_page(report)


def test_a_rule_that_would_hit_the_shop_is_told(settings: Settings) -> None:
    for day in DAYS:
        land(settings, queries(day, user_agent="python-requests/2.31"), events(day), day=day)
    report = assess(settings)
    assert (report.bots, report.rows.ignored) == ((), ())
    assert "python-requests" in report.spared[0]
    assert "python-requests" in render_page(report)
    assert any("rule for bots" in gap.what for gap in report.gaps)


def test_a_sample_says_so(settings: Settings) -> None:
    report = assess(settings, sample=2)
    assert [line.state for line in report.days] == ["read", "not read", "not read", "read"]
    assert report.sampled
    assert "A sample" in render_page(report)
    assert not re.search("not there", gaps(report))


def test_a_day_of_few_requests_is_told_with_the_days_before(tmp_path: Path) -> None:
    settings = new_shop(tmp_path, checks=CheckSettings(volume_noise=0, min_first_weekday_share=0.3))
    last = DAYS[3] + timedelta(days=1)
    land(settings, queries(last)[:2], events(last)[:1], day=last)
    report = assess(settings)
    assert report.stops == ()
    assert report.gaps[0].what.startswith("The last day, 2026-05-14, is not like those before")
    assert report.gaps[0].cost.startswith("Requests: 2, against the last 4 days: 2026-05-13 8, ")
    assert "2026-05-14" not in gaps(assess(settings, sample=4))
    after = last + timedelta(days=1)
    land(settings, queries(after), events(after), day=after)
    (gap,) = (gap for gap in assess(settings).gaps if "unusual" in gap.what)
    assert gap.what == "Something is unusual about 1 day: 2026-05-14"


def test_judged_folders_need_no_day(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", landing=str(tmp_path))
    catalogue(settings, ["sku,name", "a,shoe"])
    report = assess(settings, judged="made")
    assert report.stops == ()
    assert report.days == ()
    assert "made" in render_page(report)


@pytest.mark.parametrize("made", ["missing", "empty", "file", "rubbish"])
def test_what_is_no_shop_gets_a_sentence(tmp_path: Path, made: str) -> None:
    folder = tmp_path / "logs"
    if made == "file":
        folder.write_text("no folder")
    elif made != "missing":
        folder.mkdir()
    if made == "rubbish":
        (folder / "dt=2026-05-10").mkdir()
        for name in ("catalog.csv", "dt=2026-05-10/ubi_queries.ndjson", "dt=2026-05-10/ubi_events.csv", "x.bin"):
            (folder / name).write_bytes(bytes(range(256)) * 4)
    report = assess(Settings(home=tmp_path / "home", landing=str(folder)))
    assert report.verdict == "a run would stop"
    assert report.stops
    assert all(letter.isprintable() for stop in report.stops for letter in stop)
    assert render_page(report)


def test_the_page_stands_alone_and_escapes(settings: Settings) -> None:
    land(settings, ["<script>alert(1)</script>", *queries(DAYS[0])], events(DAYS[0]), day=DAYS[0])
    page = render_page(assess(settings))
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page and "@media print" in page


def test_the_days_that_are_over_are_those_of_dagster(settings: Settings) -> None:
    """``assess`` knows which days are over without Dagster."""
    pytest.importorskip("dagster")
    import dagster as dg

    today = datetime.now(UTC).date()
    keys = dg.DailyPartitionsDefinition(start_date=(today - timedelta(days=2)).isoformat()).get_partition_keys()
    assert date.fromisoformat(keys[-1]) == today - timedelta(days=1)


def drop_queries(settings: Settings, *days: date) -> None:
    """Days whose events alone landed, each with the text of its search."""
    for day in days:
        folder = land(settings, [], events(day, user_query="red shoes"), day=day)
        (folder / "ubi_queries.ndjson").unlink()


def test_a_shop_that_logs_events_alone_is_told_what_that_costs(settings: Settings) -> None:
    drop_queries(settings, *DAYS)
    report = assess(settings)
    assert report.stops == ()
    assert [line.requests for line in report.days] == [8] * 4
    assert (report.rows.rebuilt_requests, report.rows.rows_in, report.rows.clean) == ({"named": 32}, 48, 48)
    (gap,) = (gap for gap in report.gaps if "rebuilt" in gap.what)
    assert gap.what == "100% of 32 requests were not logged, but rebuilt from events that carry their text"
    assert "no impression was logged" in gap.cost
    assert "32 requests are no rows" in render_page(report)
    assert "100% of 32 requests do not say what they showed" in gaps(report)


def test_a_day_whose_queries_are_missing_is_named(settings: Settings) -> None:
    drop_queries(settings, DAYS[2])
    report = assess(settings)
    assert report.rows.days_rebuilt == (DAYS[2],)
    assert f"1 day without a row of queries, though other days have some: {DAYS[2]}" in gaps(report)
    assert "25.0% of 32 requests were not logged" in gaps(report)
    assert "no impression was logged" not in "".join(gap.cost for gap in report.gaps)


def test_events_alone_without_texts_say_what_to_land(settings: Settings) -> None:
    (land(settings, [], events(DAYS[3]), day=DAYS[3]) / "ubi_queries.ndjson").unlink()
    assert "none of its 12 events carries user_query" in "".join(assess(settings).stops)
