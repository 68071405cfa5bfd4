"""Logs whose positions count from zero, and logs that only look so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import DayReport, build_sessions
from features.readiness.fields import field_gaps
from infra.settings import Settings
from orchestration.assets.raw import sessions_metadata
from orchestration.data_lines import log_lines
from tests.features.raw_log import DAY, Row, event, land, query, shop, stored


def seen(action: str, request: str, item: str | None, place: int | None, clock: str = "10:01:00", **more: Any) -> Row:
    attributes = {"object": {"object_id": item}, "position": {"ordinal": place}} | more
    return event(action, item, clock, query_id=request, event_attributes=attributes)


def build(settings: Settings, queries: list[Row], events: list[Row]) -> DayReport:
    land(settings, queries, events)
    (report,) = build_sessions(settings, [DAY])
    assert report.rows_in + report.basket_items == report.clean + report.ignored + sum(report.reasons.values())
    return report


def positions(settings: Settings, table: str) -> dict[tuple[str, str], int | None]:
    return {(row["query_id"], row["item_id"]): row["position"] for row in stored(settings, table)}


def test_a_day_that_counts_from_zero_is_read_from_one(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries = [query(f"q{n}", query_response_hit_ids=None) for n in range(3)]
    events = [seen("impression", f"q{n}", item, place) for n in range(2) for place, item in enumerate("abc")]
    events += [seen("impression", "q2", item, place) for place, item in enumerate("abc") if place]
    events += [seen("click", "q0", "a", 0, "10:02:00"), seen("click", "q1", "d", 7, "10:02:00")]
    report = build(settings, queries, events)
    # q2 logged only what was scrolled to: its places are those of the day
    assert positions(settings, "impressions") == {
        **{(f"q{n}", item): place for n in range(3) for place, item in enumerate("abc", 1) if n < 2 or place > 1}
    }
    assert positions(settings, "events") == {("q0", "a"): 1, ("q1", "d"): 8}
    told = "positions of its events count from 0 in 2 requests: each is read as one more, as UBI counts from 1"
    assert (report.wrong_fields, report.held) == ((told,), False)
    assert f"{DAY}: {told}" in report.message
    assert f"{DAY}: {told}." in log_lines(settings, DAY, DAY)
    assert sessions_metadata([report])["fields"] == f"{DAY}: {told}"
    assert [gap.what for gap in field_gaps([report, report])] == [f"{DAY}: {told}"]


def test_lists_of_items_count_from_zero_too(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    items = [{"item_id": item, "index": place} for place, item in enumerate("abc")]
    shown = event("impression", None, query_id="q", event_attributes={"items": items})
    build(settings, [query("q", query_response_hit_ids=None)], [shown, seen("click", "q", "c", 2, "10:02:00")])
    assert positions(settings, "impressions") == {("q", "a"): 1, ("q", "b"): 2, ("q", "c"): 3}
    assert positions(settings, "events") == {("q", "c"): 3}


@pytest.mark.many(2)
@pytest.mark.parametrize(
    "events",
    [
        [seen("impression", "q", item, place) for place, item in enumerate("abc", 1)],
        [*(seen("impression", "q", item, place) for place, item in enumerate("abc", 1)), seen("click", "q", "b", 0)],
        [seen("impression", "q", "a", 0), seen("impression", "q", "b", 0), seen("impression", "q", "c", 3)],
        [seen("click", "q", "b", 0)],
        [],
    ],
    ids=["from one", "zero for not known", "two at zero", "no more than one", "none"],
)
def test_a_zero_alone_is_no_start(tmp_path: Path, events: list[Row]) -> None:
    assert build(shop(tmp_path), [query("q")], events).wrong_fields == ()


LISTS: list[tuple[Row, str]] = [
    ({"results": ["a", "b"]}, 'results (such as ["a","b"])'),
    ({"hits": [{"id": "a"}]}, 'hits (such as [{"id":"a"}])'),
    ({"response": {"docs": ["a"]}}, 'response.docs (such as ["a"])'),
    ({"shown": json.dumps(["a"])}, 'shown (such as ["a"])'),
]


@pytest.mark.many(2)
@pytest.mark.parametrize(("more", "named"), LISTS)
@pytest.mark.parametrize("kind", ["ndjson", "parquet"])
def test_a_list_of_another_name_is_named_where_no_query_has_hits(
    tmp_path: Path, more: Row, named: str, kind: str
) -> None:
    settings = shop(tmp_path)
    bare = {key: value for key, value in query("q1").items() if key != "query_response_hit_ids"}
    land(settings, [bare | more, bare | more | {"query_id": "q2"}], [event("click", "a", query_id="q1")], kind=kind)
    (report,) = build_sessions(settings, [DAY])
    (told,) = report.wrong_fields
    assert told.startswith("none of its 2 queries has hits") and named in told
    assert told in report.message


def test_lists_beside_hits_are_not_named(tmp_path: Path) -> None:
    queries = [query("q1", facets=["red"]), query("q2", query_response_hit_ids=[], facets=["red"])]
    assert build(shop(tmp_path / "some"), queries, [event("click", "a")]).wrong_fields == ()
    empty = [query("q1", query_response_hit_ids=[]), query("q2", query_response_hit_ids=None, filters=[])]
    assert build(shop(tmp_path / "none"), empty, [event("click", "a")]).wrong_fields == ()
