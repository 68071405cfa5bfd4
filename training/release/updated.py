"""A release over today's catalogue: new items encoded as its own were, known ones with what changed of them.

A new item is encoded by the release's towers and text encoder, its price and rating as they are, its age zero, and all
that only a log tells unknown: what the nightly run would make of it, but for the counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.settings import Settings
from infra.threads import limit_threads
from training.data.items import item_tokens
from training.data.ngrams import Hasher
from training.data.ragged import Ragged, empty_rows, stack
from training.ranking.bm25 import LEXICAL_FIELDS, catalog_text
from training.ranking.features import ItemColumns
from training.ranking.untitled import untitled
from training.release.release import Release, Sources
from training.text import embed, item_texts

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class EncodedItems:
    """Items that a release does not have, as it would have them, [n] each."""

    tokens: Mapping[str, Ragged]
    """By history group."""
    vectors: F32
    """[n, width + f]."""
    numeric: F32
    """Quantile-transformed numeric features, NaN where unknown, [n, F]."""
    text: F32
    """By the text encoder, [n, text width]."""
    words: tuple[str, ...]
    """All that BM25 reads of each."""

    def take(self, rows: I64) -> EncodedItems:
        """The items at ``rows`` [m], in that order."""
        tokens = {group: held.take(rows) for group, held in self.tokens.items()}
        words = tuple(self.words[row] for row in rows.tolist())
        return EncodedItems(tokens, self.vectors[rows], self.numeric[rows], self.text[rows], words)

    def joined(self, other: EncodedItems) -> EncodedItems:
        """These items, and then those."""
        return EncodedItems(
            {group: stack([held, other.tokens[group]]) for group, held in self.tokens.items()},
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.numeric, other.numeric]),
            np.concatenate([self.text, other.text]),
            self.words + other.words,
        )


def encode_new_items(release: Release, catalog: pa.Table, settings: Settings) -> EncodedItems:
    """Encode items; their texts are kept with those of the nightly runs, which find them there.

    Args:
        catalog: columns of ``infra.contract.tables.CATALOG`` with ``available_from`` in microseconds since 1970; each
            item has a title, a category, a brand or an attribute.
    """
    # here: they load torch, and a server that is told of no new item does without
    from training.model.encoding import encode_tokens
    from training.quality_prior import QualityFeatures, items_with_quality

    limit_threads(settings.serving.threads)
    encoder, count = release.encoder, len(catalog)
    config = encoder.config
    hasher = Hasher(config.buckets, config.max_item_tokens, config.ngrams)
    found = item_tokens(catalog, hasher, config.price_edges, encoder.location).groups
    tokens = {group: found.get(group, empty_rows(count)) for group in config.item_groups}
    numeric = release.item_transform.apply(_figures(catalog, release.item_transform.names))
    text = np.zeros((count, config.text_width), dtype=np.float32)
    if encoder.text_encoder is not None:
        threads = settings.training.model_copy(update={"threads": settings.serving.threads})
        text = embed(settings.model_copy(update={"training": threads}), encoder.text_encoder, item_texts(catalog))
    vectors = encode_tokens(encoder.towers, tokens, numeric[:, : config.item_numeric], text)
    boosting = release.manifest.config["boosting"]
    if boosting["weights"]:
        quality = QualityFeatures.from_json(boosting)
        vectors = items_with_quality(vectors, quality.apply(_quality(release, catalog, quality.transform.names)))
    history = {group: tokens[group] for group in config.kept_groups}
    return EncodedItems(history, vectors, numeric, text, tuple(catalog_text(catalog, LEXICAL_FIELDS)))


def with_updates(
    release: Release, table: pa.Table, numbers: Mapping[str, I64], new_ids: Sequence[str], new: EncodedItems | None
) -> Release:
    """The release over a table of items.

    Args:
        table: its own, changed where something changed, and then the new items; columns as of ``ItemTable.table``;
        numbers: rows of its own items whose price or rating changed, by name;
        new_ids, new: the new items; None: there are none.
    """
    items, encoder = release.items, release.encoder
    vectors = items.vectors if new is None else np.concatenate([items.vectors, new.vectors])
    ids = [*items.ids, *new_ids] if new_ids else items.ids
    encoder = encoder if new is None else encoder.with_items(new_ids, new.tokens)
    replaced = items.replaced(ids, vectors, table)
    if not release.has_ranker:
        return release.with_items(replaced, encoder, None)
    own = release.sources
    numeric = _numeric(release, own.items.numeric, table, numbers)
    text = own.items.text
    if new is not None:
        numeric = np.concatenate([numeric, new.numeric])
        text = None if text is None else np.concatenate([text, new.text.astype(text.dtype)])
    columns = ItemColumns.of(table, vectors, own.items.width, numeric, own.items.names, text, own.items.traits.fields)
    if new is None:
        return release.with_items(replaced, encoder, own._replace(items=columns))
    words, added = list(new.words), table.slice(len(items.ids))
    lexical = own.lexical.with_texts(words, untitled(table)[len(items.ids) :])
    sources = Sources(
        lexical,
        own.graph.with_items(len(words)),
        columns,
        own.numbers.with_items(added, lexical),
        None if own.spelling is None else own.spelling.knowing(words),
    )
    return release.with_items(replaced, encoder, sources)


def _numeric(release: Release, own: F32, table: pa.Table, changed: Mapping[str, I64]) -> F32:
    """Numeric features of the release's own items, those of ``changed`` rows anew, [items, F]."""
    transform = release.item_transform
    wanted = {name: rows for name, rows in changed.items() if name in transform.names and len(rows)}
    out = own.copy() if wanted else own
    for name, rows in wanted.items():
        column = transform.names.index(name)
        raw = np.full((len(rows), len(transform.names)), np.nan, dtype=np.float32)
        raw[:, column] = table[name].take(pa.array(rows)).to_numpy()
        out[rows, column] = transform.apply(raw)[:, column]
    return out


def _figures(catalog: pa.Table, names: Sequence[str]) -> F32:
    """Raw numeric features of new items by ``names``, NaN where a log has to tell, [n, F]."""
    figures = np.full((len(catalog), len(names)), np.nan, dtype=np.float32)
    for column, name in enumerate(names):
        if name in ("price", "rating"):
            figures[:, column] = _floats(catalog, name)
        elif name == "age_days":
            figures[:, column] = 0
    return figures


def _quality(release: Release, catalog: pa.Table, names: Sequence[str]) -> F32:
    """Raw figures of the quality prior, by ``names``, NaN where a log has to tell, [n, F]."""
    from training.quality_prior.quality import DAY

    until_us = release.manifest.data_until.timestamp() * 1e6
    known = {"rating": _floats(catalog, "rating")}
    known["freshness"] = (_floats(catalog, "available_from") - until_us) / DAY
    unknown = np.full(len(catalog), np.nan)
    return np.stack([known.get(name, unknown) for name in names], axis=1).astype(np.float32)


def _floats(catalog: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in catalog.column_names:
        return np.full(len(catalog), np.nan)
    return np.asarray(pc.fill_null(catalog[name].cast(pa.float64()), float("nan")).to_numpy())
