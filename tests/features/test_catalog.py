from __future__ import annotations

import csv
import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import CatalogError, build_catalog
from infra.contract.tables import LOCATION_NAMES
from infra.settings import Settings
from tests.features.catalog_files import items, landing
from tests.features.raw_log import DAY, next_day, shop

LONG = "A long text about the item, which goes on for more than sixty characters so that it reads as prose."
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOWHERE = dict.fromkeys(LOCATION_NAMES)


def write(folder: Path, rows: list[Any], name: str = "catalog.ndjson") -> None:
    """One catalogue file of a kind told by its name, in place of any other there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("catalog.*"):
        old.unlink()
    file = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif ".csv" in name:
        plain = folder / "plain"
        with plain.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list({key: None for row in rows for key in row}))
            writer.writeheader()
            writer.writerows(rows)
        file.write_bytes(gzip.compress(plain.read_bytes()) if name.endswith(".gz") else plain.read_bytes())
        plain.unlink()
    else:
        text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows).encode()
        file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def one(settings: Settings, **row: Any) -> dict[str, Any]:
    write(landing(settings), [{"item_id": "i1"} | row])
    build_catalog(settings)
    (found,) = items(settings)
    return found


RICH: list[dict[str, Any]] = [
    {
        "Product_ID": "b2",
        "Name": 'Blue, "big" boots',
        "category": "Shoes > Boots",
        "vendor": "Acme",
        "price": 12.5,
        "average_rating": 4.5,
        "review_count": 10,
        "tags": "winter, warm",
        "created_at": "2026-05-01T00:00:00Z",
        "color": "blue",
        "weight": 2.0,
        "story": LONG,
        "image": "https://shop.example/b2.jpg",
    },
    {
        "Product_ID": "a1",
        "Name": "Red shoes",
        "category": "Shoes",
        "vendor": None,
        "price": None,
        "average_rating": None,
        "review_count": None,
        "tags": None,
        "created_at": None,
        "color": None,
        "weight": 1.5,
        "story": LONG + "\nIn two lines.",
        "image": "https://shop.example/a1.jpg",
    },
]


@pytest.mark.many(2)
@pytest.mark.parametrize(
    "name", ["catalog.parquet", "catalog.ndjson", "catalog.jsonl.gz", "catalog.json", "catalog.csv", "catalog.csv.gz"]
)
def test_every_kind_of_file_gives_the_same_catalogue(tmp_path: Path, name: str) -> None:
    settings = shop(tmp_path)
    write(landing(settings), RICH, name)
    report = build_catalog(settings)
    red, blue = items(settings)
    assert blue == {
        "item_id": "b2",
        "title": 'Blue, "big" boots',
        "description": LONG,
        "category_path": ["Shoes", "Boots"],
        "brand": "Acme",
        "price": 12.5,
        "rating": 4.5,
        "rating_count": 10.0,
        "attributes": [{"key": "color", "value": "blue"}, {"key": "weight", "value": "2"}],
        "tags": ["winter", "warm"],
        **NOWHERE,
        "available_from": datetime(2026, 5, 1, tzinfo=UTC),
    }
    assert red == {
        "item_id": "a1",
        "title": "Red shoes",
        "description": LONG + "\nIn two lines.",
        "category_path": ["Shoes"],
        "brand": None,
        "price": None,
        "rating": None,
        "rating_count": None,
        "attributes": [{"key": "weight", "value": "1.5"}],
        "tags": [],
        **NOWHERE,
        "available_from": EPOCH,
    }
    assert report.metadata()["items"] == 2
    assert report.columns["item_id"] == "Product_ID"
    assert (report.attribute_columns, report.description_columns) == (("color", "weight"), ("story",))
    assert report.filled["brand"] == 1
    first = settings.paths.catalog.read_bytes()
    build_catalog(settings)
    assert settings.paths.catalog.read_bytes() == first


@pytest.mark.many(3)
@pytest.mark.parametrize(
    ("logged", "price"),
    [
        (5, 5.0),
        ("12.50", 12.5),
        ("$12.50", 12.5),
        ("12,50 €", 12.5),
        ("1,299", 1299.0),
        ("US$ 1,299.00", 1299.0),
        ("1.299,00", 1299.0),
        ("1 299,00", 1299.0),
        ("10 - 20", 10.0),
        ("on request", None),
        (-3, None),
        ("-3", None),
        ("1.2.3", None),
        (True, None),
        ({"amount": 5}, 5.0),
    ],
)
def test_prices(tmp_path: Path, logged: Any, price: float | None) -> None:
    settings = shop(tmp_path)
    write(landing(settings), [{"item_id": "i1", "price": logged}])
    report = build_catalog(settings)
    assert items(settings)[0]["price"] == price
    assert report.unreadable.get("price", 0) == int(price is None)


@pytest.mark.many(2)
@pytest.mark.parametrize(
    ("logged", "prices"),
    [
        (
            ["1.299,00", "1.299 €", "1.299", "1.299.000", "12,50", "1299"],
            [1299.0, 1299.0, 1299.0, 1299000.0, 12.5, 1299.0],
        ),
        (["1.299,- €", "2.499", "EUR 5,–"], [1299.0, 2499.0, 5.0]),
        (["1,299.00", "1,299", "1.299", "$1,299,000", "12.50"], [1299.0, 1299.0, 1.299, 1299000.0, 12.5]),
        (["12.50", "9.99", "7,50", "1.299"], [12.5, 9.99, 7.5, 1.299]),
        (["12,50", "9,99", "7.50", "1.299", 1.299], [12.5, 9.99, 7.5, 1299.0, 1.299]),
        (["1.299", "2"], [1.299, 2.0]),
    ],
)
def test_the_prices_together_tell_the_decimal_mark(tmp_path: Path, logged: list[Any], prices: list[float]) -> None:
    settings = shop(tmp_path)
    write(landing(settings), [{"item_id": n, "price": price} for n, price in enumerate(logged)])
    build_catalog(settings)
    assert [row["price"] for row in items(settings)] == prices


@pytest.mark.many(2)
@pytest.mark.parametrize(
    ("logged", "created"),
    [
        ("04.06.2025", datetime(2025, 6, 4, tzinfo=UTC)),
        ("4.6.2025 18:30", datetime(2025, 6, 4, 18, 30, tzinfo=UTC)),
        ("04.06.2025 18:30:05", datetime(2025, 6, 4, 18, 30, 5, tzinfo=UTC)),
        ("2025-06-04", datetime(2025, 6, 4, tzinfo=UTC)),
        ("06/04/2025", None),
        ("13.13.2025", None),
        ("04.06.2525", None),
        ("soon", None),
    ],
)
def test_creation_times(tmp_path: Path, logged: str, created: datetime | None) -> None:
    settings = shop(tmp_path)
    write(landing(settings), [{"item_id": "a", "created_at": logged}, {"item_id": "b"}])
    report = build_catalog(settings)
    assert items(settings)[0]["available_from"] == (created or EPOCH)
    assert report.unreadable.get("available_from", 0) == int(created is None)


@pytest.mark.many(1)
@pytest.mark.parametrize(("logged", "rating"), [("4,5", 4.5), ("4.5 out of 5", 4.5), ("4", 4.0), ("good", None)])
def test_ratings(tmp_path: Path, logged: str, rating: float | None) -> None:
    assert one(shop(tmp_path), rating=logged)["rating"] == rating


@pytest.mark.many(2)
@pytest.mark.parametrize(
    ("logged", "path"),
    [
        (["A", " B ", "", None], ["A", "B"]),
        ("A > B > C", ["A", "B", "C"]),
        ("A/B", ["A", "B"]),
        ("A|B/C", ["A", "B/C"]),
        ('["A", "B"]', ["A", "B"]),
        ("A", ["A"]),
        (None, []),
        ("", []),
        ({"a": 1}, []),
    ],
)
def test_category_paths(tmp_path: Path, logged: Any, path: list[str]) -> None:
    assert one(shop(tmp_path), category_path=logged)["category_path"] == path


@pytest.mark.parametrize(
    "logged",
    [
        {"size": 42, "colors": ["red", "blue"], "new": True, "none": None, "nested": {"a": 1}},
        [
            {"key": "size", "value": 42},
            {"key": "colors", "value": ["blue", "red"]},
            {"name": "new", "value": True},
            {"value": "no key"},
        ],
        '{"size": "42", "colors": ["red", "blue"], "new": "True"}',
    ],
)
def test_attributes_of_any_shape(tmp_path: Path, logged: Any) -> None:
    found = one(shop(tmp_path), attributes=logged, size=42)["attributes"]
    assert [(a["key"], a["value"]) for a in found] == [
        ("colors", "blue"),
        ("colors", "red"),
        ("new", "true"),
        ("size", "42"),
    ]


BERLIN = {"country": "DE", "language": "de", "zip": "10115", "latitude": 52.5, "longitude": 13.4}


@pytest.mark.many(3)
@pytest.mark.parametrize("name", ["catalog.parquet", "catalog.ndjson", "catalog.csv"])
@pytest.mark.parametrize(
    "logged",
    [
        BERLIN,
        {"Country_Code": "DE", "lang": "de", "postal_code": 10115, "lat": 52.5, "LNG": 13.4},
        {"countryCode": " DE ", "locale": "de", "zipCode": "10115", "location": "52.5, 13.4"},
        {"country": "DE", "language": "de", "postcode": 10115.0, "geo": '{"lat": "52.5", "lon": 13.4}'},
        {"country": "DE", "language": "de", "zip": "10115", "location.lat": "52.5", "location.lon": "13.4"},
        {**BERLIN, "country_code": "DEU", "location": "1,2", "lat": 7},
        {**BERLIN, "latitude": "north", "lat": 52.5, "location": "1,2"},
    ],
)
def test_locations_of_any_name_are_no_attributes(tmp_path: Path, name: str, logged: dict[str, Any]) -> None:
    settings = shop(tmp_path)
    write(landing(settings), [{"item_id": "i1"} | logged], name)
    report = build_catalog(settings)
    (found,) = items(settings)
    assert {key: found[key] for key in BERLIN} == BERLIN
    assert found["attributes"] == []
    assert report.attribute_columns == ()
    assert [report.filled[key] for key in BERLIN] == [1] * 5


@pytest.mark.parametrize("logged", [{"lat": 52.5, "lon": 13.4}, {"latitude": 52.5, "longitude": "13.4"}])
def test_a_point_may_be_a_struct(tmp_path: Path, logged: Any) -> None:
    settings = shop(tmp_path)
    for name in ("catalog.parquet", "catalog.ndjson"):
        write(landing(settings), [{"item_id": "i1", "location": logged}], name)
        build_catalog(settings)
        (found,) = items(settings)
        assert (found["latitude"], found["longitude"], found["attributes"]) == (52.5, 13.4, [])


@pytest.mark.many(2)
@pytest.mark.parametrize(
    "logged",
    [
        {"latitude": 90.1, "longitude": 13.4},
        {"latitude": 52.5, "longitude": -180.5},
        {"latitude": 52.5},
        {"latitude": "north", "longitude": "east"},
        {"latitude": True, "longitude": [13.4]},
        {"latitude": float("nan"), "longitude": float("inf")},
        {"latitude": "1e400", "longitude": "nan"},
        {"location": "95,200"},
        {"location": "nan,inf"},
        {"location": {"lat": 52.5}},
        {"location": {"lat": {"deg": 52}, "lon": 13.4}},
        {"country": {"code": "DE"}, "language": ["de"], "zip": False},
        {"country": "", "language": "  ", "zip": None},
        {"zip": "1" * 65},
    ],
)
def test_a_bad_location_is_null_and_refuses_no_item(tmp_path: Path, logged: dict[str, Any]) -> None:
    found = one(shop(tmp_path), **logged)
    assert {key: found[key] for key in NOWHERE} == NOWHERE
    assert found["attributes"] == []


def test_the_name_of_a_place_stays_an_attribute(tmp_path: Path) -> None:
    found = one(shop(tmp_path), location="Berlin, Mitte", title="t")
    assert found["attributes"] == [{"key": "location", "value": "Berlin, Mitte"}]
    assert {key: found[key] for key in NOWHERE} == NOWHERE


def test_parquet_maps_structs_and_gaps(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    table = pa.table(
        {
            "sku": pa.array([1, 2], pa.int64()),
            "attributes": pa.array([[("size", "42")], None], pa.map_(pa.string(), pa.string())),
            "price": pa.array([float("nan"), 3.0]),
            "tags": pa.array([["a"], None], pa.list_(pa.string())),
            "created_at": pa.array([datetime(2026, 1, 1), None], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, landing(settings) / "catalog.parquet")
    report = build_catalog(settings)
    first, second = items(settings)
    assert (first["item_id"], second["item_id"]) == ("1", "2")
    assert first["attributes"] == [{"key": "size", "value": "42"}]
    assert (first["price"], second["price"], report.unreadable.get("price", 0)) == (None, 3.0, 0)
    assert (first["tags"], second["tags"]) == (["a"], [])
    assert (first["available_from"], second["available_from"]) == (datetime(2026, 1, 1, tzinfo=UTC), EPOCH)


def test_columns_that_nothing_is_read_from_are_named(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    rows = [
        {"sku": n, "name": "Lamp", "offers": {"price": 3}, "pricing": {"net": 2.5}, "seen": {"by": ["a", "b"]}}
        for n in range(3)
    ]
    write(landing(settings), rows)
    report = build_catalog(settings)
    assert report.unused_columns == ("pricing", "seen")
    assert (report.filled["price"], report.columns["price"]) == (3, "offers.price")


def test_the_latest_version_of_an_item_counts_and_its_first_day_bounds_it(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    root = landing(settings)
    write(root, [{"item_id": "old", "title": "1"}, {"item_id": "kept", "title": "1"}])
    write(
        root / f"dt={DAY}",
        [{"id": "old", "name": "2"}, {"id": "new", "name": "2"}, {"id": "made", "created_at": "2026-01-01"}],
    )
    write(root / f"dt={next_day()}", [{"id": "new", "name": "3"}, {"id": "late", "created_at": "2030-01-01"}])
    report = build_catalog(settings)
    found = {row["item_id"]: (row["title"], row["available_from"]) for row in items(settings)}
    assert found == {
        "old": ("2", EPOCH),
        "kept": ("1", EPOCH),
        "new": ("3", datetime(2026, 5, 10, tzinfo=UTC)),
        "made": (None, datetime(2026, 1, 1, tzinfo=UTC)),
        "late": (None, datetime(2026, 5, 11, tzinfo=UTC)),
    }
    assert (report.rows_in, report.items, report.older_versions) == (7, 5, 2)


def test_bad_rows_go_to_quarantine(tmp_path: Path) -> None:
    settings = shop(tmp_path, max_bad_share=0.5)
    bad = ["{no json", {"title": "no id"}, {"item_id": {"a": 1}}, {"item_id": "g1", "title": "again"}]
    good = [{"item_id": f"g{n}", "title": f"{n}"} for n in range(5)]
    lines = [line for row in [*good, *bad] for line in ({"index": {"_index": "items"}}, row)]
    write(landing(settings), lines, "catalog.json")
    report = build_catalog(settings)
    assert report.reasons == {"duplicate_id": 1, "no_id": 1, "not_json": 1, "wrong_type": 1}
    assert (report.rows_in, report.items) == (9, 5)
    assert items(settings)[1]["title"] == "1"
    refused = pq.read_table(settings.paths.catalog.with_name("quarantine.parquet")).to_pylist()
    assert [r["raw"] for r in refused] == [row if isinstance(row, str) else json.dumps(row) for row in bad]


def test_a_broken_catalogue_leaves_the_one_in_use(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    write(landing(settings), [{"item_id": "a"}])
    build_catalog(settings)
    write(landing(settings), [{"item_id": "a"}, "{broken"])
    with pytest.raises(CatalogError, match=r"50\.0% of the catalogue's 2 rows were refused \(not_json 1\)"):
        build_catalog(settings)
    assert [row["item_id"] for row in items(settings)] == ["a"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [{"article": "a", "title": "t"}],
            r"no id column\. Found: article, title; rename one of them to item_id",
        ),
        ([], "is empty"),
        (["", "  "], "is empty"),
        (["[1, 2]"], "is empty"),
    ],
)
def test_a_catalogue_that_is_none_says_so(tmp_path: Path, rows: list[Any], says: str) -> None:
    settings = shop(tmp_path)
    write(landing(settings), rows)
    with pytest.raises(CatalogError, match=says):
        build_catalog(settings)


def test_no_catalogue_and_no_folder_say_so(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    with pytest.raises(CatalogError, match="there is no landing folder"):
        build_catalog(settings)
    landing(settings)
    with pytest.raises(CatalogError, match=r"no catalogue in .*expected catalog\.parquet"):
        build_catalog(settings)


def test_a_damaged_catalogue_is_named(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    (landing(settings) / "catalog.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(
        CatalogError, match=r"catalog\.csv\.gz cannot be read[^\n]*; land the file again, then run again$"
    ):
        build_catalog(settings)


@pytest.mark.many(3)
@pytest.mark.parametrize("name", ["catalog.csv", "catalog.ndjson", "catalog.parquet"])
@pytest.mark.parametrize("word", ["null", "NULL", " - ", "--", "N/A", "n/a", "None", "NaN", "\\N"])
def test_a_word_for_nothing_is_no_brand(tmp_path: Path, name: str, word: str) -> None:
    settings = shop(tmp_path)
    row = {"item_id": "a", "brand": word, "category": word, "tags": f"warm,{word}"}
    write(landing(settings), [row, {"item_id": "b", "brand": "Unknown", "category": f"A > {word} > B"}], name)
    report = build_catalog(settings)
    found = [(row["brand"], row["category_path"], row["tags"]) for row in items(settings)]
    assert found == [(None, [], ["warm"]), ("Unknown", ["A", "B"], [])]
    assert report.filled["brand"] == 1


@pytest.mark.parametrize("name", ["catalog.csv", "catalog.ndjson", "catalog.parquet"])
def test_html_is_read_as_text(tmp_path: Path, name: str) -> None:
    settings = shop(tmp_path)
    row = {
        "item_id": "a&amp;b",
        "title": 'K&uuml;chen&shy;messer <b class="x">&quot;Solingen&quot;</b> &#8211; 5 < 6 &amp;amp; AT&T &nothing;',
        "description": "<p>Gut.</p><!-- a > b --><p>Scharf&nbsp;&lt;br/&gt;und\nleicht</p>",
        "category": "K&uuml;che &gt; M&ouml;bel",
        "brand": "R&ouml;sle",
        "tags": "sch&ouml;n, <i>neu</i>",
        "material": "Stahl &amp; Holz",
        "specs": '{"Gr&ouml;&szlig;e": "<5>"}',
    }
    write(landing(settings), [row], name)
    build_catalog(settings)
    (found,) = items(settings)
    assert found["item_id"] == "a&amp;b"
    assert found["title"] == 'Küchenmesser "Solingen" – 5 < 6 &amp; AT&T &nothing;'
    assert found["description"] == "Gut. Scharf und\nleicht"
    assert (found["category_path"], found["brand"], found["tags"]) == (["Küche", "Möbel"], "Rösle", ["schön", "neu"])
    assert {a["key"]: a["value"] for a in found["attributes"]} == {
        "material": "Stahl & Holz",
        "Gr&ouml;&szlig;e": "<5>",
    }


def test_html_in_lists_and_escaped_json(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    line = r'{"id": 1, "title": "\u003cp\u003eK\u0026uuml;che", "tags": ["sch&ouml;n", 2.0, true, null]}'
    write(landing(settings), [line])
    build_catalog(settings)
    (found,) = items(settings)
    assert (found["title"], found["tags"]) == ("Küche", ["schön", "2", "true"])


def test_the_report_says_when_the_newest_file_was_written(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    write(landing(settings), RICH)
    (file,) = landing(settings).glob("catalog.*")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert build_catalog(settings).landed_at == "2023-11-14T22:13:20+00:00"
    os.utime(file, (4_000_000_000, 4_000_000_000))
    assert datetime.fromisoformat(str(build_catalog(settings).landed_at)) <= datetime.now(UTC), "a clock that is ahead"


def test_a_row_that_comes_again_is_no_fault_and_another_of_its_id_is(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    rows = [{"sku": f"s{n}", "id": f"i{n}", "title": f"thing {n}"} for n in range(9)]
    write(landing(settings), [*rows, rows[3], rows[3]])
    report = build_catalog(settings)
    assert (report.items, report.repeats, report.reasons) == (9, 2, {})
    assert report.rows_in == report.items + report.repeats
    write(landing(settings), [*rows, {"sku": "s3", "id": "i99", "title": "another"}])
    with pytest.raises(
        CatalogError, match=r"duplicate_id 1.*id has another value in each row: SHELFWISE_RAW__ITEM_ID=id"
    ):
        build_catalog(settings)


def test_what_python_printed_is_read_as_lists(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    row = {"id": "a", "title": "sofa", "category": "['Home', \"Men's\"]", "specs": "{'Colour': 'red', 'x': None}"}
    write(landing(settings), [row | {"sizes": "['S', 'M']"}], "catalog.csv")
    build_catalog(settings)
    (item,) = items(settings)
    assert item["category_path"] == ["Home", "Men's"]
    assert [(a["key"], a["value"]) for a in item["attributes"]] == [("Colour", "red"), ("sizes", "M"), ("sizes", "S")]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
def test_a_column_that_counts_the_rows_is_no_attribute(tmp_path: Path, name: str) -> None:
    settings = shop(tmp_path)
    write(landing(settings), [{name: n, "id": f"i{n}", "size": n % 2} for n in range(3)], "catalog.csv")
    assert build_catalog(settings).attribute_columns == ("size",)


def test_columns_that_the_settings_name(tmp_path: Path) -> None:
    settings = shop(tmp_path, columns={"title": "Prod Nm", "price": "netto"})
    write(landing(settings), [{"id": "a", "prod_nm": "sofa", "title": "SEO", "netto": "12,50"}])
    build_catalog(settings)
    (item,) = items(settings)
    assert (item["title"], item["price"]) == ("sofa", 12.5)
    write(landing(settings), [{"id": "a", "title": "sofa"}])
    with pytest.raises(CatalogError, match=r"no column Prod Nm, which SHELFWISE_RAW__COLUMNS \(title\) names"):
        build_catalog(settings)


def test_a_file_that_may_be_the_catalogue_is_named_where_there_is_none(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    (landing(settings) / "artikel.csv").write_text("id,title\n1,a\n")
    with pytest.raises(CatalogError, match=r"Found artikel\.csv: if one of them is it, name it catalog\.\*"):
        build_catalog(settings)
    (landing(settings) / "catalog.xlsx").write_bytes(b"PK")
    with pytest.raises(CatalogError, match=r"catalog\.xlsx: \.xlsx is not read: land it as parquet, csv"):
        build_catalog(settings)


def test_a_script_in_a_description_is_no_text(tmp_path: Path) -> None:
    text = "<p>Soft<br/>sofa</p><script>track(1)</script><style>p {color: red}</style> &amp; chair"
    assert one(shop(tmp_path), title="t", description=text)["description"].split() == ["Soft", "sofa", "&", "chair"]
