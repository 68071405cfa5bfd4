"""The second stage over the arrays of a run: what is served, as of the cut, for fitting and for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from infra.settings import Settings
from training.data.arrays import Arrays
from training.data.ragged import empty_rows
from training.model.search import CHUNK_SCORES, exact_top
from training.model.tower_config import TowerConfig
from training.ranking.asked_queries import QueryReader, with_corrected_queries
from training.ranking.bm25 import LEXICAL_FIELDS, Bm25, catalog_text
from training.ranking.candidates import DEPTH, Asked, Pairs, candidates
from training.ranking.click_chance import ClickChance, clicked_first, fit_click_chance, telling_requests
from training.ranking.confidence import nearness
from training.ranking.features import ItemColumns, pair_features
from training.ranking.fitting import FittedRanker, RankingRows, fit_ranker
from training.ranking.item_numbers import ItemNumbers, depth_of, named_first
from training.ranking.query_graph import QueryGraph
from training.ranking.ranker import Ranker, in_order
from training.ranking.spelling import Spelling
from training.ranking.untitled import untitled

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
MOST_REQUESTS = 4_000
"""Fitting requests beyond which more add time, not quality: a seeded draw of them."""
BLOCK = 256


@dataclass(frozen=True)
class SecondStage:
    """The sources of a candidate as of the cut, and what is read of items."""

    arrays: Arrays
    items: ItemColumns
    lexical: Bm25
    graph: QueryGraph
    numbers: ItemNumbers
    spelling: Spelling
    encode: Callable[..., F32]
    """Requests [n] to query vectors, with the weights of the quality prior, [n, width + f]; with ``personalized=False``
    as of people of whom nothing is known."""

    @classmethod
    def of(
        cls,
        arrays: Arrays,
        towers: TowerConfig,
        vectors: F32,
        encode: Callable[..., F32],
        at: int,
        reader: QueryReader | None,
        taste_fields: Sequence[str] | None = None,
    ) -> SecondStage:
        """Sources as of ``at``, the cut or the end (microseconds since 1970).

        Args:
            towers: what they read; vectors: theirs of all items, [items, width + f];
            encode: arrays and requests [n] of them to query vectors, as of the field;
            reader: of queries that are corrected; None: they are asked as they were typed;
            taste_fields: what tastes are for (default: as of :meth:`ItemColumns.of`).
        """
        transform, catalog = arrays.item_transform, arrays.catalog()
        texts = catalog_text(catalog, LEXICAL_FIELDS)
        lexical = Bm25.of_items(texts, untitled(catalog))
        spelling = Spelling.as_of(lexical, texts, arrays.edges, arrays.query_texts(), at)
        asked = arrays if reader is None else with_corrected_queries(arrays, spelling, reader)
        return cls(
            asked,
            ItemColumns.of(
                catalog,
                vectors,
                towers.width,
                transform.apply(arrays.item_features(at)),
                transform.names,
                # A server has a query's text vector only where the query tower reads it.
                arrays.text.items.astype(np.float16) if arrays.text and towers.text_in_query else None,
                taste_fields,
            ),
            lexical,
            QueryGraph.of(arrays.edges, arrays.query_texts(), at, arrays.cut, DEPTH),
            ItemNumbers(catalog, lexical),
            spelling,
            partial(encode, asked),
        )

    def without_users(self) -> SecondStage:
        """The same for people of whom nothing is known."""
        nothing = np.full_like(self.arrays.recent_items, -1)
        nobody = replace(self.arrays, recent_items=nothing, order_history=empty_rows(len(self.arrays.order_history)))
        return replace(self, arrays=nobody, encode=partial(self.encode, personalized=False))

    def search(self, ranker: Ranker, requests: I64, k: int) -> I64:
        """The ``k`` items served for requests, of those that existed at their time, best first, -1 for none, [n, k]."""
        found = [
            self._served(ranker, texts, towers, asked, pairs, values, k)
            for texts, towers, asked, pairs, values in self._blocks(requests, k)
        ]
        return np.concatenate(found) if found else np.zeros((0, k), dtype=np.int64)

    def search_texts(self, ranker: Ranker, texts: Sequence[str], vectors: F32, text: F32 | None, k: int) -> I64:
        """The ``k`` items of the whole catalogue served for queries of an unknown user, [n, k].

        Args:
            texts: normalised, and corrected by ``spelling``; vectors: theirs, [n, width + f]; text: theirs by the text
                encoder, [n, text width], where there is one.
        """
        nothing = np.full((len(texts), 1), -1, dtype=np.int32)
        asked = Asked(vectors, self.lexical.scores(texts), self.graph.walked(texts), nothing, nothing, text)
        towers, _ = exact_top(vectors, self.items.vectors, max(k, DEPTH))
        pairs = candidates(towers, asked)
        return self._served(ranker, texts, towers, asked, pairs, pair_features(pairs, asked, self.items), k)

    def fit(self, requests: I64, settings: Settings) -> FittedRanker:
        """The ranker that the clicks and orders of requests after the cut ask for, none of which judge it."""
        if len(requests) > MOST_REQUESTS:
            draw = np.random.default_rng(settings.training.seed)
            requests = np.sort(draw.choice(requests, MOST_REQUESTS, replace=False))
        values, rows, gains, known = [], [], [], []
        first = 0
        for _, _, asked, pairs, block in self._blocks(requests, DEPTH):
            n = len(asked.graph.known)
            values.append(block)
            rows.append(pairs.row + first)
            gains.append(self._gains(requests[first : first + n], pairs, settings.training.stage_weights))
            known.append(asked.graph.known)
            first += n
        user = self.arrays.request_user[requests].astype(np.int64)
        table = RankingRows(
            np.concatenate(values) if values else np.zeros((0, len(self.items.features)), dtype=np.float32),
            np.concatenate([np.zeros(0, dtype=np.int64), *rows]),
            np.concatenate([np.zeros(0), *gains]),
            np.concatenate([np.zeros(0, dtype=np.bool_), *known]),
            np.where(user >= 0, user, user.max(initial=0) + 1 + np.arange(len(user))),
        )
        return replace(
            fit_ranker(self.items.features, table, settings.training.seed), chance=self._chance(settings.training.seed)
        )

    def _chance(self, seed: int) -> ClickChance | str:
        """The chance of a click among the first ten, by the people who teach the ranker; or why it cannot be told."""
        telling = telling_requests(self.arrays)
        if isinstance(telling, str):
            return telling
        requests, _ = telling
        if len(requests) > MOST_REQUESTS:
            requests = np.sort(np.random.default_rng(seed).choice(requests, MOST_REQUESTS, replace=False))
        return fit_click_chance(*self.evidence(requests), clicked_first(self.arrays, requests))

    def evidence(self, requests: I64) -> tuple[F32, NDArray[np.bool_]]:
        """How near the nearest items are to each request's query, and whether that led to an item before, [n] each.

        NaN where no text can be compared, and where the query names an item by its number.
        """
        arrays, near = self.arrays, np.full(len(requests), np.nan, dtype=np.float32)
        texts = arrays.query_texts().take(arrays.request_query[requests]).to_pylist()
        if arrays.text is not None and self.items.text is not None:
            for start in range(0, len(requests), BLOCK):
                rows = requests[start : start + BLOCK]
                found, _ = exact_top(self.encode(rows), self.items.vectors, DEPTH)
                near[start : start + BLOCK] = nearness(
                    arrays.text.queries[arrays.request_query[rows]], self.items.text, found
                )
        named = [len(items) > 0 for items in self.numbers.named(texts, self.graph.known(texts))]
        near[named] = np.nan
        return near, self.graph.led_somewhere(texts)

    def _blocks(self, requests: I64, depth: int) -> Iterator[tuple[list[str], I64, Asked, Pairs, F32]]:
        """Queries, what the towers found, what is known, the candidates and their features, block by block."""
        arrays, items = self.arrays, self.arrays.items
        step = max(1, min(BLOCK, CHUNK_SCORES // max(items, 1)))
        texts = arrays.query_texts()
        for start in range(0, len(requests), step):
            rows = requests[start : start + step]
            time, vectors = arrays.request_time[rows], self.encode(rows)
            towers, _ = exact_top(vectors, self.items.vectors, max(depth, DEPTH), time, arrays.item_available)
            asked_texts = texts.take(arrays.request_query[rows]).to_pylist()
            asked = Asked(
                vectors=vectors,
                lexical=self.lexical.scores(asked_texts),
                graph=self.graph.walked(asked_texts),
                recent_items=arrays.recent_items[rows],
                order_history=arrays.order_history.take(rows).padded(),
                text=None if arrays.text is None else arrays.text.queries[arrays.request_query[rows]],
                allowed=arrays.item_available <= time[:, None],
            )
            pairs = candidates(towers, asked)
            yield asked_texts, towers, asked, pairs, pair_features(pairs, asked, self.items)

    def _gains(self, requests: I64, pairs: Pairs, stage_weights: dict[str, float]) -> NDArray[np.float64]:
        """What each pair is worth, by the deepest stage that it reached in its request, [m]."""
        gain = np.zeros(len(pairs.row))
        keys = pairs.row * self.arrays.items + pairs.item
        for stage, rows in (("clicked", self.arrays.clicked), ("ordered", self.arrays.ordered)):
            wanted = rows.take(requests)
            reached = np.isin(keys, wanted.rows_of_entries() * self.arrays.items + wanted.ids)
            gain[reached] = stage_weights[stage]
        return gain

    def _served(
        self,
        ranker: Ranker,
        texts: Sequence[str],
        towers: I64,
        asked: Asked,
        pairs: Pairs,
        values: F32,
        k: int,
    ) -> I64:
        """Items in the order in which they are served, [n, k]."""
        known = asked.graph.known
        named = self.numbers.named(texts, known, asked.allowed)
        depth = max(k, depth_of(named))
        found, scores = in_order(ranker, pairs, values, known, towers, depth)
        by_towers = np.full((len(towers), depth), -1, dtype=np.int64)
        by_towers[:, : towers.shape[1]] = towers[:, :depth]
        served = np.where(ranker.follows_towers(known)[:, None], by_towers, found)
        for row, items in enumerate(named):
            if len(items):
                hits, _ = named_first(served[row], scores[row], items, depth)
                served[row, : len(hits)] = hits
        return np.asarray(served[:, :k])
