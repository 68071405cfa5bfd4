"""Landing folders: the same settings give the same files, days only append, a killed run goes on."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from demoshop import landing as landing_module
from demoshop.landing import make_landing
from demoshop.ubi import EVENTS, QUERIES
from infra.settings import Settings
from tests.demoshop.small_demo import SMALL, read_days, shop_settings


def tables(settings: Settings, days: int) -> list[object]:
    folder = settings.paths.landing
    dates = [(SMALL.start + timedelta(days=d)).isoformat() for d in range(days)]
    return [pq.read_table(folder / f"dt={d}" / f"ubi_{n}.parquet") for d in dates for n in ("queries", "events")]


def test_same_settings_give_the_same_sessions(small: Settings, tmp_path: Path) -> None:
    other = shop_settings(tmp_path)
    report = make_landing(other)
    assert tables(small, 4) == tables(other, 4)
    assert pq.read_table(small.paths.landing / "catalog.parquet") == pq.read_table(
        other.paths.landing / "catalog.parquet"
    )
    assert report == make_landing(small)


def test_another_seed_gives_other_sessions(small: Settings, tmp_path: Path) -> None:
    other = shop_settings(tmp_path, seed=8)
    make_landing(other)
    assert tables(small, 4) != tables(other, 4)


def test_one_more_day_leaves_the_others_as_they_are(small: Settings, tmp_path: Path) -> None:
    longer = shop_settings(tmp_path, days=5)
    report = make_landing(longer)
    assert report.days == 5
    assert tables(longer, 4) == tables(small, 4)
    short, long = (pq.read_table(s.paths.landing / "catalog.parquet") for s in (small, longer))
    assert long.num_rows == short.num_rows + 3
    assert long.slice(0, short.num_rows) == short


def test_days_are_added_and_taken_away_in_place(small: Settings, tmp_path: Path) -> None:
    make_landing(shop_settings(tmp_path, days=3))
    marked = tmp_path / "demo" / "landing" / "dt=2026-03-01" / "marked"
    marked.touch()
    assert make_landing(shop_settings(tmp_path)) == make_landing(small)
    assert marked.exists(), "a finished day must not be made again"
    assert tables(shop_settings(tmp_path), 4) == tables(small, 4)
    make_landing(shop_settings(tmp_path, days=2))
    assert len(list((tmp_path / "demo" / "landing").glob("dt=*"))) == 2


def test_a_second_call_writes_nothing(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("simulated again")

    monkeypatch.setattr(landing_module, "simulate_missing", refuse)
    report = make_landing(small)
    assert report.requests == read_days(small.paths.landing, "ubi_queries").num_rows


def test_a_killed_run_goes_on(small: Settings, tmp_path: Path) -> None:
    settings = shop_settings(tmp_path)

    class Killed(BaseException):
        pass

    def kill(text: str, share: float) -> None:
        if share >= 0.5:
            raise Killed

    with pytest.raises(Killed):
        make_landing(settings, kill)
    landing = settings.paths.landing
    assert sorted(p.name for p in landing.glob("dt=*")) == ["dt=2026-03-01", "dt=2026-03-02"]
    (landing / ".dt=2026-03-03.making").mkdir()
    assert make_landing(settings) == make_landing(small)
    assert tables(settings, 4) == tables(small, 4)
    assert not list(landing.glob(".*"))


def test_a_day_that_vanished_is_made_again(small: Settings, tmp_path: Path) -> None:
    settings = shop_settings(tmp_path)
    make_landing(settings)
    shutil.rmtree(settings.paths.landing / "dt=2026-03-02")
    assert make_landing(settings) == make_landing(small)
    assert tables(settings, 4) == tables(small, 4)


def test_other_settings_replace_the_folder(tmp_path: Path) -> None:
    make_landing(shop_settings(tmp_path, days=2))
    report = make_landing(shop_settings(tmp_path, days=1, users=20))
    assert report.users <= 20
    assert [p.name for p in (tmp_path / "demo" / "landing").glob("dt=*")] == ["dt=2026-03-01"]


def test_another_version_makes_the_folder_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = shop_settings(tmp_path, days=1, users=20)
    make_landing(settings)
    marked = settings.paths.landing / "dt=2026-03-01" / "marked"
    marked.touch()
    monkeypatch.setattr(landing_module, "VERSION", landing_module.VERSION + 1)
    make_landing(settings)
    assert not marked.exists()


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    settings = shop_settings(tmp_path)
    (settings.paths.landing / "dt=2020-01-01").mkdir(parents=True)
    with pytest.raises(ValueError, match="not made by the demo shop"):
        make_landing(settings)


def test_report_counts_what_the_files_hold(small: Settings) -> None:
    report = make_landing(small)
    queries, events = (read_days(small.paths.landing, f"ubi_{n}") for n in ("queries", "events"))
    actions = Counter(events["action_name"].to_pylist())
    assert (report.clicks, report.carts, report.orders) == tuple(
        actions[a] for a in ("click", "add_to_cart", "purchase")
    )
    assert report.clicks > report.carts > report.orders > 0
    assert report.impressions == pc.sum(pc.list_value_length(queries["query_response_hit_ids"])).as_py()
    assert replace(report, requests=queries.num_rows) == report
    assert report.items == pq.read_table(small.paths.landing / "catalog.parquet").num_rows == 212


def test_a_quiet_shop_has_days_without_requests(tmp_path: Path) -> None:
    settings = shop_settings(tmp_path, users=1, requests_per_user_day=1e-6)
    assert make_landing(settings).requests == 0
    assert read_days(settings.paths.landing, "ubi_queries").schema.names == QUERIES.names


def test_days_hold_their_own_time_in_order(small: Settings) -> None:
    for folder in sorted(small.paths.landing.glob("dt=*")):
        day = date.fromisoformat(folder.name.removeprefix("dt="))
        for name, schema in (("ubi_queries", QUERIES), ("ubi_events", EVENTS)):
            table = pq.ParquetFile(folder / f"{name}.parquet").read()
            assert table.schema.equals(schema)
            stamps = table["timestamp"].to_pylist()
            assert stamps == sorted(stamps)
            assert all(s.startswith(day.isoformat()) and s.endswith("Z") for s in stamps)


def test_progress_rises_to_one(tmp_path: Path) -> None:
    seen: list[float] = []
    make_landing(shop_settings(tmp_path), lambda text, share: seen.append(share))
    assert seen == [0.25, 0.5, 0.75, 1.0]
    assert json.loads((tmp_path / "demo" / "landing" / "_demo.json").read_text())["report"]["days"] == 4
