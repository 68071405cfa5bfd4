"""BM25 over the catalogue's text."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Collection, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.contract.letters import same_letters
from training.model.search import CHUNK_SCORES
from training.ranking.measures import item_text, query_text
from training.ranking.untitled import padded
from training.ranking.word_forms import FORM, WordForms, language_of

if TYPE_CHECKING:
    from training.ranking.further_texts import FurtherTexts

I64 = NDArray[np.int64]
SIZE = "size.json"
"""File of every saved index, also of one without a word."""
READING, AS_WRITTEN = 2, 1
"""How texts are read: in one way of writing letters and measures; in an index of before, in lower case alone. An index
is asked as it was made, whatever wrote it."""
_WORD = re.compile(r"\b\w\w+\b")
TEXT_FIELDS = ("title", "category_path", "brand", "attributes", "tags", "description")
LEXICAL_FIELDS = (*TEXT_FIELDS, "item_id")
"""What the lexical source reads: an item's own number finds it."""


def catalog_text(catalog: pa.Table, fields: tuple[str, ...] = TEXT_FIELDS) -> list[str]:
    """The text of each item: of attributes their values; a field that the catalogue lacks adds nothing."""
    parts = []
    for name in fields:
        if name not in catalog.column_names:
            continue
        column = catalog[name].combine_chunks()
        if name == "attributes":
            column = pa.ListArray.from_arrays(column.offsets, column.values.field("value"), mask=column.is_null())
        if pa.types.is_list(column.type):
            column = pc.binary_join(column.cast(pa.list_(pa.string())), " ")
        parts.append(pc.fill_null(column.cast(pa.string()), ""))
    return list(pc.binary_join_element_wise(*parts, " ").to_pylist()) if parts else [""] * len(catalog)


def words_of(text: str) -> list[str]:
    """The words that are written in a text."""
    return _words(same_letters(text))


def _words(text: str) -> list[str]:
    # what bm25s.tokenize gives, which takes 0.7 ms to begin
    return [word for word in _WORD.findall(text) if word not in stop_words()]


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """Words that the index leaves out."""
    from bm25s.stopwords import STOPWORDS_EN

    return frozenset(STOPWORDS_EN)


