from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from features.build_sessions import build_sessions
from features.landing import LandingError, catalog_files, day_files, landing_days, local_copies
from infra.settings import Settings
from tests.features.raw_log import DAY, event, land, ndjson, next_day, query, shop, stored


def test_days_come_in_order_and_other_names_are_left_alone(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    for day in (next_day(1), DAY):
        land(settings, [query("q1")], [], day=day)
    (tmp_path / "landing" / "notes").mkdir()
    assert landing_days(settings) == [DAY, next_day(1)]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: None, "there is no landing folder"),
        (lambda root: root.mkdir(), "holds no day: expected folders dt=YYYY-MM-DD"),
        (lambda root: (root / "dt=2026-3-1").mkdir(parents=True), "; rename dt=2026-3-1"),
        (lambda root: (root / "dt=2026-02-30").mkdir(parents=True), "named after no real date"),
    ],
)
def test_a_landing_folder_that_is_none_says_so(tmp_path: Path, make, says: str) -> None:
    make(tmp_path / "landing")
    with pytest.raises(LandingError, match=says):
        landing_days(shop(tmp_path))


def test_a_protocol_that_is_not_installed_is_named() -> None:
    with pytest.raises(LandingError, match="cannot be opened"):
        landing_days(Settings(landing="nosuch://bucket/logs"))


def test_a_day_without_queries_says_what_is_there(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    (land(settings, [], [event("click", "a")]) / "ubi_queries.ndjson").unlink()
    with pytest.raises(LandingError, match=r"has no queries.*found ubi_events.ndjson"):
        day_files(settings, DAY)
    with pytest.raises(LandingError, match="has not landed"):
        day_files(settings, next_day())


def test_files_are_found_by_name_in_parts_and_in_folders(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    folder = tmp_path / "landing" / f"dt={DAY}"
    for name in (
        "ubi_queries-0.ndjson",
        "ubi_queries-1.json.gz",
        "ubi_queries/part-0.parquet",
        "ubi_queries/_SUCCESS",
        "ubi_queries/.part.crc.json",
        "ubi_events/a/part.jsonl",
        "ubi_events.csv",
        "other.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    files = day_files(settings, DAY)
    assert [f.name for f in files.queries] == [
        "ubi_queries-0.ndjson",
        "ubi_queries-1.json.gz",
        "ubi_queries/part-0.parquet",
    ]
    assert [f.name for f in files.events] == ["ubi_events/a/part.jsonl"]


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    folder = land(settings, [query("q1")], [])
    first = day_files(settings, DAY).fingerprint
    assert day_files(settings, DAY).fingerprint == first
    (folder / "ubi_events-late.ndjson").write_text("{}")
    assert day_files(settings, DAY).fingerprint != first


def test_the_files_of_a_day_are_one_log(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    folder = land(settings, [query("q1")], [event("click", "a", query_id="q2")])
    (folder / "ubi_queries-late.jsonl").write_text(ndjson([query("q2"), query("q3")]))
    (folder / "ubi_events").mkdir()
    (folder / "ubi_events" / "part.ndjson").write_text(ndjson([event("click", "b", query_id="q1")]))
    (report,) = build_sessions(settings, [DAY])
    assert report.rows_out == {"requests": 3, "impressions": 9, "events": 2}
    assert report.files == (
        "ubi_queries-late.jsonl",
        "ubi_queries.ndjson",
        "ubi_events.ndjson",
        "ubi_events/part.ndjson",
    )


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    folder = land(settings, [query("q1")], [])
    (folder / "ubi_queries-2.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(LandingError, match=r"ubi_queries-2\.parquet cannot be read"):
        build_sessions(settings, [DAY])


def test_a_remote_landing_folder_is_copied_and_read(tmp_path: Path) -> None:
    remote = fsspec.filesystem("memory")
    root = f"/shelfwise-{tmp_path.name}"
    remote.pipe(f"{root}/dt={DAY}/ubi_queries.ndjson", ndjson([query("q1")]).encode())
    remote.pipe(f"{root}/dt={DAY}/ubi_events.ndjson", ndjson([event("click", "b", query_id="q1")]).encode())
    remote.pipe(f"{root}/catalog.ndjson", b'{"item_id": "a"}')
    settings = Settings(home=tmp_path, landing=f"memory:/{root}", shop="remote")
    assert landing_days(settings) == [DAY]
    assert [file.name for _, file in catalog_files(settings)] == ["catalog.ndjson"]
    with local_copies(settings, day_files(settings, DAY).queries) as copies:
        assert copies[0].is_file()
    assert not copies[0].exists()
    (report,) = build_sessions(settings, [DAY])
    assert (report.clean, stored(settings, "events")[0]["position"]) == (2, 2)
