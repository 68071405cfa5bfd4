"""Query correction against the shop's own words: typos, and compounds written together or apart."""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.contract.letters import same_letters
from training.data.edges import Edges
from training.ranking.bm25 import Bm25, stop_words
from training.ranking.near_words import LONGEST, NearWords, fold, plain_spellings
from training.ranking.shop_words import SCHEMA, shop_words
from training.ranking.word_forms import WordForms
from training.text.general_words import general_words

I64 = NDArray[np.int64]
QUERY_WEIGHT = 5
"""Items that an event of a query counts as: what people ask for weighs more than what one title says."""
SHORTEST, TWO_EDITS_FROM = 4, 8
"""Letters of a word that is corrected, and of one with two slips."""
PART = 3
"""Letters of the shortest part of a compound."""
PART_WEIGHT = {3: 3.0, 4: 2.0}
"""What a part of so many letters weighs at least; longer ones 1: most short strings are some word."""
JOINED_MARGIN = 3.0
"""What a word weighs at least, in times of its being written with a letter apart (``t-shirt``), for the letter to be
joined: an index without one-letter words finds ``t shirt`` by the rest of it."""
MOST_UNKNOWN = 10
"""Unknown words beyond which a text is no query of this shop, and is left as it is."""
WORDS_KEPT = 10_000
_ALPHABETS = r"^[\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Georgian}\p{Hebrew}\p{Arabic}]+$"
"""Scripts that put spaces between words and have a letter per sound: an edit is a slip there."""
_APOSTROPHES = {"'", "’"}
_TOKEN, _DIGIT = re.compile(r"\w+"), re.compile(r"\d")


class _Token(NamedTuple):
    """A word of a query."""

    before: str
    """What stands between the word before and it."""
    word: str
    is_fixed: bool
    """Part of a number, an id or a model's name."""