class Bm25:
    """BM25 by bm25s over the words of texts, English stop words left out, and their forms in a language (see
    :class:`training.ranking.word_forms.WordForms`); None: the words alone."""

    def __init__(
        self,
        texts: list[str],
        language: str | None = None,
        lacking: NDArray[np.bool_] | None = None,
        reading: int = READING,
    ) -> None:
        import bm25s

        self._index: Any = bm25s.BM25()
        self.language, self.reading, self._size, self.is_empty = language, reading, len(texts), True
        tokens = padded(self.tokens_of(texts), lacking)
        self.is_empty = not any(tokens.vocab)
        if not self.is_empty:
            self._index.index(tokens, show_progress=False)
        self._further: FurtherTexts | None = None

    @classmethod
    def of_items(cls, texts: list[str], lacking: NDArray[np.bool_] | None = None) -> Bm25:
        """The index over a catalogue's texts, in their language; ``lacking``: which have no title, None: none."""
        return cls(texts, language_of(texts), lacking)

    def with_texts(self, texts: list[str], lacking: NDArray[np.bool_] | None = None) -> Bm25:
        """The same index with further texts after its own, scored by its own frequencies of words."""
        from training.ranking.further_texts import FurtherTexts

        other = copy.copy(self)
        other._further = FurtherTexts(texts, self, lacking)
        return other

    def tokens_of(self, texts: list[str]) -> Any:
        """The words of each text, then their forms, as ``bm25s.tokenize`` gives them."""
        import bm25s

        read = [self._read(text, item_text) for text in texts]
        tokens = bm25s.tokenize(read, stopwords="en", show_progress=False)
        return tokens if self.language is None else _with_forms(tokens, self.language, self._vocabulary)

    def asked(self, query: str, further: Collection[str] = ()) -> list[str]:
        """The words and forms that a query is searched by; ``further``: words that are known besides the index's."""

        def knows(word: str) -> bool:
            return word in self._vocabulary or word in further

        text = self._read(query, query_text)
        words = _words(text)
        return words if self.forms is None else [*words, *self.forms.asked(text, words, knows)]

    def words_of(self, text: str) -> list[str]:
        """The words that are written in a text, as the index has them."""
        return _words(self._read(text))

    def _read(self, text: str, measures: Callable[[str], str] = str) -> str:
        return text.lower() if self.reading == AS_WRITTEN else measures(same_letters(text))

    @cached_property
    def forms(self) -> WordForms | None:
        """Forms of words in its language; None where that is not told."""
        return None if self.language is None or self.is_empty else WordForms(self.language, self._vocabulary)

    @property
    def _vocabulary(self) -> dict[str, int]:
        """Place of each word and form; none before there is an index."""
        return {} if self.is_empty else self._index.vocab_dict

    def save(self, folder: Path) -> None:
        """Write the index into a new folder."""
        folder.mkdir()
        told = {"texts": self._size, "is_empty": self.is_empty, "language": self.language, "reading": self.reading}
        (folder / SIZE).write_text(json.dumps(told), encoding="utf-8")
        if not self.is_empty:
            self._index.save(folder, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> Bm25:
        """What :meth:`save` wrote; its arrays are mapped.

        Raises:
            ValueError: a newer program wrote it, which reads texts in another way.
        """
        import bm25s

        index = cls.__new__(cls)
        told = json.loads((folder / SIZE).read_text(encoding="utf-8"))
        index._size, index.is_empty, index.language = told["texts"], told["is_empty"], told.get("language")
        index.reading, index._further = told.get("reading", AS_WRITTEN), None
        if index.reading not in (AS_WRITTEN, READING):
            raise ValueError(
                f"{folder} was written by a newer program (texts are read in way {index.reading}): start that one"
            )
        index._index = bm25s.BM25() if index.is_empty else bm25s.BM25.load(folder, mmap=True, show_progress=False)
        return index

    def document_frequency(self, forms: bool = False) -> tuple[list[str], I64]:
        """Every word of the index, and how many items have it, [words]; with ``forms`` also of these."""
        if self.is_empty:
            return [], np.zeros(0, dtype=np.int64)
        items = np.diff(self._index.scores["indptr"]).astype(np.int64)
        places = {word: place for word, place in self._vocabulary.items() if word and (forms or word[0] != FORM)}
        return list(places), items[list(places.values())]

    @property
    def parameters(self) -> tuple[float, float]:
        """k1 and b of its formula."""
        return self._index.k1, self._index.b

    def __len__(self) -> int:
        return self._size

    def items_with(self, word: str) -> NDArray[np.integer[Any]]:
        """The items that have a word of :func:`words_of`, ascending, [m]."""
        begin = end = 0
        if (place := self._vocabulary.get(word)) is not None:
            begin, end = self._index.scores["indptr"][place : place + 2].tolist()
        own = np.zeros(0, dtype=np.int64) if begin == end else np.asarray(self._index.scores["indices"][begin:end])
        return own if self._further is None else np.concatenate([own, self._size + self._further.texts_with(word)])

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Scores of all items, 0 where no word matches, [n, items]."""
        own = np.zeros((len(queries), self._size), dtype=np.float32)
        own = own if self.is_empty else self._scores(list(queries), None)
        return own if self._further is None else np.hstack([own, self._further.scores(queries)])

    def search(
        self, queries: list[str], k: int, factor: NDArray[np.float32] | None = None
    ) -> tuple[I64, NDArray[np.float32]]:
        """The best ``k`` items per query [n, k] and their scores; -1 where no word matches.

        ``factor``: what each item's score is multiplied by, above 0, [items].
        """
        k, step = min(k, self._size), max(1, CHUNK_SCORES // max(self._size, 1))
        found = np.full((len(queries), k), -1)
        best = np.full((len(queries), k), -np.inf, dtype=np.float32)
        if self.is_empty:
            return found, best
        for start in range(0, len(queries), step):
            scores = self._scores(queries[start : start + step], factor)
            found[start : start + step], best[start : start + step] = best_matches(scores, k)
        return found, best

    def best_matching(self, queries: list[str], k: int, worth: NDArray[np.float32], least_share: float) -> I64:
        """The ``k`` items worth most among those that match, [n, k], -1 where there are no more.

        Args:
            worth: of each item, above 0, [items]; least_share: of the query's highest score, to match.
        """
        k, step = min(k, self._size), max(1, CHUNK_SCORES // max(self._size, 1))
        found = np.full((len(queries), k), -1)
        if self.is_empty:
            return found
        for start in range(0, len(queries), step):
            scores = self._scores(queries[start : start + step], None)
            matches = (scores > 0) & (scores >= least_share * scores.max(axis=1, keepdims=True))
            found[start : start + step], _ = best_matches(np.where(matches, worth, np.float32(0)), k)
        return found

    def _scores(self, queries: list[str], factor: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """As :meth:`scores`, times ``factor`` [items]."""
        nothing = np.zeros(self._size, dtype=np.float32)
        asked = map(self.asked, queries)
        return np.stack([self._index.get_scores(words, factor) if words else nothing for words in asked])


def best_matches(scores: NDArray[np.float32], k: int) -> tuple[I64, NDArray[np.float32]]:
    """The best ``k`` items of each row of scores [n, items] that are above 0, of equal ones the lower first, -1 where
    there are no more, and their scores, [n, k] each.

    Most scores are 0: to choose among the others takes a tenth of the time of a choice among all.
    """
    found = np.full((len(scores), k), -1)
    best = np.full((len(scores), k), -np.inf, dtype=np.float32)
    for row, of_items in enumerate(scores):
        there = np.flatnonzero(of_items > 0)
        if len(there) > k:
            values = of_items[there]
            least = np.partition(values, len(there) - k)[len(there) - k]
            above = there[values > least]
            there = np.concatenate([above, there[values == least][: k - len(above)]])
        there = there[np.lexsort((there, -of_items[there]))]
        found[row, : len(there)], best[row, : len(there)] = there, of_items[there]
    return found, best


def _with_forms(tokens: Any, language: str, known: dict[str, int]) -> Any:
    """The tokens of each text, then their forms; compounds are split by these words and the ``known`` ones."""
    words = list(tokens.vocab)
    forms = WordForms(language, {**known, **tokens.vocab}).of_words(words)
    vocab = dict(tokens.vocab)
    numbered = [vocab.setdefault(form, len(vocab)) for each in forms for form in each]
    counts = np.zeros(len(words), dtype=np.int64)
    counts[list(tokens.vocab.values())] = list(map(len, forms))
    begins = np.zeros(len(words), dtype=np.int64)
    begins[list(tokens.vocab.values())] = np.cumsum([0, *map(len, forms)])[:-1]
    lengths = np.array(list(map(len, tokens.ids)), dtype=np.int64)
    ids = np.fromiter(chain.from_iterable(tokens.ids), dtype=np.int64, count=int(lengths.sum()))
    each = counts[ids]
    place = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
    of_ids = np.array(numbered, dtype=np.int64)[np.repeat(begins[ids], each) + place]
    of = np.repeat(np.arange(len(lengths)), lengths)
    text = np.concatenate([of, np.repeat(of, each)])
    order = np.argsort(text, kind="stable")
    ends = np.cumsum(np.bincount(text, minlength=len(lengths)))[:-1]
    return type(tokens)(np.split(np.concatenate([ids, of_ids])[order], ends), vocab)
