"""A release as it serves, with what was said of its items since their catalogue landed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.contract.tables import TIME
from serving.fields import MAX_VALUES_PER_ITEM, FilterFields, filter_fields
from serving.index.found import VectorIndex
from serving.index.memory import MemoryIndex
from serving.index.milvus import MilvusIndex
from serving.index.updated import CorrectedIndex, JoinedIndex
from serving.item_updates.rows import CATALOG_FIELDS, UPDATES
from serving.served import ServedRelease
from serving.sold_out import SoldOut
from training.release.items import ITEM_TYPES
from training.release.updated import EncodedItems, with_updates
from training.text import item_texts

I64 = NDArray[np.int64]
NUMBERS = ("price", "rating")
Encode = Callable[[ServedRelease, pa.Table], tuple[I64, EncodedItems | None]]
"""Of new items in the columns of the catalogue: which are encoded by now [m], and these."""


@dataclass(frozen=True)
class Counts:
    """Of the items that something was said of since the catalogue landed."""

    known: int = 0
    """Items of the catalogue."""
    new: int = 0
    removed: int = 0
    sold_out: int = 0
    encoding: int = 0
    """New items that are not encoded yet."""
    unknown: int = 0
    """Items that are not in the catalogue, and of which nothing was said that they could be found by."""


def with_item_updates(
    base: ServedRelease, updates: pa.Table, encode: Encode, places: int | None
) -> tuple[ServedRelease, Counts]:
    """The release that serves with updates of its items; ``base`` itself where there are none.

    Args:
        updates: of :func:`serving.item_updates.latest.latest`;
        places: as ``ItemSettings.sold_out_places``.
    """
    if not len(updates):
        return base, Counts()
    own = base.release.items
    items, row = len(own.ids), pc.index_in(updates["item_id"], value_set=base.id_array)
    row = np.asarray(pc.fill_null(row, -1).to_numpy())
    removed = pc.fill_null(updates["removed"], False).to_numpy()
    is_known = row >= 0
    unknown = np.flatnonzero(~is_known & ~removed)
    fresh = unknown[item_texts(updates.take(pa.array(unknown))).is_valid().to_numpy(False)]
    encoded_rows, new = encode(base, _as_catalog(updates, fresh))
    added = fresh[encoded_rows]
    counts = Counts(
        known=int(is_known.sum()),
        new=len(added),
        removed=int((removed & is_known).sum()),
        encoding=len(fresh) - len(added),
        unknown=len(unknown) - len(fresh),
    )
    said = updates.take(pa.array(np.concatenate([np.flatnonzero(is_known), added])))
    place = np.concatenate([row[is_known], items + np.arange(len(added))])
    if not len(said):
        return base, counts
    table = _table(own.table, items, said, place, len(added))
    changed = {name for name in ITEM_TYPES if name in said.column_names and said[name].null_count < len(said)}
    fields = _fields(base.fields, table, changed, is_longer=len(added) > 0)
    numbers = {n: place[said[n].is_valid().to_numpy() & (place < items)] for n in NUMBERS if n in changed}
    new_ids = updates["item_id"].take(pa.array(added)).to_pylist()
    release = with_updates(base.release, table, numbers, new_ids, new)
    sold_out = np.zeros(items + len(added), dtype=np.bool_)
    sold_out[place] = pc.invert(pc.fill_null(said["in_stock"], True)).to_numpy()
    gone = np.zeros(items + len(added), dtype=np.bool_)
    gone[row[removed & is_known]] = True
    findable = ~(gone | sold_out) if places is None else ~gone
    exact = _exact(base, release.items.vectors, fields, None if findable.all() else findable, new is not None)
    served = replace(
        base,
        release=release,
        index=_index(base, exact, fields, findable, new),
        exact=exact,
        fields=fields,
        ranking=None if base.ranking is None else base.ranking.over(release),
        sold_out=SoldOut(sold_out, places) if places and sold_out.any() else None,
        removed=gone if gone.any() else None,
    )
    return served, replace(counts, sold_out=int(sold_out.sum()))


def _as_catalog(updates: pa.Table, rows: I64) -> pa.Table:
    """Updates at ``rows`` as rows of a catalogue, from when on they are said to be there."""
    taken = updates.take(pa.array(rows)).select(["item_id", *CATALOG_FIELDS]).combine_chunks()
    return taken.append_column("available_from", updates["time"].take(pa.array(rows)).cast(pa.int64()))


def _table(own: pa.Table, items: int, said: pa.Table, place: I64, added: int) -> pa.Table:
    """Today's item table: its own rows, with what was said at each ``place``, and the new ones after them."""
    said = said.append_column("available_from", said["time"].cast(TIME).cast(pa.int64()))
    columns: dict[str, pa.Array] = {}
    for name, kind in {**ITEM_TYPES, "in_stock": UPDATES.field("in_stock").type}.items():
        if name == "item_id":
            columns[name] = pa.chunked_array([*own[name].chunks, said[name].slice(len(said) - added).combine_chunks()])
            continue
        told = said[name].combine_chunks() if name in said.column_names else pa.nulls(len(said), kind)
        is_said = told.is_valid().to_numpy(False) | (place >= items)
        if name == "available_from":
            is_said = place >= items
        if name not in own.column_names and not told.is_valid().to_numpy(False)[is_said].any():
            continue
        if not is_said.any():
            columns[name] = own[name]
            continue
        source = np.arange(items + added)
        source[place[is_said]] = items + np.flatnonzero(is_said)
        held = own[name].cast(kind).chunks if name in own.column_names else [pa.nulls(items, kind)]
        columns[name] = pa.chunked_array([*held, told.cast(kind)], kind).combine_chunks().take(pa.array(source))
    return pa.table(columns)