class Spelling:
    """Corrects the words of a query that neither the catalogue nor what is often asked for has.

    An unknown word becomes, in this order, the word that is it but for accents or a hyphen (``creme``, ``tshirt``), the
    most likely one at one edit, known words written together (``dogleash``), and, of a long word, the most likely one
    at two edits. Words apart that are one known word are joined. A query that led to an item leads there as it is; nor
    do short words change and whatever has a digit. Words that are well known elsewhere (``general``) change their
    ending alone: who asks for socks did not mean the stocks that this shop has. Read-only, so threads may share it.

    Args:
        words: of :func:`training.ranking.shop_words.shop_words`;
        forms: by which the index finds other words than those asked for, and which are no slip therefore; None: none.
    """

    def __init__(self, words: pa.Table, forms: WordForms | None = None) -> None:
        self._table, self._forms = words, forms
        is_query = words["is_query"].combine_chunks()
        self._queries = frozenset(words["word"].filter(is_query).to_pylist())
        words = words.filter(pc.invert(is_query))
        apart = words.filter(pc.greater(words["apart"], 0))
        self._apart = dict(zip(apart["word"].to_pylist(), apart["apart"].to_pylist(), strict=True))
        text, written = words["word"].combine_chunks(), words["written"].combine_chunks()
        items, asked = words["items"].to_numpy(), words["asked"].to_numpy()
        is_own, is_word = items + asked > 0, written.is_null().to_numpy(zero_copy_only=False)
        self._known = frozenset(text.filter(pa.array(is_own & is_word)).to_pylist()) | stop_words()
        self._general = frozenset(text.filter(pa.array(~is_own)).to_pylist())
        lengths = pc.utf8_length(text).to_numpy()
        is_sure = is_own & (lengths >= PART) & (lengths <= LONGEST)
        is_sure &= pc.match_substring_regex(text, _ALPHABETS).to_numpy(zero_copy_only=False)
        weight = (items + QUERY_WEIGHT * asked).astype(np.float64)
        rows = np.flatnonzero(is_sure)
        rows = rows[np.argsort(weight[rows], kind="stable")]
        plain, spelt = (c.take(pa.array(rows)).to_pylist() for c in (text, pc.coalesce(written, text)))
        self._weight = dict(zip(plain, weight[rows].tolist(), strict=True))
        # of words that are spelt alike the heaviest, which comes last
        self._written = {same: w for word, w in zip(plain, spelt, strict=True) for same in plain_spellings(word)}
        # what is written apart is found by its parts
        is_one = np.array([" " not in w for w in spelt], dtype=np.bool_)
        self._best_of = lru_cache(maxsize=WORDS_KEPT)(self._best)
        self._near = NearWords([w for w in spelt if " " not in w], weight[rows][is_one])

    @classmethod
    def of(cls, lexical: Bm25, texts: Sequence[str], queries: pa.Array, events: I64, general: pa.Array) -> Spelling:
        """From what a shop's catalogue says and what its known queries were.

        Args:
            lexical: the index over ``texts``; queries: normalised, [queries]; events: that followed each, [queries];
            general: words that are no slip though the shop has none of it.
        """
        return cls(shop_words(lexical, texts, queries, events, general), lexical.forms)

    @classmethod
    def of_catalog(cls, lexical: Bm25, texts: Sequence[str]) -> Spelling:
        """As :meth:`of`, where there are no queries yet."""
        return cls.of(lexical, texts, pa.array([], pa.string()), np.zeros(0, dtype=np.int64), general_words())

    @classmethod
    def as_of(cls, lexical: Bm25, texts: Sequence[str], edges: Edges, queries: pa.Array, at: int) -> Spelling:
        """As :meth:`of`, with the queries that had led to an item at ``at`` (microseconds since 1970); ``edges`` number
        ``queries``."""
        events = np.bincount(edges.query[edges.time < at], minlength=len(queries))
        return cls.of(lexical, texts, queries, events, general_words())

    def knowing(self, texts: Sequence[str]) -> Spelling:
        """The same with the words of further texts known: they stay as they are, and nothing is corrected to them."""
        other = copy.copy(self)
        other._known = self._known | {word for text in texts for word in _TOKEN.findall(text.lower())}
        other._best_of = lru_cache(maxsize=WORDS_KEPT)(other._best)
        return other

    def corrected(self, text: str) -> str:
        """A normalised query as the shop spells it; the same where all its words are known or nothing is near."""
        # every change leaves fewer unknown words, so that there is an end
        while (better := self._once(text)) != text:
            text = better
        return text

    def is_same(self, text: str, corrected: str) -> bool:
        """Whether a query is corrected but for the endings of its words, if at all."""
        if self._forms is None:
            return text == corrected
        before, after = (self._forms.stems(_TOKEN.findall(same_letters(one))) for one in (text, corrected))
        return before == after

    def save(self, file: Path) -> None:
        """Write it as one Parquet file."""
        pq.write_table(self._table, file)

    @classmethod
    def load(cls, file: Path, forms: WordForms | None = None) -> Spelling:
        """What :meth:`save` wrote, with the forms of the index beside it."""
        return cls(pq.read_table(file, schema=SCHEMA), forms)

    def _once(self, text: str) -> str:
        if text in self._queries or all(word in self._known for word in _TOKEN.findall(text)):
            return text
        tokens = list(_tokens(unicodedata.normalize("NFC", text)))
        if sum(not token.is_fixed and token.word not in self._known for token in tokens) > MOST_UNKNOWN:
            return text
        parts, place = [], 0
        while place < len(tokens):
            token = tokens[place]
            if place + 1 < len(tokens) and self._is_one_word(token, tokens[place + 1]):
                place += 1
                parts += [token.before, token.word, tokens[place].word]
            else:
                parts += [token.before, token.word if token.is_fixed else self._best_of(token.word)]
            place += 1
        return "".join(parts)

    def _is_one_word(self, token: _Token, following: _Token) -> bool:
        joined = token.word + following.word
        return (
            following.before in {" ", "-"}
            and token.before not in _APOSTROPHES
            and not (token.is_fixed or following.is_fixed)
            and len(joined) >= SHORTEST
            and joined in self._known
            and not (token.word in self._known and following.word in self._known)
            and (min(len(token.word), len(following.word)) > 1 or self._is_written_so(joined))
            and _is_alphabetic(joined)
        )

    def _is_written_so(self, joined: str) -> bool:
        """Whether a word that may be written with a letter apart hardly ever is."""
        return bool(self._weight.get(joined, 0.0) >= JOINED_MARGIN * self._apart.get(joined, 0))

    def _best(self, word: str) -> str:
        """How the shop spells a word; the word itself where it is known or nothing is near."""
        if word in self._known or not SHORTEST <= len(word) <= LONGEST or not _is_alphabetic(word):
            return word
        folded = fold(word)
        same = self._written.get(folded)
        # with two different accents they are two words, an edit apart
        if same is not None and (folded == word or same.isascii()):
            return str(same)
        if self._forms is None:
            return self._nearest(word, folded)
        if self._forms.asked_within(word):
            return word
        found = self._nearest(word, folded)
        return word if self._forms.has_stem(word) and self._forms.stems([word]) != self._forms.stems([found]) else found

    def _nearest(self, word: str, folded: str) -> str:
        if word in self._general or (word.endswith("s") and word[:-1] in self._general):
            return self._near.nearest(folded, 1, endings_alone=True) or word
        found = self._near.nearest(folded, 1) or self._split(word)
        if found is None and len(word) >= TWO_EDITS_FROM:
            found = self._near.nearest(folded, 2)
        return found or word

    def _split(self, word: str) -> str | None:
        """The two or three known words that are ``word`` without spaces: as few as can be, then those whose rarest is
        most frequent; None where there are none."""
        for count in (1, 2):
            cuts = combinations(range(PART, len(word) - PART + 1), count)
            ways = [[word[a:b] for a, b in zip((0, *cut), (*cut, len(word)), strict=True)] for cut in cuts]
            weight, parts = max(((min(map(self._part_weight, way)), way) for way in ways), default=(0.0, []))
            if weight > 0:
                return " ".join(parts)
        return None

    def _part_weight(self, part: str) -> float:
        """How frequent a part of a compound is, 0 where it is none."""
        if len(part) < PART or part not in self._known:
            return 0.0
        weight = self._weight.get(part, PART_WEIGHT[PART] if part in stop_words() else 0.0)
        return weight if weight >= PART_WEIGHT.get(len(part), 1.0) else 0.0


def _tokens(text: str) -> Iterator[_Token]:
    """The words of a query and what is between them; the last one is empty, after what ends the query."""
    end = 0
    for found in _TOKEN.finditer(text):
        begin, until = text.rfind(" ", 0, found.start()) + 1, text.find(" ", found.end())
        is_fixed = bool(_DIGIT.search(text, begin, until if until >= 0 else len(text)))
        yield _Token(text[end : found.start()], found[0], is_fixed)
        end = found.end()
    yield _Token(text[end:], "", True)


def _is_alphabetic(word: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(word), _ALPHABETS).as_py())
