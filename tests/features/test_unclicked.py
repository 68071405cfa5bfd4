"""Requests that led to nothing, by day."""

from __future__ import annotations

from pathlib import Path

import pytest

from features import unclicked
from features.build_sessions import build_sessions
from features.unclicked import unclicked_requests
from infra.contract.partitions import written_days
from infra.settings import Settings
from tests.features.raw_log import DAY, event, land, next_day, query, shop


def test_searches_without_a_click_are_counted_by_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = shop(tmp_path)
    land(
        settings,
        [query(f"q{n}", "23:50:00", user=f"u{n}") for n in range(4)],
        [event("click", "a", "23:51:00", user="u0"), event("click", "b", "23:52:00", user="u0")],
    )
    build_sessions(settings, [DAY])
    assert counts(settings) == [(4, 3)], "two clicks of one request are one"

    land(
        settings,
        [query("q4", user="u4", day=next_day()), query("q5", user="u5", day=next_day(), query_response_hit_ids=[])],
        [
            event("purchase", "a", "00:05:00", user="u1", day=next_day()),
            event("click", "a", "10:02:00", user="u4", day=next_day()),
        ],
        day=next_day(),
    )
    build_sessions(settings, [next_day()])
    expected = [(4, 2), (2, 1)]
    assert counts(settings) == expected, "the order after midnight counts for its search, one that found nothing is one"

    def not_again(*_: object) -> None:
        raise AssertionError("counted anew")

    with monkeypatch.context() as patched:
        patched.setattr(unclicked, "_count", not_again)
        assert counts(settings) == expected
    (settings.paths.reports / "unclicked.json").write_text("{broken")
    assert counts(settings) == expected


def counts(settings: Settings) -> list[tuple[int, int]]:
    """Requests and those without a click, of the accepted days."""
    found = unclicked_requests(settings, written_days(settings.paths.sessions / "requests"))
    return [(one.requests, one.unclicked) for one in found.values()]


def test_a_day_without_requests_is_no_error(tmp_path: Path) -> None:
    (found,) = unclicked_requests(shop(tmp_path), [DAY]).values()
    assert (found.requests, found.unclicked) == (0, 0)
