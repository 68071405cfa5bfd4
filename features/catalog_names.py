"""Which field a catalogue's column is, by its name: the names that shops, feeds and exports are known to use.

Names are compared without case, accents, blanks, punctuation and namespace (``g:sale_price`` is ``Sale Price``), and
keep the dots of what is nested. Sources are the export formats of Shopify, WooCommerce and Magento, Google Merchant
feeds, schema.org's Product, and what German and French shops call their columns.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa

from features.location import PLACE_NAMES

ALIASES: dict[str, tuple[str, ...]] = {
    "item_id": ("item_id", "product_id", "asin", "sku", "id", "product_sku", "variant_sku", "product_code", "item_code",
                "article_id", "article_number", "artikelnummer", "artikel_nr", "art_nr", "objectID", "uniq_id",
                "unique_id", "identifier", "reference", "code", "parent_asin", "handle", "mpn", "gtin", "ean", "@id"),
    "title": ("title", "product_title", "name", "product_name", "item_name", "product_display_name", "titel",
              "produktname", "artikelname", "bezeichnung", "artikelbezeichnung", "titre", "nom", "nom_du_produit",
              "designation"),
    "description": ("description", "product_description", "long_description", "body", "body_html", "body (HTML)",
                    "about_product", "beschreibung", "produktbeschreibung", "langbeschreibung", "short_description"),
    "category_path": ("category_path", "categories", "category", "breadcrumbs", "product_category", "product_type",
                      "google_product_category", "category_name", "category_names", "product_category_tree",
                      "hierarchical_categories", "breadcrumb", "kategorie", "kategorien", "kategoriepfad",
                      "warengruppe", "categorie"),
    "brand": ("brand", "product_brand", "brand_name", "brands", "manufacturer", "manufacturer_name", "vendor", "marke",
              "hersteller", "marque", "fabricant", "shop", "shop_id", "shop_name", "store"),
    "price": ("final_price", "current_price", "sale_price", "special_price", "discounted_price", "selling_price",
              "price", "variant_price", "offers.price", "offers.low_price", "offers.price_specification.price",
              "offers.offers.price", "variants.price", "has_variant.offers.price", "has_variant.offers.low_price",
              "regular_price", "unit_price", "list_price", "retail_price", "prices", "price_range", "preis",
              "verkaufspreis", "bruttopreis", "prix", "prix_ttc"),
    "rating": ("rating", "average_rating", "avg_rating", "stars", "aggregate_rating.rating_value",
               "aggregate_rating", "customer_review_average", "review_rating", "ratings", "bewertung"),
    "rating_count": ("rating_count", "ratings_count", "review_count", "reviews_count", "num_reviews", "rating_number",
                     "no_of_ratings", "number_of_reviews", "aggregate_rating.review_count",
                     "aggregate_rating.rating_count", "customer_review_count", "rating.count", "total_reviews",
                     "anzahl_bewertungen"),
    "attributes": ("attributes", "attrs", "specifications", "specs", "additional_attributes", "options",
                   "product_details", "additional_property", "properties", "features", "details"),
    "tags": ("tags", "keywords", "labels", "product_tags", "schlagworte", "mots_cles"),
    "available_from": ("available_from", "created_at", "created", "date_added", "date_first_available",
                       "date_created", "published_at", "release_date", "start_date"),
}  # fmt: skip
"""Field -> names of columns that hold it, best first."""

PRODUCT_NAMES = ("item_group_id", "parent_sku", "parent", "parent_id", "in_product_group_with_id",
                 "is_variant_of.product_group_id", "product_group_id", "is_variant_of.sku")  # fmt: skip
"""Columns whose value names the product that the row is a variant of, or is; of several the first that a row has."""
VARIANT_NAMES = ("variants.id", "variants.sku", "configurable_variations", "has_variant.sku", "has_variant.product_id",
                 "has_variant.id", "has_variant.@id")  # fmt: skip
"""Columns of a product that hold the ids of its variants."""
OPENED_NAMES = ("offers", "offers.offers", "offers.price_specification", "variants", "has_variant",
                "has_variant.offers", "is_variant_of", "aggregate_rating", "rating")  # fmt: skip
"""Columns whose objects are opened: ``offers.price``, and what is inside those."""
_PACKING = re.compile(r"(.*\.)?@.*|(offers|aggregaterating|rating)\..*")
ANY_OF = frozenset({"attributes"})
"""Fields of which every column counts, not only the first."""
_SHOPIFY = frozenset({"handle", "option1value"})
_PAIR = re.compile(r"(attribute|option|property|feature|specification)(\d+)(name|values?|key)")


def plain_name(name: str) -> str:
    """A column's name as names are compared: ``"g:Sale price"`` is ``"saleprice"``."""
    bare = re.sub(r"^(\{[^}]*\}|[A-Za-z]+:(?=[\w@]))", "", name.strip())
    letters = unicodedata.normalize("NFKD", bare.casefold())
    return "".join(c for c in letters if c.isalnum() or c in ".@")


