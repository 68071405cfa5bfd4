"""Variants of a product are one item: how exports say so, and that a log that names a variant leads to the product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import build_sessions, days_of_other_aliases
from features.catalog import CatalogReport, build_catalog
from features.engine import open_engine
from features.variants import aliases_key, item_aliases
from infra.contract.partitions import partition_file
from infra.settings import Settings
from tests.features.catalog_files import items, landing
from tests.features.raw_log import DAY, event, land, ndjson, next_day, query, shop, stored


def built(settings: Settings, text: str | list[Any], name: str = "catalog.csv") -> CatalogReport:
    folder = landing(settings)
    for old in folder.glob("catalog.*"):
        old.unlink()
    if isinstance(text, str):
        (folder / name).write_text(text, encoding="utf-8")
    else:
        (folder / "catalog.ndjson").write_text(ndjson(text))
    report = build_catalog(settings)
    assert report.rows_in == report.items + report.older_versions + report.variants + sum(report.reasons.values())
    return report


def aliases(settings: Settings) -> dict[str, str]:
    with open_engine(settings) as engine:
        table = item_aliases(engine, settings)
        return {} if table is None else dict(engine.con.execute(f"FROM {table.name}").fetchall())


def attributes(item: dict[str, Any], *keys: str) -> dict[str, list[str]]:
    return {key: [a["value"] for a in item["attributes"] if a["key"] == key] for key in keys}


SHOPIFY = """Handle,Title,Body HTML,Vendor,Type,Tags,Option1 Name,Option1 Value,Option2 Name,Option2 Value,{sku},{cost}
tee,Plain Tee,<p>Soft <b>cotton</b></p>,Acme,Shirts,"cotton, summer",Color,Red,Size,S,TEE-R-S,19.90
tee,,,,,,,Red,,M,,18.90
tee,,,,,,,Blue,,S,TEE-B-S,19.90
tee,,,,,,,,,,,
mug,Mug,,Acme,Mugs,,Title,Default Title,,,,9.00
"""


@pytest.mark.parametrize(("sku", "cost"), [("Variant SKU", "Variant Price"), ("variant sku", "VARIANT PRICE")])
def test_shopify_rows_of_a_handle_with_missing_skus(tmp_path: Path, sku: str, cost: str) -> None:
    settings = shop(tmp_path)
    report = built(settings, SHOPIFY.format(sku=sku, cost=cost))
    mug, tee = items(settings)
    assert (tee["item_id"], tee["title"], tee["description"], tee["price"]) == ("tee", "Plain Tee", "Soft cotton", 18.9)
    assert (tee["category_path"], tee["tags"]) == (["Shirts"], ["cotton", "summer"])
    assert attributes(tee, "Color", "Size") == {"Color": ["Blue", "Red"], "Size": ["M", "S"]}
    assert (mug["item_id"], mug["price"], mug["attributes"]) == ("mug", 9.0, [])
    assert aliases(settings) == {"TEE-R-S": "tee", "TEE-B-S": "tee"}
    assert (report.items, report.variants, report.reasons) == (2, 3, {})


WOO = """ID,Type,SKU,Name,Sale price,Regular price,Categories,Parent,Attribute 1 name,Attribute 1 value(s)
10,variable,HOOD,Hoodie,,,Clothing > Hoodies,,Color,"Blue, Green"
11,variation,{first},Hoodie - Blue,35,45,,{parent},Color,Blue
12,variation,HOOD-G,Hoodie - Green,,45,,{parent},Color,Green
13,simple,CAP,Cap,,16,Clothing > Caps,,,
"""


@pytest.mark.many(1)
@pytest.mark.parametrize(
    ("first", "parent", "ids", "led"),
    [
        ("HOOD-B", "HOOD", ["CAP", "HOOD"], {"HOOD-B": "HOOD", "HOOD-G": "HOOD"}),
        ("HOOD-B", "id:10", ["CAP", "HOOD"], {"HOOD-B": "HOOD", "HOOD-G": "HOOD"}),
        ("", "HOOD", ["10", "13"], {"11": "10", "12": "10"}),
        ("", "id:10", ["10", "13"], {"11": "10", "12": "10"}),
    ],
)
def test_woocommerce_variations_of_a_parent(
    tmp_path: Path, first: str, parent: str, ids: list[str], led: dict[str, str]
) -> None:
    settings = shop(tmp_path)
    built(settings, WOO.format(first=first, parent=parent))
    found = {row["item_id"]: row for row in items(settings)}
    hoodie = next(row for row in found.values() if row["title"] == "Hoodie")
    assert sorted(found) == ids
    assert (hoodie["price"], hoodie["category_path"]) == (35.0, ["Clothing", "Hoodies"])
    assert attributes(hoodie, "Color") == {"Color": ["Blue", "Green"]}
    assert aliases(settings) == led


MAGENTO = """sku,product_type,categories,name,price,special_price,additional_attributes,configurable_variations
J-S,simple,"Default/Men,Default/Men/Tops",Jacket S,45.0,,"color=Blue,size=S",
J-M,simple,"Default/Men,Default/Men/Tops",Jacket M,47.0,,"color=Blue,size=M",
J,configurable,"Default/Men,Default/Men/Tops",Jacket,,,"material=Wool|Cotton",{variations}
B,simple,Default/Gear,Bag,30,25,,
"""


@pytest.mark.parametrize(
    "variations",
    ['"sku=J-S,color=Blue,size=S|sku=J-M,color=Blue,size=M"', '"color=Blue,sku=J-S|color=Blue,sku=J-M"'],
)
def test_magento_configurable_variations(tmp_path: Path, variations: str) -> None:
    settings = shop(tmp_path)
    built(settings, MAGENTO.format(variations=variations))
    bag, jacket = items(settings)
    assert (bag["item_id"], bag["price"]) == ("B", 25.0)
    assert (jacket["item_id"], jacket["title"], jacket["price"]) == ("J", "Jacket", 45.0)
    assert jacket["category_path"] == ["Default", "Men", "Tops"]
    assert attributes(jacket, "color", "size", "material") == {
        "color": ["Blue"],
        "size": ["M", "S"],
        "material": ["Cotton", "Wool"],
    }
    assert aliases(settings) == {"J-S": "J", "J-M": "J"}


@pytest.mark.many(1)
@pytest.mark.parametrize("group", ["item group id", "item_group_id", "g:item_group_id", "Item Group ID"])
def test_a_google_item_group_is_one_item(tmp_path: Path, group: str) -> None:
    settings = shop(tmp_path)
    rows = [
        ["id", "title", "price", "sale price", group, "color"],
        ["S1", "Shoe red", "50.00 EUR", "", "G1", "red"],
        ["S2", "Shoe blue", "50.00 EUR", "45.00 EUR", "G1", "blue"],
        ["B1", "Bag", "1,250.00 USD", "", "", "red"],
    ]
    built(settings, "".join("\t".join(row) + "\n" for row in rows), "catalog.tsv")
    bag, shoe = items(settings)
    assert (bag["item_id"], bag["price"]) == ("B1", 1250.0)
    assert (shoe["item_id"], shoe["title"], shoe["price"]) == ("G1", "Shoe red", 45.0)
    assert attributes(shoe, "color") == {"color": ["blue", "red"]}
    assert aliases(settings) == {"S1": "G1", "S2": "G1"}


def test_product_groups_of_schema_org(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    variants = [{"@type": "Product", "sku": "g1", "offers": {"price": 5}}, {"sku": "g2", "offers": [{"price": 4}]}]
    rows = [
        {"@type": "ProductGroup", "productGroupID": "g", "name": "Group", "hasVariant": variants},
        {"@type": "Product", "sku": "h1", "name": "H red", "inProductGroupWithID": "h", "offers": {"price": 9}},
        {"@type": "Product", "sku": "h2", "name": "H blue", "isVariantOf": {"productGroupID": "h"}},
        {"@type": "ProductGroup", "productGroupID": "h", "name": "H"},
        {"@type": "Product", "sku": "single", "name": "Single"},
    ]
    built(settings, rows)
    found = {row["item_id"]: (row["title"], row["price"]) for row in items(settings)}
    assert found == {"g": ("Group", 4.0), "h": ("H", 9.0), "single": ("Single", None)}
    assert aliases(settings) == {"g1": "g", "g2": "g", "h1": "h", "h2": "h"}


@pytest.mark.parametrize("nested", [[{"id": 1, "sku": "a-s"}, {"id": 2, "sku": "a-m"}], '[{"id": 1}, {"id": 2}]'])
def test_variants_nested_in_their_product(tmp_path: Path, nested: Any) -> None:
    settings = shop(tmp_path)
    built(settings, [{"id": "a", "title": "A", "variants": nested}, {"id": "b", "title": "B"}])
    assert [row["item_id"] for row in items(settings)] == ["a", "b"]
    led = aliases(settings)
    assert {key: led[key] for key in ("1", "2")} == {"1": "a", "2": "a"}
    assert set(led.values()) == {"a"}


def test_a_parent_that_is_not_there_is_made_of_its_variants(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    rows = [
        {"sku": "p-1", "parent_sku": "p", "name": "P 1", "brand": ""},
        {"sku": "p-2", "parent_sku": "p", "brand": "X"},
    ]
    report = built(settings, [*rows, {"sku": "q", "parent_sku": None, "name": "Q"}])
    assert [(row["item_id"], row["title"], row["brand"]) for row in items(settings)] == [
        ("p", "P 1", "X"),
        ("q", "Q", None),
    ]
    assert (report.items, report.variants) == (2, 1)


def log_of_variants(settings: Settings) -> None:
    asked = [query("q1", query_response_hit_ids=["TEE-R-S", "mug", "TEE-B-S", "tee"])]
    basket = {"items": [{"sku": "TEE-B-S"}, {"sku": "mug"}]}
    events = [
        event("click", "TEE-R-S", query_id="q1"),
        event("add_to_cart", "TEE-B-S", "10:02:00"),
        event("purchase", None, "10:03:00", event_attributes=basket),
        event("click", "tee", "10:04:00"),
    ]
    land(settings, asked, events)


def test_a_log_that_names_variants_leads_to_the_product(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    built(settings, SHOPIFY.format(sku="Variant SKU", cost="Variant Price"))
    log_of_variants(settings)
    (report,) = build_sessions(settings, [DAY])
    assert (report.held, report.reasons) == (False, {})
    shown = [(row["item_id"], row["position"]) for row in stored(settings, "impressions")]
    assert shown == [("tee", 1), ("mug", 2)]
    assert sorted((row["action"], row["item_id"], row["query_id"]) for row in stored(settings, "events")) == [
        ("cart", "tee", "q1"),
        ("click", "tee", "q1"),
        ("click", "tee", "q1"),
        ("order", "mug", "q1"),
        ("order", "tee", "q1"),
    ]


def tables(settings: Settings) -> list[int]:
    """When the tables of the first day were last written."""
    names = ("requests", "impressions", "events")
    return [partition_file(settings.paths.sessions / name, DAY).stat().st_mtime_ns for name in names]


@pytest.mark.slow
def test_a_new_products_variants_leave_old_days_and_a_changed_alias_does_not(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    catalog = SHOPIFY.format(sku="Variant SKU", cost="Variant Price")
    built(settings, catalog)
    log_of_variants(settings)
    build_sessions(settings, [DAY])
    first, key = tables(settings), aliases_key(settings, [partition_file(settings.paths.sessions / "events", DAY)])
    assert key

    cap = "cap,Cap,,Acme,Caps,,Color,Red,,,CAP-R,5.00\ncap,,,,,,,Blue,,,CAP-B,5.00\n"
    built(settings, catalog + cap)
    land(settings, [query("q2", day=next_day(), query_response_hit_ids=["CAP-R"])], [], day=next_day())
    build_sessions(settings, [DAY, next_day()])
    assert tables(settings) == first
    assert days_of_other_aliases(settings) == []
    assert [row["item_id"] for row in stored(settings, "impressions", next_day())] == ["cap"]

    built(settings, catalog.replace("tee,,,,,,,Blue", "hat,Hat,,,,,,Blue"))
    assert aliases_key(settings, [partition_file(settings.paths.sessions / "events", DAY)]) != key
    assert days_of_other_aliases(settings) == [DAY, next_day()], "the cap has gone as well"
    build_sessions(settings, [DAY, next_day()])
    assert days_of_other_aliases(settings) == []
    assert tables(settings) != first
    assert {row["item_id"] for row in stored(settings, "impressions")} == {"tee", "mug", "hat"}


def test_without_variants_there_are_no_aliases(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    built(settings, [{"id": "a"}, {"id": "b"}])
    log_of_variants(settings)
    build_sessions(settings, [DAY])
    assert aliases(settings) == {}
    assert aliases_key(settings, [partition_file(settings.paths.sessions / "events", DAY)]) == ""
