"""Which field a catalogue's column is, by its name: the names that shops, feeds and exports are known to use.

Names are compared without case, accents, blanks, punctuation and namespace (``g:sale_price`` is ``Sale Price``), and
keep the dots of what is nested. The names are those of ``features.catalog_aliases``, texts also with a language
(``name_de``), prices with a currency (``price_eur``).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa

from features.catalog_aliases import ALIASES, LAST_IDS, OPENED_NAMES, PRODUCT_NAMES, VARIANT_NAMES
from features.location import PLACE_NAMES

_PACKING = re.compile(r"(.*\.)?@.*|(offers|aggregaterating|rating)\..*")
ANY_OF = frozenset({"attributes"})
"""Fields of which every column counts, not only the first."""
_SHOPIFY = frozenset({"handle", "option1value"})
_PAIR = re.compile(r"(attribute|option|property|feature|specification)(\d+)(name|values?|key)")
# no "id" and no "no": category_id is none in Indonesian, and product_no none in Norwegian
_LANGUAGES = "ar bg cs da de el en es fa fi fr he hr hu it ja ko nb nl nn pl pt ro ru sk sl sr sv th tr uk vi zh"
_CURRENCIES = "aud brl cad chf cny czk dkk eur euro gbp huf inr jpy mxn nok pln rub sek try usd"
_LANGUAGE, _CURRENCY = (
    re.compile(rf"(.+?)[ _.:(\[-]+(?:in[ _-]+)?({'|'.join(codes.split())})([_-][a-z]{{2}})?[)\]]?", re.IGNORECASE)
    for codes in (_LANGUAGES, _CURRENCIES)
)
_SUFFIXED = {
    **dict.fromkeys(("title", "description", "category_path", "tags"), _LANGUAGE),
    "price": _CURRENCY,
}


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
    keys: Iterable[tuple[int, str, int]],
    rows: Mapping[int, int],
    item_id: str | None = None,
    given: Mapping[str, str] | None = None,
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
        given: Field -> the column that holds it, whatever its name; rows that lack it have what they would have
            without it.

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
        for wanted, column in (given or {}).items():
            holder = named.get(plain_name(column))
            if holder is not None:
                taken |= {k: (f, rank + 1, slot) for k, (f, rank, slot) in taken.items() if f == wanted}
                taken[holder] = (wanted, 0, None)
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
        if field in _SUFFIXED:
            found += [key for key in _suffixed(field, named.values(), filled) if taken.get(key, (None,))[0] is None]
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
    if not {"item_id", "product"} & {field for field, _, _ in taken.values()}:
        whole_names = [named[n] for n in map(plain_name, LAST_IDS) if n in named and filled[named[n]] >= max(1, rows)]
        taken |= {key: ("item_id", 0, None) for key in whole_names[:1]}
    for field, names in _PLACES.items():
        taken |= {named[n]: (field, rank, None) for rank, n in enumerate(names) if n in named}
    return taken


def _suffixed(field: str, keys: Iterable[str], filled: Mapping[str, int]) -> list[str]:
    """Columns of a field's name with a language or a currency behind it: the fullest first, of equals English."""
    found = []
    for key in keys:
        match = _SUFFIXED[field].fullmatch(key.strip())
        if match and plain_name(match[1]) in _PLAIN[field]:
            found.append((-filled[key], _PLAIN[field].index(plain_name(match[1])), match[2].lower() != "en", key))
    return [key for *_, key in sorted(found)]
