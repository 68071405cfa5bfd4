"""Items to tokens: which fields of a catalogue become which group of hashed tokens.

| group | tokens |
|---|---|
| title | n-grams of the title: words, pairs of words, character trigrams |
| category | one label per level of the path: ``#category a``, ``#category a.b`` |
| category_words | n-grams of the path's names |
| attributes | labels: ``#brand x``, ``#price 7`` (quantile bucket), ``#attr colour red``, ``#tag x`` |
| attribute_words | n-grams of the brand, the attributes' values and the tags |
| description | words and pairs of words of the description (its trigrams are many and say little) |
| location | labels of where an item is: ``#country us``, ``#zip 54``, ``#geo50 17`` (see ``training.data.location``) |
| identity | labels that no other item has: ``#item 17``, ``#same 17``; two, as a bucket may be shared |

The n-gram groups share their buckets with queries; labels have buckets of their own. A group that no item of the
catalogue fills is off, and the release says which were on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.data.location import LocationBuckets
from training.data.ngrams import Hasher
from training.data.ragged import Ragged, empty_rows, join, offsets_of

BRAND, TAG = "#brand", "#tag"
"""What the labels of an item, and those of a user's history, begin with."""
IDENTITY = "identity"
"""The group of an item's own code: see :mod:`training.model.encoders.history`; no layer reads it."""
GROUPS = ("title", "category", "category_words", "attributes", "attribute_words", "description", "location")


@dataclass(frozen=True)
class ItemTokens:
    """Tokens of a catalogue: one row per item in each group that is on, by ``GROUPS``, then ``IDENTITY``."""

    groups: Mapping[str, Ragged]
    price_edges: tuple[float, ...]


def fit_price_edges(prices: pa.Array | pa.ChunkedArray, buckets: int) -> tuple[float, ...]:
    """Inner quantile edges that cut the known prices into ``buckets`` parts; equal edges are merged."""
    values = (
        pc.drop_null(prices).to_numpy(zero_copy_only=False)
        if isinstance(prices, pa.Array)
        else (prices.drop_null().to_numpy())
    )
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return ()
    return tuple(np.unique(np.quantile(finite, np.linspace(0, 1, buckets + 1)[1:-1])).tolist())


def item_tokens(
    catalog: pa.Table, hasher: Hasher, price_edges: Sequence[float], location: LocationBuckets
) -> ItemTokens:
    """Tokens of each row of a catalogue table; groups without a single token are left out.

    Args:
        catalog: columns of the catalogue schema; ``item_id`` is required, any other may be missing.
        price_edges: from :func:`fit_price_edges` on the training catalogue; location: fitted on it.
    """
    fields = _Fields(catalog)
    built = {
        "title": hasher.ngrams(fields.text("title")),
        "category": label_rows(hasher, fields.category_levels()),
        "category_words": hasher.ngrams(fields.joined("category_path")),
        "attributes": label_rows(hasher, *fields.attribute_labels(price_edges)),
        "attribute_words": hasher.ngrams(fields.attribute_text()),
        "description": hasher.ngrams(fields.text("description"), trigrams=False),
        "location": label_rows(hasher, location.labels(catalog)),
    }
    on = {name: rows for name, rows in built.items() if len(rows.ids)}
    if not on:
        raise ValueError(
            "the catalogue has no text, category, price or attribute: there is nothing to learn items from"
        )
    on[IDENTITY] = label_rows(hasher, *fields.identity())
    return ItemTokens(on, tuple(price_edges))


Labelled = tuple[NDArray[np.int64], pa.Array]
"""Row lengths [n] and the labels of all rows, one after the other."""


