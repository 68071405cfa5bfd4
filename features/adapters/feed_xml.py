"""XML feeds of products as rows, an element at a time: RSS 2.0 (``item``) and Atom (``entry``), in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast
from xml.etree import ElementTree

import duckdb
import pyarrow as pa

from features.adapters.base import AdapterError, ImportRequest
from features.text_files import opened

FIELDS: Mapping[str, bool] = {
    "id": False, "item_group_id": False, "title": False, "description": False, "google_product_category": False,
    "brand": False, "price": False, "sale_price": False, "gtin": False, "color": False, "size": False,
    "material": False, "pattern": False, "gender": False, "age_group": False, "condition": False,
    "availability": False, "product_type": True, "product_highlight": True, "product_detail": True,
}  # fmt: skip
"""Field -> whether a product may have several."""
OTHER_NAMES = {"summary": "description", "content": "description", "guid": "id"}
"""What RSS and Atom themselves have for a field; Google's own element counts where both are there."""
DETAIL = ("section_name", "attribute_name", "attribute_value")
BATCH = 10_000
GOOGLE = "http://base.google.com/ns/1.0"

_SCHEMA = pa.schema(
    [pa.field(name, pa.list_(pa.string()) if several else pa.string()) for name, several in FIELDS.items()]
)


def is_xml(file: Path) -> bool:
    """Whether a file is XML, packed or not."""
    with opened(file, file.name) as stream:
        head = stream.read(1024)
    return bool(head.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<"))


def read_feed(connection: duckdb.DuckDBPyConnection, request: ImportRequest, table: str, files: Sequence[Path]) -> None:
    """Create ``table`` with the columns ``FIELDS``, a row per ``item`` or ``entry``.

    Raises:
        AdapterError: a file that is no XML to its end, or has no product.
    """
    empty = _SCHEMA.empty_table()
    connection.register("feed_batches", empty)
    connection.execute(f"CREATE TABLE {table} AS FROM feed_batches")
    for file in files:
        request.progress(f"reading {file.name}", None)
        failed: list[AdapterError] = []
        reader = pa.RecordBatchReader.from_batches(_SCHEMA, _batches(file, request, failed))
        connection.register("feed_batches", reader)
        connection.execute(f"INSERT INTO {table} FROM feed_batches")
        connection.unregister("feed_batches")
        if failed:  # raised inside the stream, DuckDB's error would hide its sentence
            raise failed[0]


def _batches(file: Path, request: ImportRequest, failed: list[AdapterError]) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, object]] = []
    read = 0
    try:
        with opened(file, file.name) as stream:
            for product in _products(cast(BinaryIO, stream)):
                rows.append(product)
                if len(rows) == BATCH:
                    read += len(rows)
                    request.progress(f"reading {file.name}: {read:,} products", None)
                    yield _batch(rows)
                    rows = []
    except (ElementTree.ParseError, OSError, EOFError) as error:
        failed.append(AdapterError(f"{file.name} is no whole XML ({error}): fetch the feed again; nothing was written"))
        return
    if rows:
        yield _batch(rows)
    elif not read:
        failed.append(AdapterError(f"{file.name} is no feed of products: it has neither item nor entry elements"))


def _batch(rows: Sequence[Mapping[str, object]]) -> pa.RecordBatch:
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in _SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


def _products(stream: BinaryIO) -> Iterator[dict[str, object]]:
    """The products of an XML stream; what was read of it is let go."""
    around: list[ElementTree.Element] = []
    products = 0  # elements of products around this one
    for event, element in ElementTree.iterparse(stream, events=("start", "end")):
        is_product = _local(element.tag) in ("item", "entry")
        if event == "start":
            around.append(element)
            products += is_product
            continue
        around.pop()
        products -= is_product
        if is_product and len(element):
            yield _fields(element)
        elif products:
            continue
        if around:
            around[-1].remove(element)


def _fields(product: ElementTree.Element) -> dict[str, object]:
    found: dict[str, object] = {}
    plain: dict[str, object] = {}
    for child in product:
        name, several, googles = _field(child.tag)
        text = name and (_detail(child) if len(child) else (child.text or "").strip())
        if not text:
            continue
        if several:
            found.setdefault(name, []).append(text)  # type: ignore[attr-defined]
        else:
            (found if googles else plain).setdefault(name, text)
    return plain | found


@cache
def _field(tag: str) -> tuple[str, bool, bool]:
    """The field of an element (empty: none), whether it may come several times, and whether it is Google's own."""
    name = OTHER_NAMES.get(_local(tag), _local(tag))
    return (name if name in FIELDS else "", FIELDS.get(name, False), tag.startswith(f"{{{GOOGLE}}}"))


def _detail(element: ElementTree.Element) -> str:
    parts = {_local(child.tag): (child.text or "").strip() for child in element}
    return ":".join(parts.get(name, "") for name in DETAIL) if parts else (element.text or "").strip()


@cache
def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
