"""Research sets in the files that their authors publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demoshop.judged import is_judged_folder, read_items, read_table
from demoshop.judgements import read_judgements
from features.adapters.base import AdapterError
from features.adapters.run import import_logs
from tests.features.adapters.catalog_import import CatalogImport, catalog_import
from tests.features.adapters.shop_of import Shop, shop_of


def write(folder: Path, files: dict[str, str | list[dict[str, Any]]]) -> list[Path]:
    """Texts as they are, rows as Parquet."""
    for name, content in files.items():
        if isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8")
        else:
            pq.write_table(pa.Table.from_pylist(content), folder / name)
    return [folder / name for name in files]


def judged(source: str, folder: Path, files: dict[str, str | list[dict[str, Any]]], **options: str) -> CatalogImport:
    """A judged folder that the demo shop takes."""
    write(folder, files)
    found = catalog_import(source, folder, {name: (folder / name).read_bytes() for name in files}, **options)
    logs = folder / "logs"
    assert is_judged_folder(str(logs))
    assert len(read_items(read_table(logs / "catalog.parquet"))[0]) == len(found.items)
    return found


def judgements(folder: Path) -> set[tuple[str, str, int]]:
    rows = read_judgements(folder / "logs" / "qrels.tsv").to_pylist()
    return {(row["query"], row["item_id"], row["grade"]) for row in rows}


WANDS: dict[str, Any] = {
    "product.csv": "product_id\tproduct_name\tproduct_class\tcategory hierarchy\tproduct_description\t"
    "product_features\trating_count\taverage_rating\treview_count\n"
    "0\tsolid bed\tBeds\tFurniture / Bedroom / Beds\tgood, deep\twidth:64.7|tone:light|tone:light|nothing\t15.0\t4.5"
    '\t14.0\n1\tslow "cooker"\tSlow Cookers|Pots\t\t\t\t\t\t\n',
    "query.csv": 'query_id\tquery\tquery_class\n0\tsalon chair\tMassage Chairs\n1\tbed, "big"\tBeds\n',
    "label.csv": "id\tquery_id\tproduct_id\tlabel\n0\t0\t0\tExact\n1\t1\t1\tPartial\n2\t1\t0\tIrrelevant\n"
    "3\t9\t0\tExact\n4\t0\t1\tPerhaps\n",
}


def test_wands(tmp_path: Path) -> None:
    found = judged("wands", tmp_path, WANDS)
    bed, cooker = found.items["0"], found.items["1"]
    assert (bed["title"], bed["description"], bed["rating"], bed["rating_count"]) == (
        "solid bed",
        "good, deep",
        4.5,
        15.0,
    )
    assert (bed["category_path"], bed["tags"]) == (["Furniture", "Bedroom", "Beds"], ["Beds"])
    assert found.attributes("0") == {"width": ["64.7"], "tone": ["light"]}
    assert (cooker["title"], cooker["tags"]) == ('slow "cooker"', ["Slow Cookers", "Pots"])
    assert judgements(tmp_path) == {("salon chair", "0", 3), ('bed, "big"', "1", 2), ('bed, "big"', "0", 0)}
    told = found.became()
    assert told["Exact", "left out: its query is not in query.csv"] == 1
    assert told["Perhaps", "left out: a label of no known meaning"] == 1


def test_remote_files_are_copied_once_and_those_of_no_role_are_named(tmp_path: Path) -> None:
    for name, content in (WANDS | {"notes.txt": "by Wayfair"}).items():
        with fsspec.open(f"memory://wands/{name}", "w") as stream:
            stream.write(content)
    done: list[str] = []
    found = import_logs(
        "wands", ["memory://wands"], tmp_path / "logs", progress=lambda sentence, share: done.append(sentence)
    )
    assert sorted(s for s in done if "copying" in s) == [f"copying {n}" for n in sorted([*WANDS, "notes.txt"])]
    assert any("notes.txt" in note for note in found.notes)


def test_judgements_that_are_there_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "qrels.tsv").write_text("mine")
    files = [str(file) for file in write(tmp_path, WANDS)]
    with pytest.raises(AdapterError, match=r"already has qrels\.tsv: add --replace"):
        import_logs("wands", files, logs)
    assert [p.name for p in logs.iterdir() if not p.name.startswith(".")] == ["qrels.tsv"]
    import_logs("wands", files, logs, replace=True)
    assert len(judgements(tmp_path)) == 3


def product(key: str, locale: str = "us") -> dict[str, Any]:
    return {
        "product_id": key,
        "product_title": f"Title {key}",
        "product_description": None,
        "product_bullet_point": "First\nsecond",
        "product_brand": "Acme",
        "product_color": "Red",
        "product_locale": locale,
    }


def example(
    query: str, key: str, label: str, locale: str = "us", small: int = 1, split: str = "train"
) -> dict[str, Any]:
    return {
        "example_id": 1,
        "query": query,
        "query_id": 1,
        "product_id": key,
        "product_locale": locale,
        "esci_label": label,
        "small_version": small,
        "large_version": 1,
        "split": split,
    }


ESCI: dict[str, Any] = {
    "shopping_queries_dataset_products.parquet": [product("B1"), product("B2"), product("B1", "jp")],
    "shopping_queries_dataset_examples.parquet": [
        example('12" pan', "B1", "E"),
        example('12" pan', "B2", "S", small=0),
        example("pot", "B1", "C", split="test"),
        example("pot", "B2", "I"),
        example("鍋", "B1", "E", "jp"),
    ],
}


@pytest.mark.many(1)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {('12" pan', "B1", 3), ('12" pan', "B2", 2), ("pot", "B1", 1), ("pot", "B2", 0)}),
        ({"version": "small"}, {('12" pan', "B1", 3), ("pot", "B1", 1), ("pot", "B2", 0)}),
        ({"split": "test"}, {("pot", "B1", 1)}),
        ({"locale": "jp"}, {("鍋", "B1", 3)}),
    ],
)
def test_esci(tmp_path: Path, options: dict[str, str], expected: set[tuple[str, str, int]]) -> None:
    found = judged("esci", tmp_path, ESCI, **options)
    assert judgements(tmp_path) == expected
    item = found.items["B1"]
    assert (item["title"], item["description"], item["brand"]) == ("Title B1", "First\nsecond", "Acme")
    assert found.attributes("B1") == {"color": ["Red"]}
    assert len(found.items) == (1 if options.get("locale") else 2)


def test_esci_with_a_wrong_option_or_file(tmp_path: Path) -> None:
    files = [str(path) for path in write(tmp_path, ESCI)]
    with pytest.raises(AdapterError, match="locale=de"):
        import_logs("esci", files, tmp_path / "logs", options={"locale": "de"})
    with pytest.raises(AdapterError, match=r"the file of examples .* is not among those given"):
        import_logs("esci", files[:1], tmp_path / "logs")


def test_judgements_are_written_over_only_where_asked(tmp_path: Path) -> None:
    files = [str(path) for path in write(tmp_path, ESCI)]
    import_logs("esci", files, tmp_path / "logs")
    with pytest.raises(AdapterError, match="--replace"):
        import_logs("esci", files, tmp_path / "logs")
    import_logs("esci", files, tmp_path / "logs", options={"locale": "jp"}, replace=True)
    assert judgements(tmp_path) == {("鍋", "B1", 3)}


DIGINETICA: dict[str, Any] = {
    "train-queries.csv": "queryId;sessionId;userId;timeframe;duration;eventdate;searchstring.tokens;categoryId;items;"
    "is.test\n1;1;NA;16327074;311;2016-05-09;;16;7,64,8;FALSE\n2;2;5;100;200;2016-05-10;12,13;0;7,8;FALSE\n"
    "3;2;5;900;200;2016-05-10;12,13;0;7,8;TRUE\n",
    "train-clicks.csv": "queryId;timeframe;itemId\n1;16338861;64\n2;200;8\n9;1;8\n",
    "train-purchases.csv": "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n2;5;5000;2016-05-10;1;8\n",
    "products.csv": "itemId;pricelog2;product.name.tokens\n7;10;1,2,3\n8;0;4\n64;3;5\n",
    "product-categories.csv": "itemId;categoryId\n7;16\n8;17\n",
    "train-item-views.csv": "sessionId;userId;itemId;timeframe;eventdate\n1;NA;7;5;2016-05-09\n",
}


def shop(source: str, folder: Path, files: dict[str, Any], **options: str) -> Shop:
    found = shop_of(source, folder, *write(folder, files), options=options)
    assert found.reasons() == {}
    assert not any(report.held for report in found.reports)
    return found


def test_diginetica(tmp_path: Path) -> None:
    found = shop("diginetica", tmp_path, DIGINETICA)
    asked = {r["query_id"]: (r["user_id"], r["session_id"], r["query"], r["shown"]) for r in found.rows("requests")}
    assert asked == {"1": ("1", "1", "", 3), "2": ("5", "2", "12 13", 2)}
    times = {r["query_id"]: r["time"].isoformat() for r in found.rows("requests")}
    assert times["1"] == "2016-05-09T04:32:07.074000+00:00"
    assert [r["item_id"] for r in found.rows("impressions") if r["query_id"] == "1"] == ["7", "64", "8"]
    assert sorted((r["action"], r["item_id"], r["query_id"]) for r in found.rows("events")) == [
        ("click", "64", "1"),
        ("click", "8", "2"),
        ("order", "8", "2"),
    ]
    items = {r["item_id"]: (r["title"], r["price"], r["category_path"]) for r in found.items()}
    assert items == {"7": ("1 2 3", 1023.0, ["16"]), "8": ("4", 0.0, ["17"]), "64": ("5", 7.0, [])}
    told = found.became()
    assert told["query", "left out: held back for the test"] == 1
    assert told["click", "left out: its query is not there"] == 1
    assert told["item view", "left out: a page seen outside of search"] == 1


X = "\x18"
JD: dict[str, Any] = {
    "release_data.txt": f"12{X}32\t456_457_789\t3.0_0.0_1.0\t323{X}328_-1_12{X}54_12{X}54_9\t889_256_345_346_1\t"
    "ORD_CLICK_CART_CLICK_FLW\t0_12_4_5_6_60\n7\t456\t0.0\t\t\t\t0\n",
    "product_data.txt": f"456\t12{X}3\t1\t5\t1\t2\t3\t4\t5\t6\t\t\t77\n889\t1\t\t\t1\t\t\t\t\t\t\t\t\n",
}


@pytest.mark.many(1)
@pytest.mark.parametrize("header", [False, True])
def test_jdsearch(tmp_path: Path, header: bool) -> None:
    names = "query\tcandidate_wid_list\tcandidate_label_list\thistory_qry_list\thistory_wid_list\thistory_type_list"
    text = f"{names}\thistory_time_list\n" if header else ""
    files = JD | {"release_data.txt": text + JD["release_data.txt"]}
    found = shop("jdsearch", tmp_path, files, last="2022-10-17")
    asked = sorted((r["user_id"], r["time"].isoformat()[11:19], r["query"], r["shown"]) for r in found.rows("requests"))
    assert [row[1:] for row in asked] == [
        ("11:58:33", "323 328", 0),
        ("11:58:49", "12 54", 0),
        ("11:59:00", "9", 0),
        ("12:00:00", "12 32", 3),
        ("12:00:00", "7", 1),
    ]
    assert len({row[0] for row in asked}) == 2
    events = sorted((r["action"], r["item_id"], r["query_id"] is None) for r in found.rows("events"))
    assert events == [
        ("cart", "345", False),
        ("click", "256", True),
        ("click", "346", False),
        ("click", "789", False),
        ("order", "456", False),
        ("order", "889", False),
    ]
    item = next(row for row in found.items() if row["item_id"] == "456")
    assert (item["title"], item["brand"], item["category_path"]) == ("12 3", "5", ["2", "4", "6"])
    assert found.became()["FLW", "left out: no click, cart or order"] == 1
    assert found.became()["shown, label 0.0", "hit of its request"] == 2


def line(**row: Any) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def search(session: int, shown: list[int], clicked: list[int], bought: list[int], index: int | None = 60) -> str:
    return line(
        user_id=session,
        session_id=session,
        impressed_item_ids=shown,
        clicked_item_ids=clicked,
        purchased_item_ids=bought,
        time_index=index,
        query="羊毛大衣",
        split="train",
    )


KUAI: dict[str, Any] = {
    "recall.jsonl": search(1, [38, 39, 40], [39], [39])
    + search(2, [38], [], [], 100_000)
    + search(3, [38], [], [], None)
    + "{broken\n",
    "items.jsonl": line(
        item_id=38,
        item_title="大衣",
        brand_name="金粟兰",
        seller_name="店",
        category_level1_id=1,
        category_level1_name="女装",
        category_level2_name="皮草",
        category_level3_name="UNKNOWN",
    )
    + line(item_id=39, item_title="裙", brand_name="无品牌"),
    "relevance.jsonl": line(query="裙", item_title="裙", score=3),
    "users.jsonl": line(user_id=1, gender="M", fre_country="中国", fre_city="鞍山"),
}


@pytest.mark.many(1)
@pytest.mark.parametrize(("tick", "last"), [("1", "2025-03-02T03:46:40"), ("60", "2025-05-09T10:40:00")])
def test_kuaisearch(tmp_path: Path, tick: str, last: str) -> None:
    found = shop("kuaisearch", tmp_path, KUAI, start="2025-03-01", tick=tick)
    asked = {r["query_id"]: (r["user_id"], r["query"], r["shown"], r["country"]) for r in found.rows("requests")}
    assert asked == {"1": ("1", "羊毛大衣", 3, "中国"), "2": ("2", "羊毛大衣", 1, None)}
    assert max(r["time"] for r in found.rows("requests")).isoformat().startswith(last)
    assert sorted((r["action"], r["item_id"], r["query_id"]) for r in found.rows("events")) == [
        ("click", "39", "1"),
        ("order", "39", "1"),
    ]
    coat, skirt = sorted(found.items(), key=lambda row: row["item_id"])
    assert (coat["title"], coat["brand"], coat["category_path"]) == ("大衣", "金粟兰", ["女装", "皮草"])
    assert (skirt["brand"], skirt["category_path"]) == (None, [])
    assert found.imported.notes[0] == "Not read, as nothing here comes of them: relevance.jsonl."
    told = found.became()
    assert told["search", "left out: no time_index"] == 1
    assert told["search", "left out: no session_id"] == 1


@pytest.mark.parametrize(("source", "options"), [("kuaisearch", {"tick": "x"}), ("jdsearch", {"last": "yesterday"})])
def test_options_that_say_nothing(tmp_path: Path, source: str, options: dict[str, str]) -> None:
    files = write(tmp_path, KUAI | JD)
    with pytest.raises(AdapterError, match=r"is no (whole number|day)"):
        import_logs(source, [str(file) for file in files], tmp_path / "logs", options=options)
