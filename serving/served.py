"""A release as it serves: its query tower, its index, its filter fields and its clock, always together."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from serving.diversity import DIVERSIFIED, diversified
from serving.fields import FilterFields, frequent_values
from serving.filters import Filter
from serving.hits import Hit, title_of
from serving.index.found import VectorIndex
from serving.index.memory import MemoryIndex
from serving.index.updated import JoinedIndex
from serving.ranking import Fit, Ranking
from serving.request_context import is_personal
from serving.sold_out import SoldOut
from training.ranking.candidates import DEPTH
from training.ranking.listing import History, Listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from infra.contract.request import RequestContext
    from training.release.release import Release

    Best: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
    """Rows of items and their scores, best first."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedRelease:
    """One release with all that serves it; no request mixes two."""

    release: Release
    index: VectorIndex
    """What searches: FAISS in memory, or Milvus."""
    exact: MemoryIndex
    """Exact search over the same vectors: needs nothing but this process."""
    fields: FilterFields
    clock_offset: timedelta
    """How far the wall clock is ahead of the shop's time: not zero where an old log is replayed."""
    min_score: float | None = None
    """Hits whose cosine is below it are left out; None: none."""
    diversity: float = 0.0
    """How much the first hits are told apart, in [0, 1]."""
    ranking: Ranking | None = None
    """The second stage; None: what the towers find is what is served."""
    second_stage_failed: bool = False
    """It has a second stage that cannot be asked."""
    version: int = 0
    """Another one whenever what was said of the items since their catalogue landed is another; 0: nothing was."""
    sold_out: SoldOut | None = None
    removed: NDArray[np.bool_] | None = None
    """Items that are no longer sold, [items]; None: none."""

    @cached_property
    def lists(self) -> bool:
        """Whether it lists items where nothing is searched for."""
        if self.release.has_ranker and self.second_stage_failed:
            try:
                _ = self._listing
            except Exception:
                log.exception("release %s lists nothing without a query", self.release.id)
                return False
        return self.release.has_ranker

    @cached_property
    def without_second_stage(self) -> ServedRelease:
        """The same in the order of the towers; itself where that is what it serves."""
        return self if self.ranking is None else replace(self, ranking=None, second_stage_failed=True)

    def search(
        self, vectors: NDArray[np.float32], k: int, wanted: Filter, timeout_s: float | None = None
    ) -> list[Best]:
        """Rows and scores of the best k items that match by the towers, best first, for each of ``vectors`` [n, d].

        Args:
            timeout_s: as in :class:`serving.index.found.VectorIndex`.

        Raises:
            IndexUnavailable: the index is away.
        """
        return self._each_above_min_score(vectors, zip(*self.index.search(vectors, k, wanted, timeout_s), strict=True))

    def search_memory(self, vectors: NDArray[np.float32], k: int, wanted: Filter) -> list[Best]:
        """As :meth:`search`, exactly, and without an index that could be away."""
        return self._each_above_min_score(vectors, zip(*self.exact.search(vectors, k, wanted), strict=True))

    def corrected(self, text: str) -> str:
        """A normalised query as it is served: as the shop spells it, where there is a second stage."""
        return text if self.ranking is None else self.ranking.corrected(text)

    def is_same_query(self, typed: str, corrected: str) -> bool:
        """Whether what is served for a normalised query is that query, but for the endings of its words."""
        return typed == corrected or (self.ranking is not None and self.ranking.is_same_query(typed, corrected))

    def fits(
        self, texts: Sequence[str], vectors: NDArray[np.float32], towers: Sequence[Best], wanted: Filter
    ) -> list[Fit]:
        """Whether anything of the whole catalogue, whatever was filtered, fits each of n normalised queries.

        Args:
            vectors: of the queries, [n, d]; towers: what :meth:`search` found for them by ``wanted``.
        """
        fits = [self.fit_of_decided] * len(texts)
        if self.ranking is not None and len(undecided := self.ranking.undecided(texts)):
            found = self._nearest(undecided, vectors, towers, wanted)
            told = self.ranking.fits([texts[i] for i in undecided.tolist()], found)
            for at, fit in zip(undecided.tolist(), told, strict=True):
                fits[at] = fit
        return fits

    @property
    def fit_of_decided(self) -> Fit:
        """Of what need not be looked at, such as a listing: it fits, where that can be told at all."""
        return Fit() if self.ranking is None else self.ranking.fit_of_decided

    def _nearest(
        self, asked: NDArray[np.int64], vectors: NDArray[np.float32], towers: Sequence[Best], wanted: Filter
    ) -> NDArray[np.int64]:
        """Rows of the whole catalogue that the towers find for the queries at ``asked`` [m], best first, [m, n]."""
        if wanted == Filter() and self.min_score is None:
            return np.stack([towers[i][0][:DEPTH] for i in asked.tolist()])
        index = self.index if isinstance(self.index, MemoryIndex | JoinedIndex) else self.exact
        return index.search(vectors[asked], DEPTH, Filter()).rows

    def is_personal(self, text: str, context: RequestContext) -> bool:
        """Whether towers or ranker read anything that is known of the user, for a normalised query."""
        if not text:
            return bool(context.recent_items or context.order_history)
        by_ranker = self.ranking is not None and self.ranking.is_personal(text, context)
        return by_ranker or is_personal(context, self.release.encoder.config)

    def hits(self, rows: NDArray[np.integer[Any]], scores: NDArray[np.float32]) -> list[Hit]:
        """What was found, by item id. ``rows`` and ``scores`` are [k]."""
        return list(map(Hit, self._item_ids[rows].tolist(), scores.tolist()))

    def depth(self, k: int) -> int:
        """How many items the towers have to find where ``k`` are to be served."""
        k = self._places_diversified(k) + (0 if self.sold_out is None else self.sold_out.places)
        return k if self.ranking is None else max(k, DEPTH)

    def _places_ordered(self, k: int) -> int:
        """How many items have to be ordered where ``k`` are to be served: behind those sold out are some in stock."""
        return self._places_diversified(k) + (0 if self.sold_out is None else self.sold_out.places + DEPTH)

    def ranked(
        self,
        texts: Sequence[str],
        contexts: Sequence[RequestContext],
        vectors: NDArray[np.float32],
        towers: Sequence[Best],
        k: int,
        wanted: Filter,
    ) -> list[Best]:
        """Rows and scores of the best k items of n requests by the second stage, where there is one.

        Args:
            texts: normalised queries; vectors: theirs, [n, d]; towers: what :meth:`search` found ``depth(k)`` deep.
        """
        if self.ranking is None:
            return [self._diversified_in_stock(one, k) for one in towers]
        allowed = self.exact.mask(wanted)
        found = self.ranking.order(texts, contexts, vectors, towers, self._places_ordered(k), allowed)
        if self.min_score is None and self.sold_out is None and not self.diversity:
            return [self._diversified_in_stock(one, k) for one in found]
        named = self.ranking.named(texts, allowed)
        near = [
            self._above_min_score(vector, *hits, named=items)
            for vector, items, hits in zip(vectors, named, found, strict=True)
        ]
        return [self._diversified_in_stock(one, k, items) for one, items in zip(near, named, strict=True)]

    def _diversified_in_stock(self, found: Best, k: int, named: NDArray[np.int64] | None = None) -> Best:
        """The k hits that are served of what was found ``_places_ordered(k)`` deep: told apart where that is set,
        those in stock first."""
        rows, scores = found
        if self.diversity:
            vectors = self.release.items.vectors[rows[:DIVERSIFIED], : self._width]
            first = 0 if named is None else int(np.isin(rows, named).sum())
            order = diversified(scores, vectors, self.diversity, first)
            rows, scores = rows[order], scores[order]
        return (rows[:k], scores[:k]) if self.sold_out is None else self.sold_out.lowered((rows, scores), k, named)

    def _places_diversified(self, k: int) -> int:
        """How many items have to be found where ``k`` are to be served: diversity orders the head as a whole."""
        return max(k, DIVERSIFIED) if self.diversity else k

    def _each_above_min_score(self, vectors: NDArray[np.float32], found: Iterable[Best]) -> list[Best]:
        return [
            self._above_min_score(vector, rows, scores) for vector, (rows, scores) in zip(vectors, found, strict=True)
        ]

    def _above_min_score(
        self,
        vector: NDArray[np.float32],
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        named: NDArray[np.int64] | None = None,
    ) -> Best:
        """Those of cosine ``min_score`` or more, and the items that are asked for by a number of theirs."""
        if self.min_score is None:
            return rows, scores
        width = self._width
        keep = self.release.items.vectors[rows, :width] @ vector[:width] >= self.min_score
        if named is not None:
            keep |= np.isin(rows, named)
        return rows[keep], scores[keep]

    @property
    def _width(self) -> int:
        """Of vectors without the entries that boost."""
        return int(self.release.items.vectors.shape[1] - len(self.release.manifest.config["boosting"]["weights"]))

    def listed(self, context: RequestContext, k: int, wanted: Filter) -> Best:
        """Rows and scores of the best k items that match where nothing is searched for; of a release that has a second
        stage."""
        found = self._listing.order(self._history(context), self._places_ordered(k), self.exact.mask(wanted))
        return self._diversified_in_stock(found, k)

    def listed_parts(self, context: RequestContext, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """What the scores of the items at ``rows`` [n] are made of where they are listed, [n] per part."""
        own = self._listing.of_user(self._history(context), rows)
        return {"popularity": self._listing.popularity[rows], "user": own}

    def _history(self, context: RequestContext) -> History:
        encoder = self.release.encoder
        rows = encoder.row_indexes(context.recent_items), encoder.known_row_indexes(context.order_history)
        return History(*(np.array(row, dtype=np.int32) for row in rows))

    @cached_property
    def _listing(self) -> Listing:
        return Listing(self.release.items.table, self.release.sources.items)

    @cached_property
    def _item_ids(self) -> NDArray[np.object_]:
        return np.array(self.release.items.ids, dtype=object)

    @cached_property
    def id_array(self) -> pa.Array:
        """The ids of its items, in their order."""
        return pa.array(self.release.items.ids, pa.string())

    def items(self, item_ids: Sequence[str]) -> list[dict[str, Any]]:
        """What is known of those items that are sold, in their order."""
        rows = np.array(self.release.encoder.known_row_indexes(item_ids), dtype=np.int64)
        return self.release.items.rows(rows if self.removed is None else rows[~self.removed[rows]])

    def item(self, item_id: str) -> dict[str, Any] | None:
        """What is known of an item; None where it is not sold."""
        return next(iter(self.items([item_id])), None)

    def describe(self, item_id: str) -> str:
        """An item for people: its title, else its category and price, else its id."""
        item = self.item(item_id)
        return item_id if item is None else title_of(item)

    @cached_property
    def filter_values(self) -> list[dict[str, Any]]:
        """What can be filtered by, each with its most frequent values, or with the least and the largest number."""
        return frequent_values(self.fields)
