"""What of an item people have a taste for: its brand, its tags and its attributes, as log-odds of what a user chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.data.ragged import Ragged, offsets_of

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
BRAND, TAGS, ATTRIBUTE = "brand", "tags", "attribute "
"""Fields: ``attribute colour`` is the one of that key."""
MOST_ATTRIBUTES = 8
LEAST_SHARE = 0.05
"""Of the items that have a value, for an attribute to be one of the fields."""
LEAST_PRICED = 5
PRIOR_CHOICES = 2.0
"""Choices of nobody in particular that a user's are counted beside, spread as the catalogue's values are."""


@dataclass(frozen=True)
class Traits:
    """The values of each item, numbered over all fields."""

    fields: tuple[str, ...]
    values: Ragged
    """Of each item, [items]."""
    field: NDArray[np.int32]
    """Of each value, [values]."""
    share: F64
    """Of each value among those of its field, [values]."""

    @classmethod
    def of(cls, catalog: pa.Table, fields: Sequence[str] | None = None) -> Traits:
        """Of a catalogue; ``fields``: those that count (default: the ones that enough of its items have)."""
        catalog = catalog.combine_chunks()
        row, name, value = _entries(catalog)
        chosen = tuple(_common(name, row, len(catalog)) if fields is None else fields)
        number = pc.index_in(name, value_set=pa.array(chosen, pa.string()))
        kept = pc.is_valid(number)
        row, number = row[kept.to_numpy(zero_copy_only=False)], number.filter(kept)
        coded = pc.binary_join_element_wise(number.cast(pa.string()), value.filter(kept), "\x1f").dictionary_encode()
        codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        entries = np.unique(row * max(len(coded.dictionary), 1) + codes)
        row, codes = np.divmod(entries, max(len(coded.dictionary), 1))
        field = pc.split_pattern(coded.dictionary, "\x1f", max_splits=1)
        of_value = np.array([int(f) for f in pc.list_element(field, 0).to_pylist()] if len(field) else [], np.int32)
        count = np.bincount(codes, minlength=len(of_value)).astype(np.float64)
        total = np.bincount(of_value, weights=count, minlength=max(len(chosen), 1))
        values = Ragged(offsets_of(np.bincount(row, minlength=len(catalog))), codes.astype(np.int32))
        return cls(chosen, values, of_value, count / total[of_value])

    def affinities(self, row: I64, chosen: I64, pair_row: I64, pair_item: I64) -> F64:
        """How much likelier than of the catalogue at large a user's choice is of the pair's values, [pairs, fields].

        The mean over the item's values of log((c + a s) / (n + a)) - log s, of c of the n choices in the field having
        the value, s its share of the catalogue and a ``PRIOR_CHOICES``; 0 for an item without a value, and for a user
        without a choice.

        Args:
            row, chosen: whose choices, and of which items, [n] each; pair_row, pair_item: [pairs] each.
        """
        count, fields = len(self.field), len(self.fields)
        out = np.zeros((len(pair_item), fields))
        if not count or not len(row) or not len(pair_row):
            return out
        had = self.values.take(chosen)
        whose, value = row[had.rows_of_entries()], had.ids.astype(np.int64)
        keys, times = np.unique(whose * count + value, return_counts=True)
        choices = np.bincount(whose * fields + self.field[value], minlength=(int(pair_row.max()) + 1) * fields)
        if not len(keys):
            return out
        asked = self.values.take(pair_item)
        pair, value = asked.rows_of_entries(), asked.ids.astype(np.int64)
        wanted = pair_row[pair] * count + value
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        chosen_times = np.where(keys[at] == wanted, times[at], 0)
        field, share = self.field[value], self.share[value]
        of_field = choices[pair_row[pair] * fields + field]
        odds = np.log((chosen_times / share + PRIOR_CHOICES) / (of_field + PRIOR_CHOICES))
        cell = pair * fields + field
        sums = np.bincount(cell, weights=odds, minlength=out.size)
        return np.asarray((sums / np.maximum(np.bincount(cell, minlength=out.size), 1)).reshape(out.shape))


def price_places(log_price: F32, category: NDArray[np.int32]) -> F32:
    """Share of the priced items of the same category that are cheaper, of equal ones half, [items]; NaN where the price
    is unknown or fewer than ``LEAST_PRICED`` items of the category have one."""
    place = np.full(len(log_price), np.nan, dtype=np.float32)
    known = np.flatnonzero(np.isfinite(log_price))
    pair = np.rec.fromarrays([category[known], log_price[known]])
    order = np.argsort(pair, kind="stable")
    of = category[known][order]
    first, last = np.searchsorted(of, of), np.searchsorted(of, of, side="right")
    _, run, length = np.unique(pair[order], return_inverse=True, return_counts=True)
    begin = (np.cumsum(length) - length)[run]
    middle = begin + length[run] / 2 - first
    place[known[order]] = np.where(last - first >= LEAST_PRICED, middle / (last - first), np.nan)
    return place


def _entries(catalog: pa.Table) -> tuple[I64, pa.Array, pa.Array]:
    """Row, field and value of all that items have, [entries] each."""
    rows: list[I64] = []
    names: list[pa.Array] = []
    values: list[pa.Array] = []

    def add(row: I64, name: pa.Array | str, value: pa.Array) -> None:
        rows.append(row)
        names.append(pa.repeat(pa.scalar(name), len(value)) if isinstance(name, str) else name)
        values.append(value)

    if BRAND in catalog.column_names:
        brand = catalog[BRAND].combine_chunks()
        add(np.flatnonzero(pc.is_valid(brand).to_numpy(zero_copy_only=False)), BRAND, brand.drop_null())
    if TAGS in catalog.column_names:
        tags = catalog[TAGS].combine_chunks().cast(pa.list_(pa.string()))
        add(_parents(tags), TAGS, pc.fill_null(tags.flatten(), ""))
    if "attributes" in catalog.column_names:
        kind = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
        pairs = catalog["attributes"].combine_chunks().cast(kind)
        flat = pairs.flatten()
        key = pc.binary_join_element_wise(ATTRIBUTE, pc.fill_null(flat.field("key"), ""), "")
        add(_parents(pairs), key, pc.fill_null(flat.field("value"), ""))
    if not rows:
        return np.zeros(0, dtype=np.int64), pa.array([], pa.string()), pa.array([], pa.string())
    return np.concatenate(rows), pa.concat_arrays(names), pa.concat_arrays([v.cast(pa.string()) for v in values])


def _parents(lists: pa.ListArray) -> I64:
    return np.asarray(pc.list_parent_indices(lists).to_numpy(zero_copy_only=False), dtype=np.int64)


def _common(name: pa.Array, row: I64, items: int) -> list[str]:
    """Brand and tags where there are any, and the attributes that most items have."""
    coded = name.dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    found = coded.dictionary.to_pylist()
    pairs = np.unique(codes * max(items, 1) + row)
    share = np.bincount(pairs // max(items, 1), minlength=len(found)) / max(items, 1)
    order = sorted(range(len(found)), key=lambda i: (-share[i], found[i]))
    attributes = [found[i] for i in order if found[i].startswith(ATTRIBUTE) and share[i] >= LEAST_SHARE]
    return [*(f for f in (BRAND, TAGS) if f in found), *attributes[:MOST_ATTRIBUTES]]
