from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from features.build_sessions import build_sessions
from features.day_report import read_report
from features.landing import day_files, landing_days, unread_in_landing
from features.landing_catalogs import catalog_files, passed_over_catalogs
from features.landing_files import LandingError, local_copies
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
        (lambda root: root.write_text("x"), "is a file: name the folder"),
        (lambda root: root.mkdir(), "holds no day: expected folders dt=YYYY-MM-DD"),
        (
            lambda root: (root / "dt=2026-3-1").mkdir(parents=True),
            "dt=2026-3-1 is no day's folder: rename it dt=2026-03-01",
        ),
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
    folder = land(settings, [], [event("click", "a")])
    (folder / "ubi_queries.ndjson").unlink()
    (folder / "ubi_events.ndjson").rename(folder / "ubi_events.xlsx")
    with pytest.raises(LandingError, match=r"has no queries.*or ubi_events\* with user_query; found ubi_events.xlsx"):
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
        "ubi_events.parquet/part-00000-c000.snappy.parquet",
        "hour=10/events.tsv.zst",
        "ubi_events/part-00001",
        "export.json",
        "ubi_events.xlsx",
        "ubi_queries.parquet.gz",
        "products.csv",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    files = day_files(settings, DAY)
    assert [f.name for f in files.queries] == [
        "ubi_queries-0.ndjson",
        "ubi_queries-1.json.gz",
        "ubi_queries/part-0.parquet",
    ]
    assert [f.name for f in files.events] == [
        "hour=10/events.tsv.zst",
        "ubi_events.csv",
        "ubi_events.parquet/part-00000-c000.snappy.parquet",
        "ubi_events/a/part.jsonl",
        "ubi_events/part-00001",
    ]
    assert [f.name for f in files.either] == ["export.json"]
    assert set(files.unread) == {"ubi_events.xlsx", "ubi_queries.parquet.gz"}
    assert files.unread["ubi_events.xlsx"].startswith(".xlsx is not read")


