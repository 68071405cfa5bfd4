"""Days one after another: midnight, late files, days that run again, days that are held."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from features import build_sessions as building
from features.build_sessions import (
    build_sessions,
    days_with_readers,
    lookback,
    read_report,
)
from features.landing import LandingError
from features.publishing import forget_other_days
from infra.contract.partitions import partition_file, written_days
from infra.settings import Settings
from tests.features.raw_log import (
    DAY,
    event,
    files_of,
    land,
    next_day,
    quarantined,
    query,
    shop,
    stored,
)

NEXT, THIRD = next_day(1), next_day(2)


def land_three_days(settings: Settings, broken: bool = False) -> None:
    """Three days that need each other: an order after midnight, repeated ids, an impression that comes late."""
    good = [query(f"q{n}", "23:50:00", user=f"u{n}") for n in range(6)]
    bad: list[Any] = ["{broken"] * 4
    land(settings, good + bad if broken else good, [event("click", "a", "23:51:00", query_id="q0", user="u0")])
    land(
        settings,
        [query("n0", "00:30:00", day=NEXT, user="u0"), *(query(f"n{n}", day=NEXT, user=f"u{n}") for n in range(1, 60))],
        [
            event("order", "b", "00:10:00", day=NEXT, user="u0"),
            event("click", "c", "00:10:00", day=NEXT, user="u1", query_id="q1"),
            event("click", "a", "23:51:00", query_id="q0", user="u0"),
            event("impression", "late", "00:01:00", day=NEXT, user="u2", query_id="q2"),
            event("impression", "a", "00:01:00", day=NEXT, user="u2", query_id="q2"),
        ],
        day=NEXT,
    )
    land(
        settings,
        [query("q5", day=THIRD, user_query="blue"), *(query(f"t{n}", day=THIRD, user=f"u{n}") for n in range(60))],
        [event("order", "b", "10:30:00", day=THIRD, user="u0")],
        day=THIRD,
    )


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of the three days, built in order from files that were always sound."""
    settings = shop(tmp_path_factory.mktemp("in_order"))
    land_three_days(settings)
    reports = build_sessions(settings, [DAY, NEXT, THIRD])
    assert [r.held for r in reports] == [False] * 3
    return files_of(settings)


