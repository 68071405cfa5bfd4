"""Google Merchant feeds and schema.org dumps."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from features.adapters.base import AdapterError
from features.adapters.feed_xml import _products
from features.adapters.run import import_logs
from tests.features.adapters.catalog_import import catalog_import

TSV = [
    ["id", "title", "link", "price", "sale price", "brand", "gtin", "item group id", "color", "product type"],
    ["S1", "Shoe red", "https://x", "50.00 EUR", "", "Acme", "4006381333931", "G1", "red", "Home > Shoes"],
    ["S2", "Shoe blue", "https://x", "50.00 EUR", "45.00 EUR", "Acme", "", "G1", "blue", "Home > Shoes"],
    ["B1", "Bag", "https://x", "1,250.00 USD", "", "Acme", "", "", "", "Home > Bags"],
    ["B1", "Bag again", "https://x", "1.00 USD", "", "", "", "", "", ""],
    ["B2", "ragged"],
]


@pytest.mark.parametrize("marks", [" ", "_"])
def test_a_merchant_table(tmp_path: Path, marks: str) -> None:
    rows = [[name.replace(" ", marks) for name in TSV[0]], *TSV[1:]]
    found = catalog_import("merchant", tmp_path, {"feed.txt": "".join("\t".join(row) + "\n" for row in rows)})
    shoe = found.items["G1"]
    assert sorted(found.items) == ["B1", "G1"]
    assert (shoe["title"], shoe["price"], shoe["category_path"]) == ("Shoe red", 45.0, ["Home", "Shoes"])
    assert found.attributes("G1") == {"color": ["blue", "red"]}
    assert (found.items["B1"]["title"], found.items["B1"]["price"]) == ("Bag", 1250.0)
    assert found.aliases == {"S1": "G1", "S2": "G1", "4006381333931": "G1"}
    told = found.became()
    assert told["product", "left out: an id that came before"] == 1
    assert told["line", "left out: not the columns of its file"] == 1


def test_of_several_feeds_the_first_counts(tmp_path: Path) -> None:
    head = "id\ttitle\tlink\tprice\n"
    files: dict[str, str | bytes] = {
        "c.tsv": head + "S1\tThird\tx\t1 EUR\n",
        "b.tsv": head + "T\tTable\tx\t1 EUR\nT\tAgain\tx\t1 EUR\n\tNo id\tx\t1 EUR\n\tNo id\tx\t1 EUR\n",
        "a.xml": RSS,
    }
    found = catalog_import("merchant", tmp_path, files)
    assert {key: row["title"] for key, row in found.items.items()} == {"G1": "Shoe red", "T": "Table"}
    told = found.became()
    assert told["product", "left out: an id that came before"] == 2
    assert told["product", "left out: no id"] == 3


RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel>
<title>Shop</title><link>https://x</link><description>All of it</description>
<item><g:id>S1</g:id><title>Shoe &amp; red</title><g:title>Shoe red</g:title>
<description><![CDATA[<p>Soft</p>]]></description><g:price>50.00 EUR</g:price><g:sale_price>45.00 EUR</g:sale_price>
<g:item_group_id>G1</g:item_group_id><g:color>red</g:color><g:product_type>Home &gt; Shoes</g:product_type>
<g:product_type>Sale &gt; Footwear</g:product_type>
<g:shipping><g:country>US</g:country><g:price>1 USD</g:price></g:shipping>
<g:product_detail><g:section_name>General</g:section_name><g:attribute_name>Sole</g:attribute_name>
<g:attribute_value>Rubber</g:attribute_value></g:product_detail></item>
<item><g:id>S2</g:id><title>Shoe blue</title><g:price>50.00 EUR</g:price><g:item_group_id>G1</g:item_group_id></item>
<item><title>No id</title></item>
</channel></rss>"""
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<title>Shop</title><entry><id>urn:1</id><g:id>L</g:id><title>Lamp</title><summary>Nice</summary><link href="x"/>
<g:price>5 EUR</g:price></entry></feed>"""


@pytest.mark.parametrize("packed", [False, True])
def test_a_merchant_feed_of_rss(tmp_path: Path, packed: bool) -> None:
    content = gzip.compress(RSS.encode()) if packed else RSS.encode()
    found = catalog_import("merchant", tmp_path, {f"feed.xml{'.gz' if packed else ''}": content})
    (shoe,) = found.items.values()
    assert (shoe["item_id"], shoe["title"], shoe["description"], shoe["price"]) == ("G1", "Shoe red", "Soft", 45.0)
    assert (shoe["category_path"], shoe["tags"]) == (["Home", "Shoes"], ["Sale", "Footwear"])
    assert found.attributes("G1") == {"Sole": ["Rubber"], "color": ["red"]}
    assert found.aliases == {"S1": "G1", "S2": "G1"}
    assert found.became()["product", "left out: no id"] == 1


def test_a_merchant_feed_of_atom(tmp_path: Path) -> None:
    found = catalog_import("merchant", tmp_path, {"feed.xml": ATOM})
    assert {key: (row["title"], row["description"], row["price"]) for key, row in found.items.items()} == {
        "L": ("Lamp", "Nice", 5.0)
    }


def test_a_feed_that_breaks_off_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_text(RSS[: RSS.index("<item><g:id>S2")])
    with pytest.raises(AdapterError, match=r"feed\.xml is no whole XML .*nothing was written"):
        import_logs("merchant", [str(tmp_path / "feed.xml")], tmp_path / "logs")
    assert not (tmp_path / "logs" / "catalog.parquet").exists()


def test_xml_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<urlset><url><loc>https://x</loc></url></urlset>")
    with pytest.raises(AdapterError, match="no feed of products: it has neither item nor entry"):
        import_logs("merchant", [str(tmp_path / "a.xml")], tmp_path / "logs")


def test_a_feed_is_read_in_bounded_memory(tmp_path: Path) -> None:
    def peak(products: int) -> int:
        path = tmp_path / f"{products}.xml"
        head, tail = "<rss><channel>", "</channel></rss>"
        item = "<item><id>{n}</id><title>{n}</title><note>" + "x" * 500 + "</note><note><b>y</b></note></item>\n"
        path.write_text(head + "".join(item.format(n=n) for n in range(products)) + tail)
        tracemalloc.start()
        with path.open("rb") as stream:
            assert sum(1 for _ in _products(stream)) == products
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(20_000) < 2 * peak(2_000)


GRAPH = {
    "@context": "https://schema.org",
    "@graph": [
        {"@type": "WebPage"},
        {
            "@type": ["Product", "Thing"],
            "sku": "a",
            "name": "A",
            "category": "Home > Lamps",
            "brand": {"@type": "Brand", "name": "Acme"},
            "offers": [{"@type": "Offer", "price": "12.00"}, {"price": "10"}],
            "aggregateRating": {"ratingValue": "4.4", "reviewCount": 89},
            "additionalProperty": [{"@type": "PropertyValue", "name": "Watt", "value": 5}],
            "image": ["https://x/1.jpg"],
        },
        {
            "@type": "http://schema.org/ProductGroup",
            "productGroupID": "g",
            "name": "G",
            "hasVariant": [{"sku": "g1", "offers": {"price": 5}}, {"sku": "g2", "offers": {"price": 4}}],
        },
        {"@type": "Product", "sku": "h1", "name": "H", "isVariantOf": {"productGroupID": "h"}},
    ],
}
LINES: list[Any] = [
    GRAPH,
    {"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": {"@type": "Product", "sku": "z"}}]},
    {"@type": "Product", "sku": "a", "name": "seen again"},
    {"@type": "WebPage", "mainEntity": {"@type": "Product", "@id": "#p", "name": "P"}},
    {"@type": "Product", "name": "no id"},
]


def test_schema_org_in_one_document(tmp_path: Path) -> None:
    found = catalog_import("jsonld", tmp_path, {"dump.json": json.dumps(GRAPH, indent=1)})
    lamp = found.items["a"]
    assert sorted(found.items) == ["a", "g", "h"]
    assert (lamp["title"], lamp["brand"], lamp["price"], lamp["rating"]) == ("A", "Acme", 10.0, 4.4)
    assert (lamp["category_path"], lamp["rating_count"]) == (["Home", "Lamps"], 89.0)
    assert found.attributes("a") == {"Watt": ["5"]}
    assert found.items["g"]["price"] == 4.0
    assert found.aliases == {"g1": "g", "g2": "g", "h1": "h"}


def test_schema_org_a_document_a_line(tmp_path: Path) -> None:
    text = "".join(json.dumps(line) + "\n" for line in LINES) + "{broken\n"
    found = catalog_import("jsonld", tmp_path, {"dump.ndjson": text})
    assert {key: row["title"] for key, row in found.items.items()} == {
        "#p": "P",
        "a": "A",
        "g": "G",
        "h": "H",
        "z": None,
    }
    assert found.became() == {
        ("Product", "item"): 3,
        ("Product", "left out: no id"): 1,
        ("Product", "left out: the same product again"): 1,
        ("Product", "variant"): 1,
        ("ProductGroup", "item"): 1,
        ("WebPage", "left out: no product"): 1,
        ("line", "left out: no JSON object"): 1,
    }


def test_schema_org_without_products_names_its_types(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"@type": "Recipe"}\n')
    with pytest.raises(
        AdapterError, match="no Product or ProductGroup with an id among the nodes; their types: Recipe"
    ):
        import_logs("jsonld", [str(tmp_path / "a.ndjson")], tmp_path / "logs")