def test_the_fingerprint_is_of_what_the_files_hold(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    folder = land(settings, [query("q1")], [event("click", "a", query_id="q1")])
    listed, queries = day_files(settings, DAY), folder / "ubi_queries.ndjson"
    first = listed.fingerprint
    os.utime(queries, (1e9, 1e9))
    touched = day_files(settings, DAY)
    assert touched.fingerprint == first
    assert touched.stamps != listed.stamps
    queries.write_text(queries.read_text().replace("q1", "q2"))
    changed = day_files(settings, DAY)
    assert changed.fingerprint != first
    (folder / "ubi_events-late.ndjson").write_text("{}")
    assert day_files(settings, DAY).fingerprint not in {first, changed.fingerprint}


def test_a_log_that_was_copied_again_is_built_already(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    folder = land(settings, [query("q1")], [event("click", "a", query_id="q1")])
    (built,) = build_sessions(settings, [DAY])
    for file in folder.iterdir():
        os.utime(file, (1e9, 1e9))
    (again,) = build_sessions(settings, [DAY])
    assert again == replace(built, stamps=day_files(settings, DAY).stamps) != built
    assert read_report(settings, DAY) == again


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


def test_an_export_of_both_goes_where_its_envelope_says(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    folder = tmp_path / "landing" / f"dt={DAY}"
    folder.mkdir(parents=True)
    rows = [
        {"index": {"_index": "ubi_queries", "_id": "1"}},
        query("q1"),
        {"create": {"_index": ".ds-ubi_events-000001"}},
        event("click", "b", query_id="q1"),
        {"_index": "ubi_events", "_source": event("add_to_cart", "b", query_id="q1", event_id="e9")},
    ]
    (folder / "ubi_queries.ndjson").write_text(ndjson(rows))
    (folder / "dump.ndjson").write_text(ndjson([query("q2"), event("click", "c", query_id="q2")]))
    (folder / "notes.ndjson").write_text(ndjson([{"note": "sale starts"}]))
    (report,) = build_sessions(settings, [DAY])
    assert (report.rows_out, report.reasons) == ({"requests": 2, "impressions": 6, "events": 3}, {})
    assert {(e["action"], e["item_id"]) for e in stored(settings, "events")} == {
        ("click", "b"),
        ("cart", "b"),
        ("click", "c"),
    }
    assert report.files == ("ubi_queries.ndjson", "dump.ndjson")
    assert list(report.unread) == ["notes.ndjson"]


def test_a_day_without_events_is_held_where_others_have_them(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land(settings, [query("q1")], [event("click", "a", query_id="q1")])
    folder = land(settings, [query("q2", day=next_day())], [], day=next_day())
    (folder / "ubi_events.ndjson").unlink()
    first, second = build_sessions(settings, [DAY, next_day()])
    assert (first.held, second.held) == (False, True)
    assert "no file of events, though other days have one" in second.message
    assert stored(settings, "requests", next_day()) == []
    (folder / "ubi_events.ndjson").touch()  # says that there were none
    (report,) = build_sessions(settings, [next_day()])
    assert (report.held, report.rows_out["requests"]) == (False, 1)


def test_a_log_that_never_has_events_is_taken(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    (land(settings, [query("q1")], []) / "ubi_events.ndjson").unlink()
    (report,) = build_sessions(settings, [DAY])
    assert not report.held


@pytest.mark.parametrize("name", ["ubi_queries.parquet", "ubi_queries.csv.gz", "ubi_queries.ndjson"])
def test_a_day_of_empty_files_is_a_day_that_did_not_land(tmp_path: Path, name: str) -> None:
    settings = shop(tmp_path)
    folder = tmp_path / "landing" / f"dt={DAY}"
    folder.mkdir(parents=True)
    (folder / name).touch()
    with pytest.raises(LandingError, match=rf"has no queries.*\({name} empty\)"):
        day_files(settings, DAY)
    (folder / "ubi_queries-1.ndjson").write_text(ndjson([query("q1")]))
    (report,) = build_sessions(settings, [DAY])
    assert report.rows_in == 1


def test_what_is_no_day_is_named_beside_good_days(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land(settings, [query("q1")], [])
    root = tmp_path / "landing"
    for name in ("dt=2026-5-11", "20260512", "2026-05-13", "day=2026-05-14", "dt=2026-02-30", "notes", "_tmp"):
        (root / name).mkdir()
    for name in ("ubi_events.ndjson", "readme.md", "catalog.csv", "stock.parquet", ".hidden"):
        (root / name).write_text("x")
    assert landing_days(settings) == [DAY]
    told = unread_in_landing(settings)
    for name, better in {
        "dt=2026-5-11": "dt=2026-05-11",
        "20260512": "dt=2026-05-12",
        "2026-05-13": "dt=2026-05-13",
        "day=2026-05-14": "dt=2026-05-14",
    }.items():
        assert told.pop(name) == f"is no day's folder: rename it {better}"
    assert set(told) == {"dt=2026-02-30", "notes", "ubi_events.ndjson", "readme.md"}
    assert "no real date" in told["dt=2026-02-30"]
    assert "move it into its dt=" in told["ubi_events.ndjson"]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["catalog.csv", "catalog.parquet"], ["catalog.parquet"]),
        (["catalog_20260511.csv", "catalog_20260510.csv"], ["catalog_20260511.csv"]),
        (["products_export_1.csv"], ["products_export_1.csv"]),
        (["Catalogue.CSV"], ["Catalogue.CSV"]),
        (["catalog.json", "items.ndjson"], ["catalog.json"]),
        (
            ["catalog.parquet/_SUCCESS", "catalog.parquet/part-0.snappy.parquet"],
            ["catalog.parquet/part-0.snappy.parquet"],
        ),
        (["order_items.csv"], []),
    ],
)
def test_the_catalogue_that_counts(tmp_path: Path, names: list[str], taken: list[str]) -> None:
    settings = shop(tmp_path)
    for age, name in enumerate(names):
        file = tmp_path / "landing" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("id,title\na,x\n")
        os.utime(file, (1_800_000_000 + age, 1_800_000_000 + age))
    assert [file.name for _, file in catalog_files(settings)] == taken
    named = {*passed_over_catalogs(settings), *unread_in_landing(settings)}
    assert named == {name for name in names if name not in taken and "_SUCCESS" not in name}


@pytest.mark.parametrize("names", [["catalog.csv", "catalog.json"], ["products_1.csv", "products_2.csv"]])
def test_catalogues_that_nothing_tells_apart_are_named(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        file = tmp_path / "landing" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("id\na\n")
        os.utime(file, (1_800_000_000, 1_800_000_000))
    with pytest.raises(LandingError, match=" and ".join(names)):
        catalog_files(shop(tmp_path))


@pytest.mark.parametrize(
    ("given", "one"),
    [("/logs/", "/logs"), ("/logs/.", "/logs"), ("file:///logs/", "/logs"), ("s3://b/l/", "s3://b/l"), ("./a/", "a")],
)
def test_one_landing_folder_is_one_shop(given: str, one: str) -> None:
    with_slash, without = Settings(landing=given), Settings(landing=one)
    assert with_slash.landing == without.landing == one
    assert with_slash.project == without.project
