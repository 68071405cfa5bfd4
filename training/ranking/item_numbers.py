"""Items that are asked for by a number of their own: an id, a variant's id, a model's or a part's number.

What names items, the first of these that does; nothing where it names more than ``few``:

1. the whole query, which is an id however it is written (case, punctuation and spaces do not count), or a number
   that a title or an attribute says;
2. an id beside other words; a number that is said, of those items that have all the other words too;
3. the beginning of a number, then any part of it, of four characters or more with a digit, likewise;
4. a part that is cut at marks, of five characters or more (``4311/32-A`` of ``MK-4311/32-A``), likewise.

An ordinary word, a size or a version is none of these, whatever id it is a part of; see :meth:`ItemNumbers.named`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra.contract.letters import same_letters
from infra.contract.query_text import normalise
from training.ranking.bm25 import Bm25
from training.ranking.candidates import DEPTH, SOURCES
from training.ranking.identifiers import folded_text, may_be_part, own_identifiers, said_identifiers
from training.ranking.number_index import NOTHING, NumberIndex

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
LONG = 5
"""Characters from which on an id is a word or a number for nothing else."""
SHORT = 4
"""Characters from which on an id is one beside other words, with a letter and a digit in it; of digits alone ``LONG``,
and where it is written with spaces ``LONG_APART``."""
LONG_APART = 8
FEW = 10
"""Items that one number may name at most, in a catalogue of less than 500 items one in fifty of them: what more have
is a word."""
MOST_WORDS = 12
"""Words of a query beyond which none is looked at."""
MOST_ORDINARY = 2
"""Words of the longest id, written as one, that is taken for a compound of ordinary ones (``t-shirt``)."""
LONGEST_QUERY = 200
"""Characters of a text that is still looked at."""
_COLUMNS = ("item_id", "title", "attributes", "variant_ids")
JOINED = 3
"""Words apart that may be one id."""
_VERSION, _RUNS = re.compile(r"[^\W\d_]{4,}\d{1,2}$"), re.compile(r"\d+|\D+")
_DIGIT, _INNER, _ALPHANUMERIC = re.compile(r"\d"), re.compile(r"\w\W+\w"), re.compile(r"[^\W_]+")


class _Window(NamedTuple):
    """Adjacent words of a query."""

    words: tuple[str, ...]
    key: str
    """Folded."""
    others: tuple[str, ...]


class ItemNumbers:
    """Which items a query names. Read-only, so threads may share it.

    Args:
        catalog: ``item_id``, and those of ``title``, ``attributes`` and ``variant_ids`` that there are;
        lexical: the index over the text of the same items.
    """

    def __init__(self, catalog: pa.Table, lexical: Bm25) -> None:
        self._lexical = lexical
        self._catalog = catalog.select([name for name in _COLUMNS if name in catalog.column_names])
        self.few = min(FEW, max(1, len(catalog) // 50))
        self.index = self._index_of(catalog)
        self._further: NumberIndex | None = None
        self._first = len(catalog)

    def with_items(self, catalog: pa.Table, lexical: Bm25) -> ItemNumbers:
        """The same with further items after its own; ``lexical``: over the text of all."""
        other = copy.copy(self)
        other._lexical, other._further = lexical, self._index_of(catalog)
        further = catalog.select([name for name in self._catalog.column_names if name in catalog.column_names])
        other._catalog = pa.concat_tables([self._catalog, further], promote_options="permissive")
        return other

    def _index_of(self, catalog: pa.Table) -> NumberIndex:
        return NumberIndex(own_identifiers(catalog), said_identifiers(catalog), len(catalog), self.few)

    def named(
        self, texts: Sequence[str], known: NDArray[np.bool_], allowed: NDArray[np.bool_] | None = None
    ) -> list[I64]:
        """The items that each normalised query names, ascending, mostly none, [n].

        Names nothing: a known query of fewer than ``LONG`` characters, since what it led to before says better what is
        meant by ``501``; words that more than ``few`` items have, and two of them written as one; digits that another
        item has as a word; a size or a version.

        Args:
            known: which queries had led to an item before, [n];
            allowed: which items may be found, [1 or n, items]; None: all.
        """
        found = [self._named(text, is_known) for text, is_known in zip(texts, known.tolist(), strict=True)]
        if allowed is None:
            return found
        return [rows[allowed[at % len(allowed), rows]] if len(rows) else rows for at, rows in enumerate(found)]

    def _named(self, text: str, is_known: bool) -> I64:
        if len(text) > LONGEST_QUERY:
            return NOTHING
        words = text.split(" ", MOST_WORDS)[:MOST_WORDS]
        windows = list(_windows(words))
        is_whole = bool(windows) and len(windows[0].words) == len(words)
        if is_whole and len(found := self._whole(windows[0], is_known)):
            return found
        inside = windows[1:] if is_whole else windows
        parts = inside or windows
        ways = ((self._own_beside, inside), (self._said, inside), (self._part, parts), (self._written_part, parts))
        for name, sought in ways:
            each = [rows for window in sought if _DIGIT.search(window.key) and len(rows := name(window))]
            if each and len(rows := np.unique(np.concatenate(each))) <= FEW:
                return rows
        return NOTHING

    def _whole(self, window: _Window, is_known: bool) -> I64:
        """Of the query as a whole."""
        own, said = self._rows_of(window.key)
        if not len(own):
            return said if len(window.words) == 1 else NOTHING
        text = " ".join(window.words)
        ids = self._catalog["item_id"]
        written = np.array([row for row in own.tolist() if normalise(str(ids[row].as_py())) == text], dtype=np.int64)
        own = written if len(written) else own
        is_short = len(text) < LONG and (is_known or (window.key.isdigit() and not len(written)))
        is_split = len(window.words) > 1 and not len(written) and not _may_be_split(window.key)
        return NOTHING if is_short or is_split or self._is_ordinary(window, own) else own

    def _own_beside(self, window: _Window) -> I64:
        """An id beside other words."""
        own, _ = self._rows_of(window.key)
        is_short = len(window.key) < (LONG if window.key.isdigit() else SHORT)
        is_split = len(window.words) > 1 and not _may_be_split(window.key)
        if not len(own) or is_short or is_split or self._is_ordinary(window, own):
            return NOTHING
        # others may speak of a number with letters; of digits alone they mean something else
        return own if not window.key.isdigit() or self._is_no_word(window, own) else NOTHING

    def _said(self, window: _Window) -> I64:
        _, said = self._rows_of(window.key) if len(window.words) == 1 else (NOTHING, NOTHING)
        return self._with_others(said, window.others)

    def _part(self, window: _Window) -> I64:
        is_bare = not window.key.isdigit() or window.words[0] == window.key
        if len(window.words) > 1 or not is_bare or not may_be_part(window.key):
            return NOTHING
        asked = self._lexical.words_of(window.words[0])
        if len(asked) == 1 and len(self._lexical.items_with(asked[0])) > self.few:
            return NOTHING  # a word, which spares the pass over all numbers
        for rows in self._rows_with(window.key):
            is_one = 0 < len(rows) <= self.few and self._is_no_word(window, rows)
            if is_one and len(found := self._with_others(rows, window.others)):
                return found
        return NOTHING

    def _written_part(self, window: _Window) -> I64:
        """A part that is cut where the item's number has marks, which is neither a size nor a year then; no other item
        has its words."""
        written = window.words[0]
        if len(window.words) > 1 or len(window.key) < LONG or not _INNER.search(written):
            return NOTHING
        rows = self._items_with_all(self._lexical.words_of(written))
        if 0 < len(rows) <= self.few and self._all_write(rows, written):
            for there in self._rows_with(window.key):
                if np.isin(rows, there).all():
                    return self._with_others(rows, window.others)
        return NOTHING

    def _items_with_all(self, words: Sequence[str]) -> I64:
        """The items that have each of the words; none for no word."""
        fewest, *others = sorted((self._lexical.items_with(word) for word in words), key=len) or [NOTHING]
        rows = fewest.astype(np.int64)
        for there in others:
            rows = rows[_among(rows, there)]
        return rows

    def _all_write(self, rows: I64, written: str) -> bool:
        """Whether each of few items has a text in which the part stands between marks, whichever these are."""
        parts = r"(?:_|[^\w\s])+".join(_ALPHANUMERIC.findall(same_letters(written)))
        pattern = re.compile(rf"(?<![^\W_]){parts}(?![^\W_])")
        told = self._catalog.take(pa.array(rows)).to_pylist()
        return all(any(pattern.search(same_letters(text)) for text in _texts(item)) for item in told)

    def _rows_of(self, key: str) -> tuple[I64, I64]:
        """As of the index, further items among them."""
        own, said = self.index.rows_of(key)
        if self._further is None:
            return own, said
        then_own, then_said = self._further.rows_of(key)
        return np.concatenate([own, self._first + then_own]), np.concatenate([said, self._first + then_said])

    def _rows_with(self, part: str) -> Iterator[I64]:
        """As of the index, further items among them."""
        further = repeat(NOTHING) if self._further is None else self._further.rows_with(part)
        for own, then in zip(self.index.rows_with(part), further, strict=False):
            yield np.concatenate([own, self._first + then])

    def _is_ordinary(self, window: _Window, rows: I64) -> bool:
        """Whether all words are such as many items have that are not among ``rows``."""
        return all(self._is_ordinary_word(word, rows) for word in window.words)

    def _is_ordinary_word(self, word: str, rows: I64) -> bool:
        if _DIGIT.search(word) and _INNER.search(word):
            return False
        asked = self._lexical.words_of(" ".join(_RUNS.findall(word)) if _VERSION.match(word) else word)
        if not asked or len(asked) > MOST_ORDINARY:
            return not asked and len(word) > 1
        return all(self._others_with(each, rows) > self.few for each in asked)

    def _is_no_word(self, window: _Window, rows: I64) -> bool:
        """Whether no item but ``rows`` says what is one word: a whole number, or a part that texts have as well."""
        asked = [word for written in window.words for word in self._lexical.words_of(written)]
        return len(asked) != 1 or not self._others_with(asked[0], rows)

    def _others_with(self, word: str, rows: I64) -> int:
        """How many items but ``rows`` have a word."""
        there = self._lexical.items_with(word)
        return len(there) - int(_among(rows, there).sum())

    def _with_others(self, rows: I64, others: Sequence[str]) -> I64:
        """Those of the items that have all other words, of those that any item has."""
        for word in self._lexical.words_of(" ".join(others)) if len(rows) else ():
            there = self._lexical.items_with(word)
            rows = rows[_among(rows, there)] if len(there) else rows
        return rows


def _texts(item: Mapping[str, Any]) -> Iterator[str]:
    """The texts of an item that have its numbers."""
    values = (pair["value"] for pair in item.get("attributes") or ())
    texts = (item["item_id"], item.get("title"), *(item.get("variant_ids") or ()), *values)
    return (str(text) for text in texts if text is not None)


def _windows(words: Sequence[str]) -> Iterator[_Window]:
    """The whole query, then its adjacent words by their number; only what has a digit."""
    if len(words) < MOST_WORDS:
        yield _Window(tuple(words), folded_text(" ".join(words)), ())
    for width in range(min(JOINED, len(words) - 1), 0, -1):
        for start in range(len(words) - width + 1):
            window = tuple(words[start : start + width])
            if any(map(_DIGIT.search, window)):
                yield _Window(window, folded_text(" ".join(window)), (*words[:start], *words[start + width :]))


def _may_be_split(key: str) -> bool:
    """Whether words apart are an id that is written without spaces: not ``red hat``, nor ``50 100``."""
    return bool(_DIGIT.search(key)) and (not key.isdigit() or len(key) >= LONG_APART)


def _among(rows: I64, there: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Which of the rows are among others, which ascend."""
    place = np.searchsorted(there, rows)
    return np.asarray(np.append(there, -1)[place] == rows)


def depth_of(named: Sequence[I64]) -> int:
    """How many hits of each query have to be in order for what is ``named`` to be ordered among itself."""
    return (len(SOURCES) + 1) * DEPTH if any(len(rows) > 1 for rows in named) else 0


def named_first(items: I64, scores: F32, named: I64, k: int) -> tuple[I64, F32]:
    """Hits [<= k] with the items ``named`` before all others: those among the hits in their order, then the rest.

    Args:
        items, scores: best first, deeper than ``k`` where several are named: they are ordered by their place in it.
    """
    is_named = np.isin(items, named)
    first = np.concatenate([items[is_named], np.setdiff1d(named, items)])
    others = scores[~is_named]
    above = others.max(initial=0) + np.arange(len(first), 0, -1)
    return (
        np.concatenate([first, items[~is_named]])[:k].astype(np.int64),
        np.concatenate([above, others]).astype(np.float32)[:k],
    )
