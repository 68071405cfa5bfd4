"""Other forms of a word that find an item as well: its stem, the parts of a compound, the letters of an unspaced text.

They are indexed beside the words, not in place of them, so that the word that was asked for still counts most. One
language per catalogue, told by its stop words; a catalogue whose language is not told has words alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from itertools import pairwise

from training.ranking.compounds import Compounds
from training.ranking.near_words import fold

FORM = "#"
"""What a form begins with in an index, and no word."""
UNSPACED = "unspaced"
"""Stands for the languages of scripts that put no, or few, spaces between words."""
STOP_WORDS = {
    "danish": "DANISH",
    "dutch": "DUTCH",
    "english": "EN_PLUS",
    "french": "FRENCH",
    "german": "GERMAN",
    "italian": "ITALIAN",
    "norwegian": "NORWEGIAN",
    "portuguese": "PORTUGUESE",
    "russian": "RUSSIAN",
    "spanish": "SPANISH",
    "swedish": "SWEDISH",
    "turkish": "TURKISH",
}
"""Language of Snowball -> list of bm25s."""
COMPOUNDING = frozenset({"danish", "dutch", "german", "norwegian", "swedish"})
SAMPLE = 2_000
"""Texts by which a language is told."""
LEAST_SHARE, MARGIN = 0.01, 1.5
"""Of a language's stop words among all words, and in times of the next language's."""
UNSPACED_SHARE = 0.2
"""Of letters of such scripts among all."""
_UNSPACED_RUN = re.compile(
    "[\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+"
)
_LETTER, _WORD = re.compile(r"[^\W\d_]"), re.compile(r"[^\W\d_]{2,}")


class WordForms:
    """The forms of words in one language.

    Args:
        language: of :func:`language_of`; words: those of the catalogue, by which compounds are split.
    """

    def __init__(self, language: str, words: Collection[str]) -> None:
        self._words = words
        self._compounds: Compounds | None = None
        if language != UNSPACED:
            from Stemmer import Stemmer

            self._stemmer = Stemmer(language)
            if language in COMPOUNDING:
                self._compounds = Compounds(words, self.stems, stop_words_of(language))
        self._is_unspaced = language == UNSPACED

    def of_words(self, words: Sequence[str]) -> list[list[str]]:
        """The forms of each word as items are indexed by them, [n]."""
        if self._is_unspaced:
            return [[FORM + form for run in _UNSPACED_RUN.findall(w) for form in (*run, *_pairs(run))] for w in words]
        parts = self._compounds.parts if self._compounds else lambda _: []
        return [
            [FORM + form for form in (stem, *parts(word))] for word, stem in zip(words, self.stems(words), strict=True)
        ]

    def asked(self, text: str, words: Sequence[str], knows: Callable[[str], bool]) -> list[str]:
        """The forms that a query is searched by besides its words: known ones of each word and, of one that is not
        known in any form, of the compounds that it is the last part of."""
        if self._is_unspaced:
            runs = _UNSPACED_RUN.findall(text)
            return list(filter(knows, (FORM + p for run in runs for p in (_pairs(run) if len(run) > 1 else [run]))))
        asked: list[str] = []
        for word, forms in zip(words, self.of_words(words), strict=True):
            is_missing = self._compounds is not None and not (knows(word) or knows(forms[0]))
            asked += filter(knows, [*forms, *(self.asked_within(word) if is_missing else ())])
        return asked

    def has_stem(self, word: str) -> bool:
        """Whether the catalogue has a word of the same stem, by an index that has the forms among its words."""
        return FORM + self.stems([word])[0] in self._words

    def asked_within(self, word: str) -> list[str]:
        """The forms of the catalogue's compounds that a word is the last part of which is itself none of its words."""
        found = self._compounds.ending_with(word) if self._compounds else []
        return [FORM + stem for stem in dict.fromkeys(self.stems(found))]

    def stems(self, words: Sequence[str]) -> list[str]:
        """Of each word its stem; in scripts without spaces, and of what has a digit, the word itself."""
        # Stemming first: in some languages it reads accents.
        return list(words) if self._is_unspaced else [fold(stem) for stem in self._stemmer.stemWords(list(words))]


def language_of(texts: Sequence[str]) -> str | None:
    """The language of a catalogue's texts, by a sample of them; None where none stands out."""
    sample = " ".join(texts[:: max(1, len(texts) // SAMPLE)]).lower()
    unspaced = sum(map(len, _UNSPACED_RUN.findall(sample)))
    if unspaced and unspaced > UNSPACED_SHARE * len(_LETTER.findall(sample)):
        return UNSPACED
    counts = Counter(_WORD.findall(sample))
    shares = dict.fromkeys(STOP_WORDS, 0.0)
    for word, languages in _languages_of_words().items():
        for language in languages:
            shares[language] += counts[word] / len(languages)
    (next_best, _), (most, best) = sorted((share, language) for language, share in shares.items())[-2:]
    return best if most >= LEAST_SHARE * counts.total() and most > MARGIN * next_best else None


@lru_cache
def stop_words_of(language: str) -> frozenset[str]:
    """The stop words of one of ``STOP_WORDS``."""
    return frozenset(word for word, languages in _languages_of_words().items() if language in languages)


@lru_cache(maxsize=1)
def _languages_of_words() -> dict[str, list[str]]:
    from bm25s import stopwords

    found: dict[str, list[str]] = {}
    for language, name in STOP_WORDS.items():
        for word in dict.fromkeys(getattr(stopwords, f"STOPWORDS_{name}")):
            found.setdefault(word, []).append(language)
    return found


def _pairs(run: str) -> list[str]:
    return ["".join(pair) for pair in pairwise(run)]
