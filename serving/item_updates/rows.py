"""What may be said of an item between two nightly runs, from JSON objects or the columns of a file to one table.

A row names an item and says some of its fields; what it does not say (null, NaN, absent) stays as it is. A row that
gives a title brings a removed item back, unless it says ``removed`` itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from infra.contract.location import BOUNDS
from infra.contract.tables import CATALOG, TIME
from serving.errors import BadRequest

SAID = ("removed", "in_stock")
"""What is said besides the fields of the catalogue."""
CATALOG_FIELDS = tuple(name for name in CATALOG.names if name not in ("item_id", "available_from"))
UPDATES = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("time", TIME, nullable=False),
        *((name, pa.bool_()) for name in SAID),
        *(CATALOG.field(name) for name in CATALOG_FIELDS),
    ]
)
"""A row per update, oldest first; ``time`` is when it was received, of a file when that was written."""
ID_NAMES = ("item_id", "product_id", "asin", "sku", "id")
STOCK = {
    **dict.fromkeys(("true", "yes", "1", "instock", "available", "limitedavailability", "onlineonly"), True),
    **dict.fromkeys(("preorder", "presale", "backorder", "madetoorder", "instoreonly"), True),
    **dict.fromkeys(("false", "no", "0", "outofstock", "soldout", "discontinued", "unavailable"), False),
}
"""What schema.org, Google's and Facebook's feeds say of stock, letters and digits alone, and whether one can order."""
MAX_ID_CHARS, MAX_VALUES = 1_000, 8
"""Of values: those of one attribute, that an item can be filtered by."""

Text = Annotated[str, StringConstraints(max_length=100_000)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


ItemId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ID_CHARS),
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS}, {"type": "integer"}]}),
]


def _degrees(name: str) -> Any:
    return Field(None, ge=-BOUNDS[name], le=BOUNDS[name])


class ItemUpdate(BaseModel):
    """What is new of one item; fields that are absent or null stay as they are. An item that the shop does not know
    needs a title, category, brand or attribute to be found by."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"item_id": "B07H8QMZPV", "price": 17.5, "in_stock": False}]},
    )

    item_id: ItemId
    removed: bool | None = Field(None, strict=True, description="true: it is no longer sold, and not found.")
    in_stock: bool | None = Field(None, strict=True)
    availability: Text | None = Field(
        None, description="Instead of `in_stock`: `in stock`, `out_of_stock`, `https://schema.org/SoldOut`, ..."
    )
    title: Text | None = None
    description: Text | None = None
    category_path: list[Text] | Text | None = Field(None, description='`["Home", "Lamps"]` or `"Home > Lamps"`.')
    brand: Text | None = None
    price: Amount | None = Field(None, strict=True)
    rating: Amount | None = Field(None, strict=True)
    rating_count: Amount | None = Field(None, strict=True)
    attributes: dict[Text, Text | list[Text]] | None = Field(
        None, description='All of them: `{"colour": "red", "size": ["S", "M"]}`.'
    )
    tags: list[Text] | None = None
    country: Text | None = None
    language: Text | None = None
    zip: Text | None = None
    latitude: float | None = _degrees("latitude")
    longitude: float | None = _degrees("longitude")


ROWS = TypeAdapter(list[ItemUpdate])


@dataclass(frozen=True)
class BadRows:
    """Rows of a file that cannot be used."""

    count: int
    first: str
    """Which is the first of them, from 0, and why."""


def from_objects(rows: Sequence[Mapping[str, Any] | ItemUpdate], now: datetime) -> pa.Table:
    """Updates of JSON objects, as of :class:`ItemUpdate`; all of them, or none.

    Raises:
        BadRequest: says which rows are wrong, by their places from 0, and why.
    """
    try:
        checked = ROWS.validate_python(list(rows))
    except ValidationError as error:
        raise BadRequest("; ".join(map(_sentence, error.errors()[:5]))) from error
    told = [_plain(place, row) for place, row in enumerate(checked)]
    return _whole(pa.Table.from_pylist(told, pa.schema([f for f in UPDATES if f.name != "time"])), now)


def _sentence(error: Any) -> str:
    place, *where = error["loc"] or ("",)
    return f"row {place}: {'.'.join(map(str, where)) or 'it'}: {error['msg']}"


def _plain(place: int, row: ItemUpdate) -> dict[str, Any]:
    """As a row of ``UPDATES``."""
    told = row.model_dump(exclude_none=True)
    for value in told.values():
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            raise BadRequest(f"row {place}: a text is not valid Unicode: {error.reason}") from error
    if (availability := told.pop("availability", None)) is not None:
        told.setdefault("in_stock", STOCK.get(_stock_word(availability)))
        if told["in_stock"] is None:
            raise BadRequest(f"row {place}: availability {availability!r} says nothing of stock; {_STOCK_WORDS}")
    if isinstance(told.get("category_path"), str):
        told["category_path"] = [level.strip() for level in told["category_path"].split(">") if level.strip()]
    if "attributes" in told:
        values = {key: [v] if isinstance(v, str) else v for key, v in told["attributes"].items()}
        if any(len(held) > MAX_VALUES for held in values.values()):
            raise BadRequest(f"row {place}: an attribute has more than {MAX_VALUES} values")
        told["attributes"] = [{"key": key, "value": value} for key, held in values.items() for value in held]
    return told