_OPENED = frozenset(map(plain_name, OPENED_NAMES))
_PLAIN = {field: tuple(map(plain_name, names)) for field, names in ALIASES.items()}
_PLACES = {field: tuple(map(plain_name, names)) for field, names in PLACE_NAMES.items()}


def opened_columns(keys: Iterable[str]) -> list[str]:
    """Those of the columns whose objects are opened."""
    return sorted({key for key in keys if plain_name(key) in _OPENED})


def assign_fields(
    keys: Iterable[tuple[int, str, int]], rows: Mapping[int, int], item_id: str | None = None
) -> pa.Table:
    """The field that each column of each file becomes.

    The id is the first known column that every row of all files has, else the one that most have: chosen over the files
    together, so that it does not change from one day's catalogue to the next. What some rows lack in the
    best column of a field is read from the next known column in those.

    Args:
        keys: (index of the file, column, rows that have a value in it), each column once.
        rows: Index of the file -> its rows.
        item_id: The column of ids, whatever its name; rows that lack it have the id that they would have without it.
            One inside another (``variants.ean``) has the ids of a product's variants.

    Returns:
        ``file, key, field, rank, slot``; ``field`` is null for a column of no known name, and for further names of a
        field that a better column has in every row. ``product`` and ``variant_ids`` are the fields of
        ``PRODUCT_NAMES`` and ``VARIANT_NAMES``, ``pair_name`` and ``pair_value`` an attribute in two columns, told
        apart by ``slot``; ``slot`` is ``other_id`` for further columns of ids.
    """
    by_file: dict[int, dict[str, int]] = {}
    for file, key, filled in keys:
        by_file.setdefault(file, {})[key] = filled
    totals: Counter[str] = Counter()
    for columns in by_file.values():
        for key, filled in columns.items():
            totals[plain_name(key)] += filled
    told: list[dict[str, object]] = []
    for file, columns in by_file.items():
        named: dict[str, str] = {}
        for key in sorted(columns, key=lambda key: (key.strip().lower() != plain_name(key), key)):
            named.setdefault(plain_name(key), key)
        taken = _fields_of_file(named, columns, rows.get(file, 0), totals)
        preferred = named.get(plain_name(item_id)) if item_id else None
        if preferred is not None and "." in plain_name(preferred):
            taken[preferred] = ("variant_ids", 0, None)
        elif preferred is not None:
            taken |= {key: (field, rank + 1, slot) for key, (field, rank, slot) in taken.items() if field == "item_id"}
            taken[preferred] = ("item_id", 0, None)
        for key in columns:
            name = plain_name(key)
            packing = "packing" if name in _OPENED or _PACKING.fullmatch(name) else None
            field, rank, slot = taken.get(key, (None, 0, packing))
            told.append({"file": file, "key": key, "field": field, "rank": rank, "slot": slot})
    types = [("file", pa.int64()), ("key", pa.string()), ("field", pa.string()), ("rank", pa.int64())]
    return pa.Table.from_pylist(told, schema=pa.schema([*types, ("slot", pa.string())]))


def _fields_of_file(
    named: Mapping[str, str], filled: Mapping[str, int], rows: int, totals: Mapping[str, int]
) -> dict[str, tuple[str | None, int, str | None]]:
    taken: dict[str, tuple[str | None, int, str | None]] = {}
    for name, key in named.items():
        pair = _PAIR.fullmatch(name)
        if pair and filled[key]:
            kind = "pair_value" if pair[3].startswith("value") else "pair_name"
            taken[key] = (kind, 0, f"{pair[1]}{pair[2]}")
    products = [*map(plain_name, PRODUCT_NAMES)]
    shopify: tuple[str, ...] = ()
    if set(named) >= _SHOPIFY:
        products.insert(0, "handle")
        shopify = ("type",)
    taken |= {named[n]: ("product", rank, None) for rank, n in enumerate(products) if n in named and filled[named[n]]}
    for name in map(plain_name, VARIANT_NAMES):
        if name in named:
            taken[named[name]] = ("variant_ids", 0, None)
    for field, names in _PLAIN.items():
        found = [
            named[n]
            for n in dict.fromkeys(names + (shopify if field == "category_path" else ()))
            if n in named and taken.get(named[n], (None,))[0] is None
        ]
        if field == "item_id":
            found.sort(
                key=lambda key: (not filled[key], -totals[plain_name(key)])
            )  # stable: the best name among the fullest
            taken |= {key: (None, 0, "other_id") for key in found[1:]}
            found = found[:1]
        elif field not in ANY_OF:
            found = [key for key in found if filled[key]] or found[:1]
            whole = next((place for place, key in enumerate(found) if filled[key] >= rows), len(found))
            found = found[: whole + 1]
        taken |= {key: (field, rank, None) for rank, key in enumerate(found)}
    for field, names in _PLACES.items():
        taken |= {named[n]: (field, rank, None) for rank, n in enumerate(names) if n in named}
    return taken