def test_sessions_cross_midnight(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_three_days(settings)
    reports = build_sessions(settings, [THIRD, DAY, NEXT])
    assert [r.day for r in reports] == [DAY, NEXT, THIRD]
    found = {(r["action"], r["item_id"]): r for r in stored(settings, "events", NEXT)}
    assert found["order", "b"]["query_id"] == "q0"
    assert (found["click", "c"]["query_id"], found["click", "c"]["position"]) == ("q1", 3)
    assert (reports[1].reasons, reports[1].ignored_reasons) == ({}, {"delivered_twice": 1})
    assert reports[2].reasons == {"duplicate_id": 1}
    late = [r for r in stored(settings, "impressions", NEXT) if r["query_id"] == "q2"]
    assert [r["item_id"] for r in late] == ["late"]
    assert late[0]["time"].date() == DAY
    assert late[0]["known_at"].date() == NEXT


@pytest.mark.slow
def test_a_day_that_runs_again_gives_the_same_bytes(tmp_path: Path, in_order: dict[str, bytes]) -> None:
    settings = shop(tmp_path)
    land_three_days(settings)
    first = build_sessions(settings, [DAY, NEXT, THIRD])
    assert files_of(settings) == in_order
    assert build_sessions(settings, [NEXT]) == [first[1]]
    partition_file(settings.paths.sessions / "events", NEXT).unlink()
    build_sessions(settings, [NEXT])
    assert files_of(settings) == in_order


@pytest.mark.slow
def test_a_late_day_changes_the_days_that_read_it(tmp_path: Path, in_order: dict[str, bytes]) -> None:
    settings = shop(tmp_path)
    land_three_days(settings)
    build_sessions(settings, [NEXT])
    assert quarantined(settings, NEXT) != []
    build_sessions(settings, [THIRD])
    assert files_of(settings) != in_order
    assert days_with_readers(settings, [DAY]) == [DAY, NEXT, THIRD]
    build_sessions(settings, days_with_readers(settings, [DAY]))
    assert files_of(settings) == in_order


def test_a_broken_day_is_held_and_mended(tmp_path: Path, in_order: dict[str, bytes]) -> None:
    settings = shop(tmp_path)
    land_three_days(settings, broken=True)
    (held,) = build_sessions(settings, [DAY])
    assert (held.held, held.kept_previous, held.output, held.reasons) == (True, False, None, {"not_json": 4})
    assert "is held: 36.4% of its rows were refused (not_json 4); nothing of it is used" in held.message
    assert len(quarantined(settings)) == 4
    assert files_of(settings) == {}
    reports = build_sessions(settings, [NEXT, THIRD])
    assert reports[0].reasons["unknown_request"] == 4
    land_three_days(settings)
    build_sessions(settings, days_with_readers(settings, [DAY]))
    assert files_of(settings) == in_order


def test_a_day_that_breaks_later_keeps_its_accepted_version(tmp_path: Path, in_order: dict[str, bytes]) -> None:
    settings = shop(tmp_path)
    land_three_days(settings)
    accepted = build_sessions(settings, [DAY, NEXT, THIRD])
    land_three_days(settings, broken=True)
    held, *rest = build_sessions(settings, days_with_readers(settings, [DAY]))
    assert (held.held, held.kept_previous, held.output) == (True, True, accepted[0].output)
    assert "its last accepted version stays in use" in held.message
    assert [r.output for r in rest] == [r.output for r in accepted[1:]]
    assert files_of(settings) == in_order


@pytest.mark.slow
def test_a_kill_between_the_tables_leaves_a_day_that_is_not_built(
    tmp_path: Path, in_order: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = shop(tmp_path)
    land_three_days(settings)
    written = building.write_partition
    calls = 0

    def killed(*arguments: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return written(*arguments)

    monkeypatch.setattr(building, "write_partition", killed)
    with pytest.raises(KeyboardInterrupt):
        build_sessions(settings, [DAY])
    monkeypatch.setattr(building, "write_partition", written)
    assert read_report(settings, DAY) is None
    build_sessions(settings, [NEXT])
    assert all(r["query_id"] not in {"q0", "q1"} for r in stored(settings, "events", NEXT))
    build_sessions(settings, days_with_readers(settings, [DAY, THIRD]))
    assert files_of(settings) == in_order


def test_an_unchanged_day_is_left_as_it_is_and_changed_settings_build_it_again(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_three_days(settings)
    (first,) = build_sessions(settings, [DAY])
    assert build_sessions(settings, [DAY]) == [first]
    wider = shop(tmp_path, attribution_window=timedelta(hours=3))
    (second,) = build_sessions(wider, [DAY])
    assert second.inputs != first.inputs
    assert second.output == first.output


def test_only_days_within_reach_are_rebuilt(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    far = next_day(lookback(settings).days * 2 + 3)
    days = [DAY, next_day(lookback(settings).days), next_day(lookback(settings).days * 2), far]
    for day in days:
        land(settings, [query(f"q{day}", day=day)], [], day=day)
    assert days_with_readers(settings, [DAY]) == [DAY]
    build_sessions(settings, days)
    assert days_with_readers(settings, [days[1]]) == [*days[1:3], far]
    assert days_with_readers(settings, [days[0]]) == days
    assert days_with_readers(settings, []) == []
    narrow = shop(tmp_path, late_window=timedelta(0), ahead_window=timedelta(0))
    assert days_with_readers(narrow, [days[0]]) == [DAY]


def test_progress_and_the_folder_of_a_shop(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land(settings, [query("q1")], [])
    told: list[tuple[str, float]] = []
    build_sessions(settings, [DAY], lambda message, share: told.append((message, share)))
    assert told == [(f"sessions of {DAY}", 0.0), ("sessions of 1 days", 1.0)]
    assert {p.name for p in settings.paths.root.iterdir()} == {"sessions", "quarantine", "reports", "sessions.lock"}


def test_a_file_that_was_cut_is_told_in_a_sentence(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    file = land(settings, [query("q1")], [], kind="ndjson.gz") / "ubi_queries.ndjson.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(LandingError) as raised:
        build_sessions(settings, [DAY])
    assert str(raised.value) == (
        f"{DAY}: ubi_queries.ndjson.gz cannot be read, it is damaged or not what its name says (Truncated compressed"
        " stream); land the file again, then run again"
    )


def test_days_that_a_made_log_no_longer_has_are_forgotten(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_three_days(settings)
    build_sessions(settings, [DAY, NEXT, THIRD])
    forget_other_days(settings, [DAY, NEXT])
    assert read_report(settings, THIRD) is None
    assert [written_days(settings.paths.sessions / name) for name in ("requests", "events")] == [[DAY, NEXT]] * 2
