"""What a run says of the data it read."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.build_sessions import build_sessions
from features.catalog import build_catalog
from infra.settings import RawSettings, Settings
from orchestration.data_lines import catalog_lines, log_lines
from tests.features.raw_log import DAY, at, event, land, next_day, query


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "logs").mkdir()
    return Settings(home=tmp_path / "home", landing=str(tmp_path / "logs"), raw=RawSettings(max_bad_share=0.9))


def catalogue(settings: Settings, *rows: str) -> list[str]:
    """The lines of a CSV catalogue."""
    (Path(str(settings.landing)) / "catalog.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
    build_catalog(settings)
    return catalog_lines(settings)


def test_a_title_that_was_not_recognised_is_told(settings: Settings) -> None:
    assert catalogue(settings, "sku,caption_line,price,vendor", "a,Vase,3.5,Ole", "b,Lamp,,Ole", "b,Sofa,1,Ole") == [
        "Catalogue of 2 items: brand 2, price 1; none has title, description, category_path.",
        "Columns read: vendor as brand; sku as item_id; caption_line as attributes.",
        "No column was read as title: if there is one, name it title, product_title, name or product_name, "
        'or say which by SHELFWISE_RAW__COLUMNS=\'{"title": "COLUMN"}\'.',
        "Catalogue rows: 3 read, 1 refused (duplicate_id 1).",
    ]


def test_a_catalogue_of_known_names_is_one_line(settings: Settings) -> None:
    whole = "item_id,title,description,category_path,brand,price"
    assert catalogue(settings, whole, "a,Vase,A vase,Home > Vases,Ole,3.5") == [
        "Catalogue of 1 items: title 1, description 1, category_path 1, brand 1, price 1."
    ]


def test_bots_are_named_and_so_are_rules_that_were_not_applied(settings: Settings) -> None:
    bot = {"user": "x1", "user_agent": "Googlebot/2.1"}
    people = [query(f"p{n}", f"10:0{n}:01", user=f"c{n}") for n in range(9)]
    land(settings, [*people, query("q1", **bot), query("q2", **bot)], [event("click", "a", user="x1")])
    build_sessions(settings, [DAY])
    assert log_lines(settings, DAY, DAY) == [
        "Logs of 1 day: 12 rows read, none refused, 3 ignored (bot 3).",
        "Left out as bots: 3 rows: x1 3 (its user agent: Googlebot/2.1).",
    ]
    land(settings, [row | {"user_agent": "curl/8.5"} for row in people], [])
    (report,) = build_sessions(settings, [DAY])
    assert log_lines(settings, DAY, DAY)[1:] == [f"{why}." for why in report.spared]
    assert "curl" in report.spared[0]


def test_refused_rows_and_unknown_actions_are_told(settings: Settings) -> None:
    assert log_lines(settings, DAY, DAY) == []
    clicks = [event("click", "a", query_id="q1"), event("hover", "a"), event("wiggle", "b"), event("hover", "b")]
    land(settings, [query("q1"), "{"], clicks)
    build_sessions(settings, [DAY])
    assert log_lines(settings, DAY, DAY) == [
        "Logs of 1 day: 6 rows read, 1 refused (not_json 1), 3 ignored (unknown_action 3).",
        "Unknown actions: hover 2, wiggle 1. Say in shelfwise.toml, under [raw.actions], what each is.",
    ]


def test_rebuilt_requests_are_told_and_the_days_that_have_no_others(settings: Settings) -> None:
    lost = event("click", "a", query_id="lost", user_query="red")
    land(settings, [query("q1")], [lost, event("click", "b", user="u2", user_query="red")])
    land(settings, [], [lost | {"query_id": "gone", "timestamp": at("10:00:00", next_day())}], day=next_day())
    build_sessions(settings, [DAY, next_day()])
    assert log_lines(settings, DAY, next_day()) == [
        "Logs of 2 days: 4 rows read, none refused.",
        "Requests rebuilt from events that carry their text: 2 by their query_id, 1 by person and text. What they"
        " showed is known only where impressions were logged.",
        "Events without a query id that took one by their text and person: 1.",
        f"No row of queries on {next_day()}, though other days have some: land its ubi_queries if there are any.",
    ]