def _fields(own: FilterFields, table: pa.Table, changed: set[str], is_longer: bool) -> FilterFields:
    """Today's filter columns. An update cannot take a field away by having more values than can be filtered by: those
    beyond are left out."""
    filtered = changed & {"category_path", "brand", "tags", "attributes", *NUMBERS}
    if not is_longer and filtered <= {name for name in NUMBERS if name in own.by_name}:
        columns = own.columns
        for name in filtered:
            numbers = filter_fields(table.select([name])).columns[name]
            columns = columns.set_column(columns.column_names.index(name), name, numbers)
        return own.with_numbers(columns)
    for name, field in (("category_path", "category"), ("tags", "tags")):
        if name in table.column_names and field not in own.left_out:
            cut = pc.list_slice(table[name], 0, MAX_VALUES_PER_ITEM)
            table = table.set_column(table.column_names.index(name), name, cut)
    return filter_fields(table)


def _exact(
    base: ServedRelease,
    vectors: NDArray[np.float32],
    fields: FilterFields,
    findable: NDArray[np.bool_] | None,
    is_longer: bool,
) -> MemoryIndex:
    own = MemoryIndex(vectors, fields.columns, threads=base.exact.threads) if is_longer else base.exact
    return own.over(fields.columns, findable)


def _index(
    base: ServedRelease,
    exact: MemoryIndex,
    fields: FilterFields,
    findable: NDArray[np.bool_],
    new: EncodedItems | None,
) -> VectorIndex:
    items = len(base.release.items.ids)
    if isinstance(base.index, MilvusIndex):
        return CorrectedIndex(base.index, base.exact, base.fields.by_name, exact, items)
    if base.index is base.exact or not isinstance(base.index, MemoryIndex):
        return exact
    own = base.index.over(fields.columns.slice(0, items), None if findable[:items].all() else findable[:items])
    if new is None:
        return own
    then = MemoryIndex(new.vectors, fields.columns.slice(items), threads=base.exact.threads)
    return JoinedIndex(own, then.over(fields.columns.slice(items), findable[items:]), items)
