"""What the second stage reads of a pair (request, item): one function for training and for serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.ranking.candidates import DEPTH, SOURCES, Asked, Pairs
from training.ranking.tastes import Traits, price_places

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
FAR = 0.25
"""How far the price of an item in any place is on average from the middle of its category's."""
RANK_CONSTANT = 60
"""Of reciprocal-rank fusion: a sum of the ``*_rank`` features orders items as the fusion does."""
GROUPS: dict[str, tuple[str, ...]] = {
    "towers": ("towers_cosine", "towers_rank"),
    "quality": ("quality_prior",),
    "text": ("text_cosine", "text_rank"),
    "lexical": ("lexical_score", "lexical_share", "lexical_rank"),
    "graph": ("graph_share", "graph_rank"),
    "user": (
        "times_ordered",
        "order_recency",
        "item_recency",
        "brand_share",
        "category_share",
        "price_closeness",
        "price_place_closeness",
    ),
}
"""Features by what an explanation calls them; tastes are of the user too, and those of the item itself are its numeric
features by their names."""
TASTE = "taste for "
"""A feature of the user for each field of :class:`Traits`: ``taste for attribute colour``."""
PAIR_FEATURES = tuple(name for names in GROUPS.values() for name in names)


@cache
def group_of(feature: str) -> str:
    """What an explanation calls a feature: one of ``GROUPS``, or ``item``."""
    if feature.startswith(TASTE):
        return "user"
    return next((group for group, names in GROUPS.items() if feature in names), "item")


def taste_fields(features: Sequence[str]) -> tuple[str, ...]:
    """The fields of which these features are tastes."""
    return tuple(name.removeprefix(TASTE) for name in features if name.startswith(TASTE))


