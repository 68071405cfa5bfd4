"""The known word that an unknown one is a slip of."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
LONGEST = 24
"""Letters of the longest word that is compared."""
LONGEST_FOLDED = 2 * LONGEST
"""Of the longest folded word that is compared: ``ß`` and the like are two letters, but a ligature may be eighteen."""
OTHER_FIRST_LETTER = 0.1
"""What a candidate that begins with another letter weighs: people get first letters right."""
UNLIKELY_SLIP, ENDING = 0.2, 2.0
"""What a candidate weighs where a letter was typed for another or too much (there are many such letters, but one that
is left out, typed twice, or swapped with its neighbour is this very one); and where the last letter alone is one too
many or too few (``mans``: ``man``)."""
RARE, MARGIN = 3.0, 3.0
"""A candidate as rare as this stands out only where it weighs ``MARGIN`` times the next one."""
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i",
                          "ς": "σ"})  # fmt: skip
_SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


class NearWords:
    """Finds the most likely of n words at so many edits of one that is none of them; accents are no edit.

    An edit is a letter too many, too few or wrong, or two neighbours swapped (optimal string alignment). No index of
    deletions: the sets of letters of all words, compared at once, leave so few that these can be measured. Read-only,
    so threads may share it.

    Args:
        words: at most ``LONGEST`` letters each, [n]; weight: how often each is met, [n].
    """

    def __init__(self, words: Sequence[str], weight: F64) -> None:
        folded = np.array([fold(word) for word in words], dtype=np.object_)
        lengths = np.array([len(word) for word in folded], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        self._words = [words[row] for row in order.tolist()]
        self._folded, self._weight = folded[order], weight[order]
        self._letters = _letter_sets(self._folded.tolist())
        self._first = np.array([word[:1] for word in self._folded], dtype=np.str_)
        # of two edits more, and the end of these
        self._begin = np.searchsorted(lengths[order], np.arange(LONGEST_FOLDED + 4))

    def nearest(self, folded: str, edits: int, endings_alone: bool = False) -> str | None:
        """The most likely word at most ``edits`` from ``folded``, its last letter alone one too many or too few where
        ``endings_alone``; None where there is none, none that stands out, or ``folded`` is too long."""
        if len(folded) > LONGEST_FOLDED:
            return None
        rows = self._within(folded, edits)
        ending = [folded[:-1] == word or folded == word[:-1] for word in self._folded[rows]]
        is_ending = np.array(ending, dtype=np.bool_)
        is_likely = (rows >= self._begin[len(folded) + 1]) | (self._letters[rows] == _letter_sets([folded])[0])
        weight = self._weight[rows] * np.where(is_ending, ENDING, np.where(is_likely, 1, UNLIKELY_SLIP))
        weight *= np.where(self._first[rows] == folded[:1], 1, OTHER_FIRST_LETTER)
        if endings_alone:
            rows, weight = rows[is_ending], weight[is_ending]
        if not len(rows):
            return None
        best, *others = np.argsort(-weight, kind="stable").tolist()
        if weight[best] <= RARE and others and weight[best] < MARGIN * weight[others[0]]:
            return None
        return str(self._words[rows[best]])

    def _within(self, folded: str, edits: int) -> I64:
        """The words at most ``edits`` away."""
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import cdist

        begin, end = self._begin[max(len(folded) - edits, 0)], self._begin[len(folded) + edits + 1]
        # an edit changes two letters of the set at most
        unlike = np.bitwise_count(self._letters[begin:end] ^ _letter_sets([folded])[0])
        rows = begin + np.flatnonzero(unlike <= 2 * edits)
        if not len(rows):
            return np.zeros(0, dtype=np.int64)
        distance = cdist([folded], self._folded[rows].tolist(), scorer=OSA.distance, score_cutoff=edits, dtype=np.uint8)
        return np.asarray(rows[distance[0] <= edits])


def fold(word: str) -> str:
    """The word without accents, which is what is compared."""
    return word if word.isascii() else "".join(map(_bare, word.translate(_LETTERS)))


def plain_spellings(word: str) -> tuple[str, ...]:
    """What a keyboard without its letters writes for a word: ``u`` or ``ue`` for ``ü``."""
    return (word,) if word.isascii() else (fold(word), fold(word.translate(_SPELT_OUT)))


@lru_cache(maxsize=1 << 16)
def _bare(letter: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))


def _letter_sets(words: Sequence[str]) -> NDArray[np.uint64]:
    """A bit per letter of each word, code points modulo 64, [n]."""
    if not len(words):
        return np.zeros(0, dtype=np.uint64)
    fixed = np.array(words, dtype=np.str_)
    points = fixed.view(np.uint32).reshape(len(fixed), -1)
    bits = np.where(points > 0, np.uint64(1) << (points & 63).astype(np.uint64), np.uint64(0))
    return np.asarray(np.bitwise_or.reduce(bits, axis=1))
