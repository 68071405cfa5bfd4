"""Exports of Shopify, WooCommerce and Magento, as these programs write them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.adapters.base import AdapterError
from features.adapters.run import import_logs
from tests.features.adapters.catalog_import import catalog_import

SHOPIFY = """Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,\
Option2 Name,Option2 Value,Variant SKU,Variant Price,Variant Barcode,Image Src,Color (product.metafields.c.color),Status
tee,Plain Tee,<p>Soft <b>cotton</b></p>,Acme,Apparel > Clothing > Shirts,Shirts,"cotton, summer",true,Color,Red,Size,S,\
TEE-R-S,19.90,,https://x/1.jpg,reddish,active
tee,,,,,,,,,Red,,M,TEE-R-M,18.90,,https://x/2.jpg,,
tee,,,,,,,,,Blue,,S,,19.90,4006381333931,,,
tee,,,,,,,,,,,,,,,https://x/3.jpg,,
mug,Mug,"<ul><li>Dish &amp; washer</li></ul>",Acme,,Mugs,,true,Title,Default Title,,,,9.00,,,,active
old,Old,,,,,,true,Size,S,,,OLD-S,1,,,,archived
old,,,,,,,,,M,,,OLD-M,1,,,,
hid,Hidden,,,,,,false,Title,Default Title,,,,1,,,,active
"""


def test_shopify(tmp_path: Path) -> None:
    found = catalog_import("shopify", tmp_path, {"products_export.csv": SHOPIFY})
    tee, mug = found.items["tee"], found.items["mug"]
    assert sorted(found.items) == ["mug", "tee"]
    assert (tee["title"], tee["description"], tee["brand"], tee["price"]) == ("Plain Tee", "Soft cotton", "Acme", 18.9)
    assert (tee["category_path"], tee["tags"]) == (["Apparel", "Clothing", "Shirts"], ["cotton", "summer"])
    assert found.attributes("tee") == {"Color": ["Blue", "Red", "reddish"], "Size": ["M", "S"]}
    assert (mug["category_path"], mug["price"], mug["attributes"]) == (["Mugs"], 9.0, [])
    assert found.aliases == {"TEE-R-S": "tee", "TEE-R-M": "tee", "4006381333931": "tee"}
    assert found.became() == {
        ("picture", "part of an item"): 1,
        ("product", "item"): 2,
        ("product", "left out: archived"): 1,
        ("product", "left out: not published"): 1,
        ("variant", "left out: archived"): 1,
        ("variant", "part of an item"): 2,
    }
    assert "names product or variant ids" in found.imported.notes[0]


@pytest.mark.parametrize(("options", "item"), [({}, "77"), ({"id": "handle"}, "tee")])
def test_shopify_by_matrixify_has_ids(tmp_path: Path, options: dict[str, str], item: str) -> None:
    text = "ID,Handle,Title,Variant ID,Variant SKU,Variant Price\n77,tee,Tee,771,T-S,5\n77,tee,,772,T-M,4\n"
    found = catalog_import("shopify", tmp_path, {"Products.csv": text}, **options)
    assert [(key, row["price"]) for key, row in found.items.items()] == [(item, 4.0)]
    assert {key for key, led in found.aliases.items() if led == item} >= {"771", "772", "T-S", "T-M"}
    assert found.imported.notes == []


WOO = """ID,Type,SKU,Name,Published,Short description,Description,Sale price,Regular price,Categories,Tags,Parent,\
Attribute 1 name,Attribute 1 value(s)
10,variable,HOOD,Hoodie,1,Warm,Long one,,,"Clothing > Hoodies, Food\\, Drink > Fun",warm,,Color,"Blue, Green"
11,variation,HOOD-B,Hoodie - Blue,1,,,35,45,,,HOOD,Color,Blue
12,variation,,Hoodie - Green,1,,,,45,,,id:10,Color,Green
13,"simple, virtual",CAP,Cap,1,Round,,0,16,Clothing > Caps,,,,
14,simple,DRAFT,Draft,-1,,,,1,,,,,
15,simple,MINE,Mine,0,,,,1,,,,,
16,variation,LOST,Lost,1,,,,1,,,id:99,,
"""


def test_woocommerce(tmp_path: Path) -> None:
    found = catalog_import("woocommerce", tmp_path, {"wc-product-export.csv": "\ufeff" + WOO})
    hoodie, cap = found.items["10"], found.items["13"]
    assert sorted(found.items) == ["10", "13"]
    assert (hoodie["title"], hoodie["description"], hoodie["price"]) == ("Hoodie", "Long one", 35.0)
    assert (hoodie["category_path"], hoodie["tags"]) == (["Clothing", "Hoodies"], ["warm", "Food, Drink", "Fun"])
    assert found.attributes("10") == {"Color": ["Blue", "Green"]}
    assert (cap["price"], cap["description"], cap["category_path"]) == (16.0, "Round", ["Clothing", "Caps"])
    assert found.aliases == {"11": "10", "12": "10", "HOOD": "10", "HOOD-B": "10", "CAP": "13"}
    assert found.became() == {
        ("simple", "item"): 1,
        ("simple", "left out: draft"): 1,
        ("simple", "left out: private"): 1,
        ("variable", "item"): 1,
        ("variation", "left out: its parent is not in the export"): 1,
        ("variation", "part of an item"): 2,
    }


def test_woocommerce_in_german_and_in_two_files(tmp_path: Path) -> None:
    first = "ID;Typ;Artikelnummer;Name;Regulärer Preis;Kategorien\n1;simple;A;Lampe;1.299,50;Haus > Licht\n"
    second = "ID;Typ;Artikelnummer;Name;Regulärer Preis;Kategorien\n2;simple;B;Tisch;99,00;Haus\n"
    files = {"a.csv": first.encode("cp1252"), "b.csv": second}
    found = catalog_import("woocommerce", tmp_path, files)  # type: ignore[arg-type]
    assert {key: (row["title"], row["price"]) for key, row in found.items.items()} == {
        "1": ("Lampe", 1299.5),
        "2": ("Tisch", 99.0),
    }


MAGENTO = """sku,store_view_code,attribute_set_code,product_type,categories,name,description,product_online,price,\
special_price,visibility,additional_attributes,configurable_variations,created_at
J-S,,Top,simple,"Default Category/Men,Default Category/Men/Tops",Jacket S,d,1,45.0,,Not Visible Individually,\
"color=Blue,size=S",,2026-01-02
J,,Top,configurable,"Default Category/Men,Default Category/Men/Tops",Jacket,Long,1,,,"Catalog, Search",\
"material=Wool|Cotton,manufacturer=Acme","sku=J-S,size=S|sku=J-M,size=M",2026-01-01
J,de,,,,Jacke,Lang,,,,,,,
J-M,,Top,simple,,Jacket M,d,1,47.0,,Not Visible Individually,"color=Blue,size=M",,
B,,Bag,simple,Default Category/Gear,Bag,,1,30,25,"Catalog, Search",,,
O,,Bag,simple,,Off,,2,30,,"Catalog, Search",,,
N,,Bag,simple,,Nowhere,,1,30,,Not Visible Individually,,,
"""


@pytest.mark.parametrize(("store", "title"), [("", "Jacket"), ("de", "Jacke")])
def test_magento(tmp_path: Path, store: str, title: str) -> None:
    options = {"store": store} if store else {}
    found = catalog_import("magento", tmp_path, {"catalog_product.csv": MAGENTO}, **options)
    jacket, bag = found.items["J"], found.items["B"]
    assert sorted(found.items) == ["B", "J"]
    assert (jacket["title"], jacket["brand"], jacket["price"]) == (title, "Acme", 45.0)
    assert jacket["category_path"] == ["Men", "Tops"]
    assert found.attributes("J") == {"color": ["Blue"], "material": ["Cotton", "Wool"], "size": ["M", "S"]}
    assert (bag["price"], bag["category_path"]) == (25.0, ["Gear"])
    assert found.aliases == {"J-S": "J", "J-M": "J"}
    told = found.became()
    assert told["simple", "left out: disabled"] == told["simple", "left out: not visible individually"] == 1
    assert told["variation", "part of an item"] == 2
    assert told.get(("store view", "left out: texts of the store view de"), 0) == (0 if store else 1)


def test_lines_that_are_no_rows_are_counted(tmp_path: Path) -> None:
    found = catalog_import("woocommerce", tmp_path, {"a.csv": WOO + "17,simple\n"})
    assert found.became()["line", "left out: not the columns of its file"] == 1


@pytest.mark.parametrize("name", ["row_number", "ROW_NUMBER", "rowid"])
def test_a_column_named_as_the_number_of_a_row(tmp_path: Path, name: str) -> None:
    text = f"{name},Handle,Title,Option1 Name,Option1 Value\n7,tee,Tee,Size,S\n7,tee,,Colour,M\n7,mug,Mug,,\n"
    found = catalog_import("shopify", tmp_path, {"a.csv": text})
    assert {key: row["title"] for key, row in found.items.items()} == {"tee": "Tee", "mug": "Mug"}
    assert found.attributes("tee") == {"Size": ["M", "S"]}


def test_the_option_of_a_handle_is_the_first_that_is_named(tmp_path: Path) -> None:
    first = "Handle,Title,Option1 Name,Option1 Value,Status\n,Lost,,,\ntee,,,S,\ntee,Tee,Size,M,active\n"
    second = "HANDLE,TITLE,OPTION1 NAME,OPTION1 VALUE,STATUS\ntee,,Colour,L,draft\nmug,Mug,,,DRAFT\n,,,,active\n"
    found = catalog_import("shopify", tmp_path, {"a.csv": first, "b.csv": second})
    assert found.attributes("tee") == {"Size": ["L", "M", "S"]}
    assert found.became() == {
        ("product", "item"): 1,
        ("product", "left out: draft"): 1,
        ("product", "left out: no handle"): 1,
        ("picture", "left out: no handle"): 1,
        ("variant", "part of an item"): 2,
    }


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u3000 "])
@pytest.mark.parametrize("length", [3, 400])
def test_blanks_around_a_text(tmp_path: Path, blank: str, length: int) -> None:
    texts = ["a" * length, blank + "b" * length, "c" * length + blank, blank + "d" * length + blank, blank * length]
    text = "Handle,Title\n" + "".join(f"{n},{text}\n" for n, text in enumerate(texts))
    (tmp_path / "a.csv").write_text(text)
    import_logs("shopify", [str(tmp_path / "a.csv")], tmp_path / "logs")
    rows = pq.ParquetFile(tmp_path / "logs" / "catalog.parquet").read().to_pylist()
    titles = {row["item_id"]: row["title"] for row in rows}
    assert titles == {str(n): letter * length for n, letter in enumerate("abcd")} | {"4": None}


@pytest.mark.parametrize(
    ("source", "text", "says"),
    [
        ("shopify", "sku,name\n1,a\n", "this is no export of Shopify: it has no column Handle. Found: sku, name"),
        ("woocommerce", "Handle,Title\n1,a\n", "no column ID or SKU"),
        ("magento", "sku,name\n1,a\n", "no column product_type or attribute_set_code or categories"),
        ("shopify", "\n", "a.csv is empty: it has no header line"),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path: Path, source: str, text: str, says: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(AdapterError) as told:
        import_logs(source, [str(tmp_path / "a.csv")], tmp_path / "logs")
    assert says in str(told.value)