def from_columns(table: pa.Table, now: datetime, id_column: str | None = None) -> tuple[pa.Table, BadRows | None]:
    """Updates of a file's columns, by the names of :class:`ItemUpdate`, and what of it cannot be used; columns of other
    names are passed over.

    Args:
        now: when it was said; id_column: the column of ids, None: the first of ``ID_NAMES``.

    Raises:
        BadRequest: it has no column of ids, or none that says anything; or a column is of a type that says nothing.
    """
    named = {name.strip().lower(): name for name in table.column_names}
    wanted = [id_column.strip().lower()] if id_column else ID_NAMES
    ids = next((named[name] for name in wanted if name in named), None)
    said = [name for name in (*SAID, "availability", *CATALOG_FIELDS) if name in named and named[name] != ids]
    if ids is None or not said:
        lacks = f"column of ids ({' or '.join(wanted)})" if ids is None else "column that says something of items"
        raise BadRequest(f"it has no {lacks}; columns: {', '.join(table.column_names)}")
    columns: dict[str, pa.Array] = {"item_id": _ids(table[ids].combine_chunks())}
    bad = {f"{ids} is empty or over {MAX_ID_CHARS:,} characters": columns["item_id"].is_null().to_numpy(False)}
    for name in said:
        held = table[named[name]].combine_chunks()
        try:
            column, is_bad = _read(name, held)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadRequest(f"column {named[name]} is of type {held.type}, which says no {name}") from error
        target = "in_stock" if name == "availability" else name
        columns[target] = pc.coalesce(columns[target], column) if target in columns else column
        bad[f"{named[name]} is no {name}"] = is_bad
    refused = np.logical_or.reduce(list(bad.values()))
    rows = _whole(pa.table(columns).filter(pa.array(~refused)), now)
    if not refused.any():
        return rows, None
    place = int(refused.argmax())
    why = next(reason for reason, is_bad in bad.items() if is_bad[place])
    return rows, BadRows(int(refused.sum()), f"row {place:,}: {why}: {table.slice(place, 1).to_pylist()[0]}"[:300])


def conformed(table: pa.Table) -> pa.Table:
    """A table in the columns of ``UPDATES``, null where it has none."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in UPDATES
    ]
    return pa.table(columns, schema=UPDATES)


def _whole(table: pa.Table, now: datetime) -> pa.Table:
    table = conformed(table.append_column("time", pa.array([now] * len(table), TIME)))
    back = pc.if_else(table["title"].is_valid(), pa.scalar(False), pa.scalar(None, pa.bool_()))
    place = UPDATES.get_field_index("removed")
    return table.set_column(place, UPDATES.field(place), pc.coalesce(table["removed"], back))


def _ids(column: pa.Array) -> pa.Array:
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    length = pc.utf8_length(text)
    return pc.if_else(pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_ID_CHARS)), text, None)


Column = tuple[pa.Array, np.ndarray]
"""Values, null where nothing is said, and which rows say what cannot be read."""


def _read(name: str, column: pa.Array) -> Column:
    kind = pa.bool_() if name == "availability" else UPDATES.field(name).type
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), kind), np.zeros(len(column), dtype=np.bool_)
    if kind == pa.bool_():
        return _switches(column, stock=name != "removed")
    if kind == pa.float64():
        return _amounts(column, -BOUNDS.get(name, 0.0), BOUNDS.get(name, np.inf))
    if kind == pa.string():
        return column.cast(kind), np.zeros(len(column), dtype=np.bool_)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        mark = r"\s*>\s*" if name == "category_path" else r"\s*[,;|]\s*"
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        column = pc.split_pattern_regex(pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text), mark)
    elif pa.types.is_map(column.type):
        texts = [held.cast(pa.string()) for held in (column.keys, column.items)]
        pairs = pa.StructArray.from_arrays(texts, ["key", "value"])
        column = pa.ListArray.from_arrays(column.offsets, pairs, mask=column.is_null())
    return column.cast(kind), np.zeros(len(column), dtype=np.bool_)


def _amounts(column: pa.Array, least: float, most: float) -> Column:
    """Numbers, also written as text; NaN and empty texts say nothing."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
        is_number = pc.fill_null(pc.match_substring_regex(text, r"^-?\d+(\.\d*)?([eE][-+]?\d+)?$"), True)
        numbers = pc.if_else(is_number, text, pa.scalar(None, pa.string())).cast(pa.float64())
        unread = pc.invert(is_number).to_numpy(False)
    else:
        numbers, unread = column.cast(pa.float64()), np.zeros(len(column), dtype=np.bool_)
    values = pc.fill_null(numbers, float("nan")).to_numpy(False)
    beyond = ~np.isnan(values) & ~((values >= least) & (values <= most) & np.isfinite(values))
    return pa.array(values, mask=np.isnan(values) | beyond), unread | beyond


def _switches(column: pa.Array, stock: bool) -> Column:
    """Booleans, numbers of which above 0 is true, and words."""
    nothing = np.zeros(len(column), dtype=np.bool_)
    if pa.types.is_boolean(column.type):
        return column, nothing
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        numbers, bad = _amounts(column, -np.inf, np.inf)
        return pc.greater(numbers, 0), bad
    words = pc.replace_substring_regex(pc.utf8_lower(column.cast(pa.string())), r"^.*/|[^a-z0-9]+", "")
    known = STOCK if stock else {word: value for word, value in STOCK.items() if word in _PLAIN}
    place = pc.index_in(words, value_set=pa.array(list(known)))
    found = pa.array(list(known.values())).take(place)
    bad = pc.and_(pc.greater(pc.fill_null(pc.utf8_length(words), 0), 0), found.is_null())
    return found, np.asarray(bad.to_numpy(False))


_PLAIN = ("true", "yes", "1", "false", "no", "0")
_STOCK_WORDS = "say in_stock, out_of_stock, preorder, backorder, sold_out or discontinued"


def _stock_word(text: str) -> str:
    return "".join(c for c in text.rsplit("/", 1)[-1].lower() if c.isascii() and c.isalnum())