@dataclass(frozen=True)
class ItemColumns:
    """What is read of the items themselves, row for row."""

    vectors: F32
    """With the features of the quality prior, [items, width + f]."""
    width: int
    """Of the unit vectors."""
    brand: NDArray[np.int32]
    """A number per brand, -1 for none, [items]."""
    category: NDArray[np.int32]
    """A number per category path, -1 for none, [items]."""
    log_price: F32
    """NaN where it is unknown, [items]."""
    numeric: F32
    """Quantile-transformed numeric features, NaN where unknown, [items, F]."""
    names: tuple[str, ...]
    """Of the numeric features."""
    traits: Traits
    price_place: F32
    """Of the price among those of the item's category, NaN where unknown, [items]."""
    text: NDArray[np.float16] | None = None
    """By the text encoder, zeros without a text, [items, text width]; None: there is no encoder."""

    @classmethod
    def of(
        cls,
        catalog: pa.Table,
        vectors: F32,
        width: int,
        numeric: F32,
        names: Sequence[str],
        text: NDArray[np.float16] | None = None,
        fields: Sequence[str] | None = None,
    ) -> ItemColumns:
        """Columns of a catalogue; a field that it lacks is unknown of all items.

        ``fields``: those that tastes are for (default: the ones that enough items have).
        """
        price = _column(catalog, "price", pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_price = np.where(price > 0, np.log(price), np.nan).astype(np.float32)
        paths = _column(catalog, "category_path", pa.list_(pa.string()))
        joined = pc.binary_join(pc.fill_null(paths, []), "\x1f")
        category = _codes(pc.if_else(pc.equal(joined, ""), None, joined))
        return cls(
            vectors=vectors,
            width=width,
            brand=_codes(_column(catalog, "brand", pa.string())),
            category=category,
            log_price=log_price,
            numeric=numeric,
            names=tuple(names),
            traits=Traits.of(catalog, fields),
            price_place=price_places(log_price, category),
            text=text,
        )

    @property
    def features(self) -> tuple[str, ...]:
        """The columns of :func:`pair_features`."""
        return (*PAIR_FEATURES, *(TASTE + field for field in self.traits.fields), *self.names)


def pair_features(pairs: Pairs, asked: Asked, items: ItemColumns) -> F32:
    """Features of each pair by ``items.features``, NaN where unknown, [m, features]."""
    row, item = pairs.row, pairs.item
    query, width = asked.vectors, items.width
    cosine = np.einsum("md,md->m", query[row, :width], items.vectors[item, :width])
    quality = np.einsum("mf,mf->m", query[row, width:], items.vectors[item, width:])
    lexical, walked = asked.lexical[row, item], _entries(asked, row, item)
    best = asked.lexical.max(axis=1, initial=0)
    found = RANK_CONSTANT / (RANK_CONSTANT + 1 + pairs.rank) * (pairs.rank < DEPTH)
    by_source = dict(zip(SOURCES, found.T, strict=True))
    whose, chosen = _history(asked.recent_items, asked.order_history)
    columns = {
        "towers_cosine": cosine,
        "towers_rank": by_source["towers"],
        "quality_prior": quality,
        **_of_text(pairs, asked, items),
        "lexical_score": np.log1p(lexical),
        "lexical_share": lexical / np.where(best > 0, best, 1)[row],
        "lexical_rank": by_source["lexical"],
        "graph_share": walked,
        "graph_rank": by_source["graph"],
        **user_features(pairs, asked.recent_items, asked.order_history, items),
        "price_place_closeness": _place_closeness(whose, chosen, pairs, items.price_place),
    }
    tastes = items.traits.affinities(whose, chosen, row, item)
    return np.column_stack([*(columns[name] for name in PAIR_FEATURES), tastes, items.numeric[item]]).astype(np.float32)


def _of_text(pairs: Pairs, asked: Asked, items: ItemColumns) -> dict[str, NDArray[np.floating]]:
    """How near the texts of query and item are by the text encoder, unknown where either has none; and the place that
    this gives the item among the candidates."""
    if asked.text is None or items.text is None:
        nothing = np.zeros(len(pairs.row), dtype=np.float32)
        return {"text_cosine": nothing + np.nan, "text_rank": nothing}
    query, item = asked.text[pairs.row], items.text[pairs.item].astype(np.float32)
    read = query.any(axis=1) & item.any(axis=1)
    cosine = np.where(read, np.einsum("md,md->m", query, item), np.nan)
    order = np.lexsort((-cosine, pairs.row))
    row = pairs.row[order]
    place = np.empty(len(order))
    place[order] = np.arange(len(order)) - np.searchsorted(row, row)
    return {"text_cosine": cosine, "text_rank": RANK_CONSTANT / (RANK_CONSTANT + 1 + place) * read}


def user_features(
    pairs: Pairs, recent_items: NDArray[np.int32], order_history: NDArray[np.int32], items: ItemColumns
) -> dict[str, NDArray[np.floating]]:
    """What the user did with the item of each pair, and with items of its brand and category, [m] each; the histories
    as of :class:`Asked`."""
    times, first = _lookup(order_history, pairs, len(items.brand))
    met, place = _lookup(recent_items, pairs, len(items.brand))
    row, chosen = _history(recent_items, order_history)
    return {
        "times_ordered": np.log1p(times),
        "order_recency": (times > 0) / (1.0 + first),
        "item_recency": (met > 0) / (1.0 + place),
        "brand_share": _share(row, items.brand[chosen], pairs.row, items.brand[pairs.item]),
        "category_share": _share(row, items.category[chosen], pairs.row, items.category[pairs.item]),
        "price_closeness": _closeness(row, chosen, pairs, items),
    }


def _history(recent_items: NDArray[np.int32], order_history: NDArray[np.int32]) -> tuple[I64, I64]:
    """Whose each item that a user clicked or ordered is, and which, [n] each."""
    history = np.concatenate([recent_items, order_history], axis=1)
    row, column = np.nonzero(history >= 0)
    return row, history[row, column].astype(np.int64)


def _lookup(history: NDArray[np.int32], pairs: Pairs, items: int) -> tuple[I64, I64]:
    """How often the item of each pair is in the row's history, and at which place first, [m] each; 0 and 0."""
    row, place = np.nonzero(history >= 0)
    keys, first, counts = np.unique(row * items + history[row, place], return_index=True, return_counts=True)
    wanted = pairs.row * items + pairs.item
    at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    there = keys[at] == wanted if len(keys) else np.zeros(len(wanted), dtype=np.bool_)
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=np.int64)
    return np.where(there, counts[at], 0), np.where(there, place[first][at], 0)


