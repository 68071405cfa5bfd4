"""Words that are written together, taken apart by the words of a catalogue.

What a compound is about stands last: a ``Bürostuhl`` is a ``Stuhl``. That a word ends with another makes it no compound
(``praktisch`` is no ``Tisch``), however long the other is: its beginning has to be a word too (``Büro``), or to begin
another compound (``Schlagschrauber`` beside ``Schlagbohrmaschine``).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from itertools import chain

from training.ranking.near_words import fold

LAST, FIRST = 4, 3
"""Letters of the last part of a compound, and of a first one that is a word, at least."""
FIRST_OF_OTHERS = 4
"""Letters of a first part that is no word but begins other compounds, at least: shorter ones are prefixes of verbs."""
LONG = 7
"""Letters of a word that somebody asks for, from which on no word ends with it by chance."""
MOST = 200
"""Compounds that a last part is looked for in."""
_LINKS = ("", "s", "n", "e", "es", "en", "er")
"""What may stand between the parts of a compound."""
_PREFIXES = frozenset({"ver", "ent", "zer", "miss", "her", "hin", "ont", "för", "fra"})
"""Of verbs, which look like first parts: a ``Verkleidung`` is no ``Kleidung``."""
_LETTERS = re.compile(r"[^\W\d_]+")
_HIGHEST = chr(0x10FFFF)


class Compounds:
    """Compounds among the words of a catalogue. Read-only, so threads may share it.

    Args:
        words: of the catalogue, which may be among others that have a character that is no letter;
        stems: of words [n] their stems, [n]; no_first: words that begin no compound.
    """

    def __init__(
        self, words: Collection[str], stems: Callable[[Sequence[str]], list[str]], no_first: Collection[str]
    ) -> None:
        self._words, self._stems, self._no_first = words, stems, frozenset(no_first) | _PREFIXES

    def parts(self, word: str) -> list[str]:
        """The stems that a compound of the catalogue's words is made of, the longest last one: of both parts, or of the
        last alone where the first is no word; none where it is no compound."""
        (stem,) = self._stems([word])
        for cut in range(FIRST, len(word) - LAST + 1):
            if (last := self._last(word, stem, cut)) and (first := self._known(word[:cut])):
                return [*self._stems([first]), last]
        for cut in range(FIRST_OF_OTHERS, len(word) - LAST + 1):
            if word[cut:] in self._words:
                (last,) = self._stems([word[cut:]])
                if self._begins_others(word[:cut], last):
                    return [last]
        return []

    def ending_with(self, word: str) -> list[str]:
        """The compounds of the catalogue whose last part is a word that stands nowhere alone, but for their endings;
        none where it is hardly a word."""
        (stem,) = self._stems([word])
        if len(word) < LAST or len(stem) < FIRST:
            return []
        firsts: dict[str, str] = {}
        for end in {fold(word)[::-1], stem[::-1]}:
            begin = bisect_left(self._by_end, (end, ""))
            until = bisect_right(self._by_end, (end + _HIGHEST, ""))
            firsts |= {one: one[: len(held) - len(end)] for held, one in self._by_end[begin:until]}
        firsts = {one: first for one, first in firsts.items() if len(first) >= FIRST and first not in self._no_first}
        sure = [one for one, first in firsts.items() if self._known(first) or self._begins_others(first, stem)]
        # a letter that all have before it is the word's own, which was left out
        is_whole = bool(sure) or len({first[-1] for first in firsts.values()}) > 1
        return (list(firsts)[:MOST] if is_whole else []) if len(word) >= LONG else sure[:MOST]

    def _known(self, first: str) -> str | None:
        """The word that a first part is, but for what links it; None where it is none."""
        for link in _LINKS:
            part = first.removesuffix(link)
            is_one = len(part) >= FIRST and (link == "" or part != first) and part in self._words
            if is_one and part not in self._no_first:
                return part
        return None

    def _last(self, word: str, stem: str, cut: int) -> str | None:
        """The stem of what stands last in a word from ``cut`` on, where it is one of the catalogue's. Some endings of a
        stemmer are longer than an ending (``Garten-t`` of a ``Gartentisch``): then it is looked for as it stands."""
        if stem[cut:] in self._own_stems:
            return stem[cut:]
        return self._stems([word[cut:]])[0] if word[cut:] in self._words else None

    def _begins_others(self, first: str, last: str) -> bool:
        """Whether words with another last stem begin likewise and end with a word."""
        return first not in self._no_first and bool(self._ends_after.get(first, set()) - {last})

    @cached_property
    def _stemmed(self) -> tuple[list[str], list[str]]:
        """The words that are letters alone, and their stems."""
        words = [word for word in self._words if len(word) >= LAST and _LETTERS.fullmatch(word)]
        return words, self._stems(words)

    @cached_property
    def _own_stems(self) -> frozenset[str]:
        return frozenset(stem for stem in self._stemmed[1] if len(stem) >= FIRST)

    @cached_property
    def _ends_after(self) -> dict[str, set[str]]:
        """Of first parts the stems that they stand before."""
        found: dict[str, set[str]] = {}
        for word in self._stemmed[0]:
            for cut in range(FIRST_OF_OTHERS, len(word) - LAST + 1):
                if word[cut:] in self._words:
                    found.setdefault(word[:cut], set()).update(self._stems([word[cut:]]))
        return found

    @cached_property
    def _by_end(self) -> list[tuple[str, str]]:
        """Each word and its stem from the end on, ascending, with the word."""
        words, stems = self._stemmed
        ends = chain(zip(stems, words, strict=True), zip(map(fold, words), words, strict=True))
        return sorted({(end[::-1], word) for end, word in ends})
