"""A corrected query for people: the words that the caller typed in the case that they typed them in."""

from __future__ import annotations

import re

from infra.contract.query_text import normalise

_WORD = re.compile(r"\w+")


def in_callers_case(query: str, corrected: str) -> str:
    """A normalised, corrected query with each word that was typed so as it was typed; the others are in lower case."""
    typed = {normalise(word): word for word in _WORD.findall(query)}
    return _WORD.sub(lambda word: typed.get(word[0], word[0]), corrected)