def _share(row: I64, code: NDArray[np.int32], pair_row: I64, wanted: NDArray[np.int32]) -> NDArray[np.float64]:
    """Share of a row's entries that have the code of the pair, [m]; 0 for none."""
    return _sums(row, code, np.ones(len(row)), pair_row, wanted) / np.maximum(
        np.bincount(row, minlength=int(pair_row.max(initial=-1)) + 1)[pair_row], 1
    )


def _closeness(row: I64, chosen: I64, pairs: Pairs, items: ItemColumns) -> NDArray[np.float64]:
    """exp(-|log price - mean log price of what the user chose in the category|), [m]; 0 where either is unknown."""
    price = items.log_price[chosen].astype(np.float64)
    known = np.isfinite(price)
    code, wanted = items.category[chosen][known], items.category[pairs.item]
    count = _sums(row[known], code, np.ones(len(code)), pairs.row, wanted)
    total = _sums(row[known], code, price[known], pairs.row, wanted)
    distance = np.abs(items.log_price[pairs.item] - total / np.maximum(count, 1))
    return np.where((count > 0) & np.isfinite(distance), np.exp(-np.nan_to_num(distance)), 0)


def _place_closeness(row: I64, chosen: I64, pairs: Pairs, place: F32) -> NDArray[np.float64]:
    """``FAR`` - |place - mean place of what the user chose|, the mean with one choice of the middle beside theirs, [m]:
    how dear people buy, whatever they buy; 0 where either is unknown."""
    known = np.isfinite(place[chosen])
    n = int(pairs.row.max(initial=-1)) + 1
    count = np.bincount(row[known], minlength=n)
    mean = (np.bincount(row[known], weights=place[chosen[known]], minlength=n) + 0.5) / (count + 1)
    closeness = FAR - np.abs(place[pairs.item] - mean[pairs.row])
    return np.where((count[pairs.row] > 0) & np.isfinite(closeness), closeness, 0)


def _sums(
    row: I64, code: NDArray[np.int32], value: NDArray[np.float64], pair_row: I64, wanted: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Sum of the values of a row's entries that have the code of the pair, [m]; 0 where the pair has none."""
    span = int(max(code.max(initial=-1), wanted.max(initial=-1))) + 2
    kept = code >= 0
    keys, entry = np.unique(row[kept] * span + code[kept], return_inverse=True)
    if not len(keys):
        return np.zeros(len(wanted))
    sums = np.bincount(entry, weights=value[kept], minlength=len(keys))
    asked = pair_row * span + wanted
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where((keys[at] == asked) & (wanted >= 0), sums[at], 0)


def _entries(asked: Asked, row: I64, item: I64) -> F32:
    """Visits of the pairs, [m]."""
    if not len(row) or not asked.graph.visits.nnz:
        return np.zeros(len(row), dtype=np.float32)
    return np.asarray(asked.graph.visits[row, item], dtype=np.float32).ravel()


def _column(catalog: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    if name not in catalog.column_names:
        return pa.nulls(len(catalog), kind)
    column = catalog[name].combine_chunks()
    return column.cast(kind)


def _codes(column: pa.Array) -> NDArray[np.int32]:
    codes = pc.fill_null(column.dictionary_encode().indices, -1).to_numpy(zero_copy_only=False)
    return np.asarray(codes, dtype=np.int32)
