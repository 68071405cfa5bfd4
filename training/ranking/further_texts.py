"""Texts that came after an index over texts was made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp  # type: ignore[import-untyped]
from numpy.typing import NDArray

from training.ranking.bm25 import Bm25
from training.ranking.untitled import UNTITLED


class FurtherTexts:
    """Texts that came after an index was made, by its formula (BM25 of Lucene, as bm25s has it)::

        sum over the query's words of ln(1 + (n - df + .5) / (df + .5)) tf / (tf + k1 (1 - b + b length / average))

    with n and df of the index. It does not keep the lengths of its texts: their average is taken to be that of distinct
    words, which is a little less. ``lacking``: which have no title, [texts].
    """

    def __init__(self, texts: list[str], base: Bm25, lacking: NDArray[np.bool_] | None = None) -> None:
        tokens = base.tokens_of(texts)
        lengths = np.array([len(row) for row in tokens.ids], dtype=np.int64)
        flat = np.fromiter((i for row in tokens.ids for i in row), dtype=np.int64, count=int(lengths.sum()))
        words, row = len(tokens.vocab), np.repeat(np.arange(len(texts)), lengths)
        keys, times = np.unique(row * max(words, 1) + flat, return_counts=True)
        row, word = keys // max(words, 1), keys % max(words, 1)
        frequency = dict(zip(*base.document_frequency(forms=True), strict=True))
        known = np.zeros(words, dtype=np.float64)
        for name, place in tokens.vocab.items():
            known[place] = frequency.get(name, 0)
        average = sum(frequency.values()) / max(len(base), 1) or max(float(lengths.mean()) if len(texts) else 1.0, 1.0)
        k1, b = base.parameters
        counted = lengths if lacking is None else np.where(lacking, np.maximum(lengths, UNTITLED * average), lengths)
        rarity = np.log1p((len(base) - known + 0.5) / (known + 0.5))[word]
        weight = rarity * times / (times + k1 * (1 - b + b * counted[row] / average))
        shape = (max(words, 1), len(texts))
        self._base = base
        self._vocabulary: dict[str, int] = dict(tokens.vocab)
        self._weights = sp.csr_array((weight.astype(np.float32), (word, row)), shape)

    def texts_with(self, word: str) -> NDArray[np.int64]:
        """The texts that have a word, ascending, [m]."""
        place = self._vocabulary.get(word)
        if place is None:
            return np.zeros(0, dtype=np.int64)
        begin, end = self._weights.indptr[place : place + 2].tolist()
        return np.sort(self._weights.indices[begin:end]).astype(np.int64)

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the texts, 0 where no word matches, [n, texts]."""
        own = self._vocabulary
        places = [[own[word] for word in self._base.asked(query, own) if word in own] for query in queries]
        row = np.repeat(np.arange(len(queries)), [len(found) for found in places])
        column = np.array([place for found in places for place in found], dtype=np.int64)
        asked = sp.csr_array((np.ones(len(row), np.float32), (row, column)), (len(queries), self._weights.shape[0]))
        return np.asarray((asked @ self._weights).toarray(), dtype=np.float32)
