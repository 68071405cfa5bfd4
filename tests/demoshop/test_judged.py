"""Sessions over a given catalogue and judged queries."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from demoshop.judged import is_judged_folder, judged_catalog, make_judged_landing, read_items, read_table
from demoshop.judgements import read_judgements
from infra.settings import DemoSettings, Settings
from tests.demoshop.small_demo import read_days

THINGS = ("lamp", "chair", "rug", "vase")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of 80 items, some without brand or price, and judgements of four queries on half of them."""
    given = tmp_path / "given"
    given.mkdir()
    rows = range(80)
    catalog = {
        "item_id": [f"B{i:03d}" for i in rows],
        "title": [f"{'blue' if i % 3 else 'red'} {THINGS[i % 4]} {i}" for i in rows],
        "brand": [None if i % 5 == 0 else f"Brand {i % 7}" for i in rows],
        "color": ["Blue" if i % 3 else "red " for i in rows],
        "category_path": [None if i % 9 == 0 else ["Home", THINGS[i % 4]] for i in rows],
        "price": [None if i % 6 == 0 else 10.0 + i for i in rows],
    }
    pq.write_table(pa.table(catalog), given / "catalog.parquet")
    lines = [f"{t}\tB{i:03d}\t{3 if i % 4 == k else 0}" for k, t in enumerate(THINGS) for i in range(40)]
    (given / "qrels.tsv").write_text("query\tasin\tgrade\n" + "\n".join(lines) + "\n")
    return given


def judged_settings(tmp_path: Path, folder: Path) -> Settings:
    demo = DemoSettings(users=500, days=3, requests_per_user_day=8.0)
    return Settings(home=tmp_path / "home", landing=str(folder), demo=demo)


def test_sessions_over_judged_queries(tmp_path: Path, folder: Path) -> None:
    settings = judged_settings(tmp_path, folder)
    files = folder / "catalog.parquet", folder / "qrels.tsv"
    report = make_judged_landing(settings, *files)
    assert (report.days, report.items) == (3, 80)
    assert report.users <= 40, "ten users a query"
    assert report.orders > 0
    landing = settings.paths.landing
    assert pq.read_table(landing / "catalog.parquet") == pq.read_table(files[0])
    queries, events = read_days(landing, "ubi_queries"), read_days(landing, "ubi_events")
    assert set(pc.unique(queries["user_query"]).to_pylist()) <= set(THINGS)
    assert make_judged_landing(settings, *files) == report
    assert sorted(p.name for p in folder.iterdir()) == ["catalog.parquet", "qrels.tsv"]

    grades = {(r["query"], r["item_id"]): r["grade"] for r in read_judgements(files[1]).to_pylist()}
    clicks = events.filter(pc.equal(events["action_name"], "click"))
    clicked = [a["object"]["object_id"] for a in clicks["event_attributes"].to_pylist()]
    pairs = zip(clicks["user_query"].to_pylist(), clicked, strict=True)
    fitting = [grades.get(pair, 0) == 3 for pair in pairs]
    assert sum(fitting) > 0.8 * len(fitting)
    shown = set(pc.list_flatten(queries["query_response_hit_ids"]).to_pylist())
    assert any(item >= "B040" for item in shown), "items that nobody judged are shown too"


def test_other_judgements_make_other_sessions(tmp_path: Path, folder: Path) -> None:
    settings = judged_settings(tmp_path, folder)
    files = folder / "catalog.parquet", folder / "qrels.tsv"
    make_judged_landing(settings, *files)
    before = read_days(settings.paths.landing, "ubi_events")
    files[1].write_text("query\tproduct_id\tesci_label\nlamp\tB000\tE\nlamp\tB004\ts\n")
    make_judged_landing(settings, *files)
    assert read_days(settings.paths.landing, "ubi_events") != before
    assert set(read_days(settings.paths.landing, "ubi_queries")["user_query"].to_pylist()) == {"lamp"}


def test_judged_folders_are_recognised(folder: Path, tmp_path: Path) -> None:
    assert is_judged_folder(str(folder))
    assert is_judged_folder(f"file://{folder}/")
    (folder / "dt=2026-01-01").mkdir()
    (folder / "dt=2026-01-01" / "ubi_queries.parquet").touch()
    assert not is_judged_folder(str(folder))
    assert not is_judged_folder(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question\tasin\tgrade\nlamp\tB1\t3\n", "no column query"),
        ("query\tthing\tgrade\nlamp\tB1\t3\n", "no column item_id or asin"),
        ("query\tasin\nlamp\tB1\n", "no column grade or esci_label"),
        ("query\tasin\tgrade\nlamp\tB1\t4\n", "no grade 0 to 3"),
        ("query\tasin\tgrade\nlamp\tB1\t\n", "no grade 0 to 3"),
        ("query\tasin\tesci_label\nlamp\tB1\tX\n", "no grade 0 to 3"),
        ("query\tasin\tgrade\nlamp\t\t3\n", "lack the query or the item"),
        ("query\tasin\tgrade\nlamp\tB1\n", "not a table"),
        ("", "not a table"),
    ],
)
def test_malformed_judgements_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "qrels.tsv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_judgements(file)


def test_quotes_and_repeats_in_judgements(tmp_path: Path) -> None:
    file = tmp_path / "qrels.tsv"
    file.write_text('query\tasin\tgrade\n5" floppy\t0012\t1\n5" floppy\t0012\t3\n')
    assert read_judgements(file).to_pylist() == [{"query": '5" floppy', "item_id": "0012", "grade": 3}]


def test_judgements_of_another_catalogue_are_refused(tmp_path: Path, folder: Path) -> None:
    (folder / "qrels.tsv").write_text("query\tasin\tgrade\nlamp\tZ1\t3\n")
    with pytest.raises(ValueError, match="belong together"):
        make_judged_landing(judged_settings(tmp_path, folder), folder / "catalog.parquet", folder / "qrels.tsv")


@pytest.mark.parametrize("name", ["catalog.csv", "catalog.csv.gz", "catalog.ndjson", "catalog.jsonl.gz"])
def test_any_format_of_a_catalogue_is_judged(folder: Path, name: str) -> None:
    rows = [
        {"sku": "007", "title": "a lamp", "price": "$1,012.50", "category_path": "Home > Lamps"},
        {"sku": "008", "title": "a rug", "price": "9", "category_path": "Home > Rugs"},
        {"sku": "009", "title": "a jug", "price": "ask us", "category_path": "Home > Rugs"},
    ]
    if ".csv" in name:
        text = "sku,title,price,category_path\n" + "\n".join(",".join(f'"{v}"' for v in r.values()) for r in rows)
    else:
        text = "\n".join(json.dumps(row) for row in rows)
    (folder / "catalog.parquet").unlink()
    (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert is_judged_folder(str(folder))
    items, shelves = read_items(read_table(judged_catalog(str(folder))))
    assert items.ids.to_pylist() == ["007", "008", "009"]
    assert shelves == 2
    assert items.price_level[0] > items.price_level[2] > items.price_level[1], "an unknown price is in the middle"
