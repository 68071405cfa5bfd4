"""The text of an item that a text encoder reads."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def item_texts(catalog: pa.Table) -> pa.Array:
    """One text per row of the catalogue: its title; else the names of its category path; else brand and attribute
    values; null where it has nothing of these.

    Args:
        catalog: columns of ``infra.contract.tables.CATALOG``; those that are missing count as empty.
    """
    words = [_text(catalog, "brand"), _values(catalog), _joined(catalog, "tags")]
    # null_handling="skip" of pyarrow 26 loses the rows in which all are null.
    described = _present(pc.binary_join_element_wise(*(pc.fill_null(part, "") for part in words), " "))
    return pc.coalesce(_text(catalog, "title"), _joined(catalog, "category_path"), described)


def _text(catalog: pa.Table, name: str) -> pa.Array:
    """A text column, trimmed; null where it is blank."""
    if name not in catalog.column_names:
        return pa.nulls(catalog.num_rows, pa.string())
    return _present(catalog[name].combine_chunks().cast(pa.string()))


def _joined(catalog: pa.Table, name: str) -> pa.Array:
    """A column of lists, the entries of each joined by a space."""
    if name not in catalog.column_names:
        return pa.nulls(catalog.num_rows, pa.string())
    return _join(catalog[name], "")


def _values(catalog: pa.Table) -> pa.Array:
    """The values of the attribute pairs, joined."""
    if "attributes" not in catalog.column_names:
        return pa.nulls(catalog.num_rows, pa.string())
    return _join(catalog["attributes"], "value")


def _join(lists: pa.ChunkedArray, field: str) -> pa.Array:
    """Entries of each list, or a field of theirs, joined; those without one are left out."""
    lists = lists.combine_chunks()
    rows, entries = pc.list_parent_indices(lists), pc.list_flatten(lists)
    entries = pc.struct_field(entries, field) if field else entries
    filled = pa.table({"row": rows, "entry": entries.cast(pa.string())}).drop_null()
    grouped = filled.group_by("row", use_threads=False).aggregate([("entry", "list")])
    joined = pc.binary_join(grouped["entry_list"].combine_chunks(), " ")
    places = pc.index_in(pa.array(np.arange(len(lists))), value_set=grouped["row"].combine_chunks())
    return _present(joined.take(places))


def _present(texts: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