class _Fields:
    """Columns of a catalogue as strings and labelled lists; what is missing is null or empty."""

    def __init__(self, catalog: pa.Table) -> None:
        self._table = catalog.combine_chunks()

    def text(self, name: str) -> pa.Array:
        if name not in self._table.column_names:
            return pa.nulls(len(self._table), pa.string())
        column = self._table[name]
        return column.chunk(0) if column.num_chunks else pa.array([], pa.string())

    def lists(self, name: str, value_type: pa.DataType | None = None) -> pa.ListArray:
        kind = pa.list_(value_type or pa.string())
        if name not in self._table.column_names or self._table.num_rows == 0:
            return pa.nulls(len(self._table), kind)
        return self._table[name].chunk(0).cast(kind)

    def joined(self, name: str) -> pa.Array:
        return pc.binary_join(self.lists(name), " ")

    def attribute_pairs(self) -> tuple[NDArray[np.int64], pa.Array, pa.Array]:
        pairs = self.lists("attributes", pa.struct([("key", pa.string()), ("value", pa.string())]))
        flat = pairs.flatten()
        return _lengths(pairs), pc.fill_null(flat.field("key"), ""), pc.fill_null(flat.field("value"), "")

    def category_levels(self) -> Labelled:
        """``#category a``, ``#category a.b``, ...: the prefix of the path at each level."""
        paths = self.lists("category_path")
        lengths = _lengths(paths)
        levels = pc.fill_null(paths.flatten(), "")
        starts = np.repeat(offsets_of(lengths)[:-1], lengths)
        counts = np.arange(len(levels)) - starts + 1
        positions = np.repeat(starts, counts) + np.arange(counts.sum()) - np.repeat(offsets_of(counts)[:-1], counts)
        prefixes = pa.ListArray.from_arrays(pa.array(offsets_of(counts), pa.int32()), levels.take(pa.array(positions)))
        return lengths, pc.binary_join_element_wise("#category", pc.binary_join(prefixes, "."), " ")

    def attribute_labels(self, price_edges: Sequence[float]) -> list[Labelled]:
        brand = self.text("brand")
        tags = self.lists("tags")
        lengths, keys, values = self.attribute_pairs()
        return [
            (_present(brand), pc.binary_join_element_wise(BRAND, brand.drop_null(), " ")),
            self._price_labels(price_edges),
            (lengths, pc.binary_join_element_wise("#attr", keys, values, " ")),
            (_lengths(tags), pc.binary_join_element_wise(TAG, pc.fill_null(tags.flatten(), ""), " ")),
        ]

    def _price_labels(self, edges: Sequence[float]) -> Labelled:
        if "price" not in self._table.column_names:
            return np.zeros(len(self._table), dtype=np.int64), pa.array([], pa.string())
        prices = pc.fill_null(self._table["price"], float("nan")).to_numpy()
        known = np.isfinite(prices)
        bucket = pa.array(np.searchsorted(np.asarray(edges, dtype=float), prices[known], side="right"))
        return known.astype(np.int64), pc.binary_join_element_wise("#price", bucket.cast(pa.string()), " ")

    def identity(self) -> list[Labelled]:
        ids, once = self.text("item_id"), np.ones(len(self._table), dtype=np.int64)
        return [(once, pc.binary_join_element_wise(prefix, ids, " ")) for prefix in ("#item", "#same")]

    def attribute_text(self) -> pa.Array:
        lengths, _, values = self.attribute_pairs()
        grouped = pa.ListArray.from_arrays(pa.array(offsets_of(lengths), pa.int32()), values)
        parts = (self.text("brand"), pc.binary_join(grouped, " "), self.joined("tags"))
        return pc.binary_join_element_wise(*(pc.fill_null(p.cast(pa.string()), "") for p in parts), " ")


def _lengths(lists: pa.ListArray) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = (
        pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return lengths


def _present(column: pa.Array) -> NDArray[np.int64]:
    present: NDArray[np.int64] = column.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
    return present


def label_rows(hasher: Hasher, *parts: Labelled) -> Ragged:
    """Rows of label buckets, the parts one after the other within a row."""
    rows = []
    for lengths, labels in parts:
        single = hasher.labels(labels)
        if len(single.ids) == 0:
            rows.append(empty_rows(len(lengths)))
            continue
        row_of_label = np.repeat(np.arange(len(lengths)), lengths)
        kept = row_of_label[single.lengths > 0]
        rows.append(Ragged(offsets_of(np.bincount(kept, minlength=len(lengths))), single.ids))
    return join(rows, hasher.max_tokens)
