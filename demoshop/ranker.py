"""The shop's own search engine, mediocre on purpose: shared words, a little popularity, noise, paid places."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demoshop.items import Items, Shelved
from demoshop.randomness import Floats, Ints, Longs

KEYWORD_WEIGHT = 0.3
"""A word in an item's tags counts as this much of one in its title."""
POPULARITY_WEIGHT = 0.4
NOISE = 0.8
CANDIDATES = 100
NEW_CANDIDATES = 20
PAID_PLACES = 2
"""Places of a page that go to another item from the shelf of one of the first candidates."""
CELLS = 8_000_000
"""Scores held at once while ranking."""


def tokens(texts: pa.Array) -> tuple[Ints, pa.Array]:
    """Lower-case words of each text: the row of each word, and the word."""
    words = pc.split_pattern_regex(pc.utf8_lower(pc.fill_null(texts, "")), r"[^\p{L}\p{N}]+")
    rows, flat = pc.list_parent_indices(words).to_numpy(), words.flatten()
    kept = pc.not_equal(flat, "")
    return rows[kept.to_numpy(zero_copy_only=False)].astype(np.int32), flat.filter(kept)


class Postings:
    """For each word of a vocabulary, the items that have it and what it is worth there (its rarity, idf)."""

    def __init__(self, vocabulary: pa.Array, idf: Floats | None, items: Items, start: int, stop: int) -> None:
        count, words = stop - start, len(vocabulary)
        cells: list[Longs] = []
        for texts in (items.titles, items.keywords):
            row, word = tokens(texts[start:stop])
            code = pc.fill_null(pc.index_in(word, vocabulary), -1).to_numpy().astype(np.int64)
            cells.append(np.unique(code[code >= 0] * count + row[code >= 0]))
        in_title = cells[0]
        cell = np.union1d(*cells)
        word_of, self.item = cell // max(count, 1), cell % max(count, 1)
        if idf is None:
            have = np.bincount(word_of, minlength=words)
            idf = np.log1p((count - have + 0.5) / (have + 0.5)).astype(np.float32)
        self.idf = idf
        share = np.where(np.isin(cell, in_title, assume_unique=True), 1.0, KEYWORD_WEIGHT)
        self.weight: Floats = (idf[word_of] * share).astype(np.float32)
        self.start = np.searchsorted(word_of, np.arange(words + 1))
        self.count, self.first = count, start
        self.prior = (POPULARITY_WEIGHT * items.popularity[start:stop]).astype(np.float32)

    def best(self, row: Ints, word: Longs, queries: int, keep: int) -> tuple[Ints, Floats]:
        """The ``keep`` best items of each query and their scores, [queries, keep] each, unordered.

        ``row`` and ``word`` are the words of the queries by query row, rows rising.
        """
        keep = min(keep, self.count)
        found, scores = np.empty((queries, keep), np.int32), np.empty((queries, keep), np.float32)
        step = max(1, CELLS // max(self.count, 1))
        for at in range(0, queries, step):
            rows = min(step, queries - at)
            part = slice(*np.searchsorted(row, (at, at + rows)))
            cells, weight = self.hits(row[part] - at, word[part])
            dense = np.bincount(cells, weight, rows * self.count).reshape(rows, self.count).astype(np.float32)
            dense += self.prior
            best = np.argpartition(dense, self.count - keep, axis=1)[:, self.count - keep :]
            found[at : at + rows] = best + self.first
            scores[at : at + rows] = np.take_along_axis(dense, best, axis=1)
        return found, scores

    def hits(self, row: Ints, word: Longs) -> tuple[Longs, Floats]:
        """Cells (row x items + item) of all postings of the words, and their weights."""
        count = self.start[word + 1] - self.start[word]
        before = np.cumsum(count) - count
        posting = np.arange(count.sum()) - np.repeat(before - self.start[word], count)
        return np.repeat(row.astype(np.int64), count) * self.count + self.item[posting], self.weight[posting]


class Ranker:
    """Shows a page of items for each request. Opening stock is searched once per distinct query, new items daily."""

    def __init__(self, items: Items, opening: int, shelves: int) -> None:
        self.items, self.opening = items, opening
        self.vocabulary = pc.unique(
            pa.concat_arrays([tokens(items.titles[:opening])[1], tokens(items.keywords[:opening])[1]])
        )
        self.postings = Postings(self.vocabulary, None, items, 0, opening)
        self.shelved = Shelved.group(items.shelf[:opening], shelves)
        self.known = pa.array([], pa.string())
        width = min(CANDIDATES, opening)
        self.found, self.scores = np.empty((0, width), np.int32), np.empty((0, width), np.float32)
        self.new = Postings(self.vocabulary, self.postings.idf, items, opening, opening)

    def stock(self, stop: int) -> None:
        """Index the new items up to ``stop``."""
        self.new = Postings(self.vocabulary, self.postings.idf, self.items, self.opening, stop)

    def words(self, queries: pa.Array) -> tuple[Ints, Longs]:
        """Row and vocabulary code of the queries' words that the catalogue knows."""
        row, word = tokens(queries)
        code = pc.fill_null(pc.index_in(word, self.vocabulary), -1).to_numpy().astype(np.int64)
        return row[code >= 0], code[code >= 0]

    def candidates(self, queries: pa.Array) -> tuple[Ints, Floats]:
        """Candidates of distinct queries and their scores, [queries, C] each."""
        unseen = queries.filter(pc.is_null(pc.index_in(queries, self.known)))
        if len(unseen):
            found, scores = self.postings.best(*self.words(unseen), len(unseen), CANDIDATES)
            self.known = pa.concat_arrays([self.known, unseen])
            self.found, self.scores = np.concatenate([self.found, found]), np.concatenate([self.scores, scores])
        row = pc.index_in(queries, self.known).to_numpy()
        found, scores = self.found[row], self.scores[row]
        if self.new.count:
            new_found, new_scores = self.new.best(*self.words(queries), len(queries), NEW_CANDIDATES)
            found, scores = np.concatenate([found, new_found], axis=1), np.concatenate([scores, new_scores], axis=1)
        return found, scores

    def show(self, rng: np.random.Generator, texts: pa.Array, times: Longs, narrowed: Ints, page: int) -> Ints:
        """The items shown, best first: texts [R], times [R] in microseconds -> [R, K]. Only items that exist then.

        ``narrowed`` [R, N] are items of the category that the user has narrowed the page to, -1 for none: they take
        random places.
        """
        coded = texts.dictionary_encode()
        found, scores = self.candidates(coded.dictionary)
        query = coded.indices.to_numpy()
        items = found[query]
        score = scores[query] + np.float32(NOISE) * rng.standard_normal(items.shape, np.float32)
        score[self.items.created[items] > times[:, None]] = -np.inf
        page = min(page, self.found.shape[1])
        best = np.argpartition(-score, page - 1, axis=1)[:, :page]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(score, best, axis=1), axis=1, kind="stable"), 1)
        shown: Ints = np.take_along_axis(items, best, axis=1)
        rows = np.arange(len(shown))
        for item in narrowed.T:
            replace(shown, rng.integers(0, page, len(shown)), item)
        for _ in range(PAID_PLACES if page > PAID_PLACES else 0):
            like = shown[rows, rng.integers(0, min(10, page), len(shown))]
            replace(shown, rng.integers(2, page, len(shown)), self.shelved.draw(rng, self.items.shelf[like]))
        return shown


def replace(shown: Ints, place: Longs, item: Ints) -> None:
    """Put ``item`` [R] at ``place`` [R] of ``shown`` [R, K], unless it is -1 or there already."""
    rows = np.flatnonzero((item >= 0) & ~(shown == item[:, None]).any(axis=1))
    shown[rows, place[rows]] = item[rows]
